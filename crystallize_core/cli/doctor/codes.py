"""What the doctor can find: a code that never changes its meaning, a severity, and a remedy.

The first digit says what is looked at: 0 the project, 1 the import, 2 the plugin, 3 what the import does besides,
4 pickling, 5 the installation.
"""

from __future__ import annotations

from typing import Final, Literal

import attrs

__all__ = ["CODES", "Code", "Severity"]

Severity = Literal["error", "warning"]


@attrs.frozen
class Code:
    """One thing that can be wrong.

    Attributes:
        code: Such as `CZ101`.
        name: The same for people.
        severity: `error` where something does not work, `warning` where it works.
        remedy: What to do.

    """

    code: str
    name: str
    severity: Severity
    remedy: str


_OF_IMPORT: Final = "move it from the top level of the module into a hook, such as before_run"

_ALL: Final = (
    Code("CZ001", "configuration", "error", "correct what is named; docs/cli.md says what may be written"),
    Code("CZ002", "order", "error", "change before/after of one of the plugins, or leave one out with disable = [...]"),
    Code("CZ003", "stack", "error", "mend or leave out what is named"),
    Code("CZ101", "import-error", "error", "install what is missing, or another version of the plugin"),
    Code("CZ102", "missing-target", "error", "reinstall the plugin; its author corrects the entry point"),
    Code("CZ103", "hangs", "error", "leave it out with disable = [...]; --timeout gives it more time"),
    Code("CZ104", "exits", "error", "leave it out with disable = [...]; a plugin must not end the process"),
    Code("CZ105", "slow-import", "warning", "import what is slow inside of the functions that need it"),
    Code("CZ201", "hooks", "error", "rename what is named, or take the arguments that the hook has"),
    Code("CZ202", "needs-options", "warning", "give the options in the configuration, or give them defaults"),
    Code("CZ203", "construction-error", "error", "correct the options in the configuration, or the constructor"),
    Code("CZ204", "contract", "error", "install the core that it needs, or another version of the plugin"),
    Code("CZ205", "deprecated", "warning", "update the plugin; its author uses what is named instead"),
    Code("CZ301", "prints", "warning", "print nothing at import; use logging in hooks"),
    Code("CZ302", "writes-files", "warning", _OF_IMPORT),
    Code("CZ303", "changes-environment", "warning", _OF_IMPORT),
    Code("CZ304", "changes-folder", "warning", "use absolute paths instead of changing the working directory"),
    Code("CZ305", "changes-locale", "warning", "set no locale; it belongs to the program"),
    Code("CZ306", "changes-random-state", "warning", "draw from a generator of your own, and seed none that is shared"),
    Code("CZ307", "starts-threads", "warning", _OF_IMPORT),
    Code("CZ308", "sets-signal-handlers", "warning", "set no signal handler; it belongs to the program"),
    Code("CZ309", "changes-warning-filters", "warning", "use warnings.catch_warnings() where a warning is expected"),
    Code("CZ310", "changes-sys-path", "warning", "ship what is imported in the distribution"),
    Code("CZ311", "patches-core", "error", "use the hooks; ask for one where there is none"),
    Code("CZ312", "configures-logging", "warning", "configure your own logger only"),
    Code("CZ313", "starts-processes", "warning", _OF_IMPORT),
    Code("CZ314", "uses-network", "warning", _OF_IMPORT),
    Code("CZ401", "option-unpicklable", "error", "use a function at the top level of a module, or a plain value"),
    Code("CZ402", "plugin-unpicklable", "error", "make what cannot be sent in a hook, or leave it out in __getstate__"),
    Code("CZ403", "changed-by-pickling", "error", "keep every option in __getstate__ and __setstate__"),
    Code("CZ501", "duplicate-name", "error", "uninstall one of the distributions, or disable = [...] the name"),
    Code("CZ502", "duplicate-entry-point", "warning", "remove one of the entry points"),
    Code("CZ503", "files-changed", "warning", "reinstall the distribution: pip install --force-reinstall"),
    Code("CZ504", "source-gone", "error", "install it again from where its source is now, or uninstall it"),
    Code("CZ505", "stale-entry-points", "warning", "install the source again: pip install -e"),
    Code("CZ506", "requirement", "error", "install the version that is asked for"),
    Code("CZ507", "malformed-requirement", "warning", "write the requirement as in PEP 508"),
    Code("CZ508", "unreadable-metadata", "warning", "reinstall the distribution"),
    Code("CZ509", "installed-twice", "warning", "uninstall it until it is gone, and install it once"),
)

CODES: Final = {code.code: code for code in _ALL}
"""All of them by code."""
