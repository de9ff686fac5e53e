"""Which distributions a project allows: nothing of another one is imported."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

import attrs

from crystallize_core.errors import PluginError
from crystallize_core.stack.assigned import Assignments
from crystallize_core.stack.config import Environment, StackConfig, names_in
from crystallize_core.stack.discovery import EXECUTORS, PLUGINS, Installed, installed, normalized
from crystallize_core.stack.origins import Origin, Trace
from crystallize_core.stack.overrides import overrides

__all__ = ["NOT_ALLOWED", "Allowance", "Shelf"]

NOT_ALLOWED: Final = "not allowed"  # also a status in `crystallize plugins list`


@attrs.frozen
class Allowance:
    """The distributions that may be used.

    Args:
        patterns: Their names, with `*` and `?` as in names of files; None allows all.
        said: Who says so, for messages.

    """

    patterns: tuple[str, ...] | None = None
    said: str = "nobody"

    @classmethod
    def of(cls, config: StackConfig, environment: Environment, told: str | None) -> Allowance:
        """What counts of what the project, the environment and the command line say; the trace gets to know it.

        Args:
            config: What the project says.
            environment: What the environment says.
            told: What `-o allow=` says.

        """
        trace: Trace = config.trace
        if environment.allow is not None:
            origin = Origin("environment", "environment variable CRYSTALLIZE_ALLOW")
            trace.replace(("allow",), list(environment.allow), origin)
        if told is not None:
            trace.replace(("allow",), list(names_in(told)), Origin("command line", "-o allow"))
        found = trace.told(("allow",))
        return cls(tuple(found[0].value), str(found[0].origin)) if found else cls()

    @classmethod
    def here(cls, config: StackConfig, environment: Environment) -> Allowance:
        """The same with what the command line of this process says."""
        told = Assignments({}, overrides().options).settings
        return cls.of(attrs.evolve(config, trace=config.trace.copy()), environment, told.get("allow"))

    def permits(self, distribution: str) -> bool:
        """Whether this distribution may be used; names that a package index takes for the same are the same."""
        if self.patterns is None:
            return True
        name = normalized(distribution)
        return any(fnmatchcase(name, normalized(pattern)) for pattern in self.patterns)

    def refusal(self, what: str, candidates: Iterable[Installed]) -> str:
        """That something of other distributions was asked for, in words.

        Args:
            what: Such as `plugin 'audit'`.
            candidates: Who ships it.

        """
        owners = {item.distribution: f"{item.distribution} {item.version}" for item in candidates}
        remedy = " or ".join(repr(normalized(name)) for name in owners)
        return f"{what} is of {' and '.join(owners.values())}, which is not allowed; add {remedy} to {self.said}"

    def check(self, what: str, item: Installed) -> None:
        """Refuse what may not be used.

        Raises:
            PluginError: It is of a distribution that is not allowed.

        """
        if not self.permits(item.distribution):
            raise PluginError(self.refusal(what, [item]))


class Shelf:
    """What is installed, read once, and what of it may be used."""

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self._read: dict[str, list[Installed]] = {}

    def everything(self, group: str) -> list[Installed]:
        """The entry points of a group, whether or not they are allowed."""
        if group not in self._read:
            self._read[group] = installed(group)
        return self._read[group]

    def names(self) -> frozenset[str]:
        """The names of all plugins and executors, whether or not they are allowed."""
        return frozenset(item.name for group in (PLUGINS, EXECUTORS) for item in self.everything(group))

    def allowed(self, group: str) -> dict[str, list[Installed]]:
        """Those that may be used, by name."""
        return _by_name(item for item in self.everything(group) if self.allowance.permits(item.distribution))

    def forbidden(self, group: str) -> dict[str, list[Installed]]:
        """Those that may not be used and have the name of none that may, by name."""
        others = _by_name(item for item in self.everything(group) if not self.allowance.permits(item.distribution))
        allowed = self.allowed(group)
        return {name: items for name, items in others.items() if name not in allowed}


def _by_name(items: Iterable[Installed]) -> dict[str, list[Installed]]:
    found: dict[str, list[Installed]] = {}
    for item in items:
        found.setdefault(item.name, []).append(item)
    return found
