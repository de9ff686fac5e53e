"""What a check is: a function with a promise in words, which passes, fails with a reason, or does not apply."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import attrs

from crystallize_core.errors import CrystallizeError, describe

if TYPE_CHECKING:
    from crystallize_core.testing.plugins.subject import Subject

__all__ = ["CHECKS", "Check", "DoesNotApply", "Report", "check", "fail_where", "run_check"]


class DoesNotApply(Exception):  # noqa: N818 - no error: the check has nothing to look at
    """Raised by a check that a plugin gives nothing to look at; the message is the reason."""


@attrs.frozen
class Check:
    """One check.

    Attributes:
        name: Its name; the test of `PluginConformance` is `test_<name>`.
        promise: What a plugin promises that passes it.
        function: Looks at a subject; raises `AssertionError` with what was found, or `DoesNotApply`.

    """

    name: str
    promise: str
    function: Callable[[Any], None]


CHECKS: Final[dict[str, Check]] = {}
"""All checks by name, in the order of their files."""


def check(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
    """Register a function as a check; the first line of its docstring is the promise."""
    promise = (function.__doc__ or "").strip().partition("\n")[0]
    CHECKS[function.__name__] = Check(function.__name__, promise, function)
    return function


def fail_where(problems: list[str], advice: str = "") -> None:
    """Fail if there are problems, and say all of them.

    Raises:
        AssertionError: There are some.

    """
    if problems:
        raise AssertionError("\n".join([*dict.fromkeys(problems), *([advice] if advice else [])]))


@attrs.frozen
class Report:
    """What became of one check.

    Attributes:
        check: Its name.
        promise: What it is about.
        outcome: `passed`, `failed` or `skipped`.
        reason: Why, unless it passed.

    """

    check: str
    promise: str
    outcome: str
    reason: str = ""


def run_check(wanted: Check, subject: Subject) -> Report:
    """Run a check; whatever the plugin raises makes it fail, and ends nothing else."""
    try:
        wanted.function(subject)
    except DoesNotApply as nothing:
        return Report(wanted.name, wanted.promise, "skipped", str(nothing))
    except AssertionError as error:
        return Report(wanted.name, wanted.promise, "failed", str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's plugin may raise anything
        reason = str(error) if isinstance(error, CrystallizeError) else describe(error)
        return Report(wanted.name, wanted.promise, "failed", reason)
    return Report(wanted.name, wanted.promise, "passed")
