"""What is installed: entry points, read without importing anything."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from crystallize_core.errors import PluginError, describe
from crystallize_core.stack.bounds import bounds, unmet
from crystallize_core.stack.reading import Damaged, distribution_name, distribution_version, groups, normalized
from crystallize_core.version import version

__all__ = ["EXECUTORS", "PLUGINS", "STACKS", "Installed", "installed", "normalized"]

PLUGINS: Final = "crystallize.plugins"
EXECUTORS: Final = "crystallize.executors"
STACKS: Final = "crystallize.stacks"
STEPS: Final = "crystallize.steps"
COMMANDS: Final = "crystallize.commands"

_NAME: Final = re.compile(r"\w[\w.-]*")


@attrs.frozen
class Installed:
    """One entry point of an installed distribution; nothing of it has been imported.

    Attributes:
        name: The name of the entry point.
        value: What it refers to, as `package.module:attribute`.
        distribution: The name of the distribution.
        version: Its version.

    """

    name: str
    value: str
    distribution: str
    version: str
    entry_point: Any = attrs.field(repr=False, eq=False)

    @property
    def place(self) -> str | None:
        """The folder with the metadata of the distribution, where there is one."""
        path = getattr(self.entry_point.dist, "_path", None)
        return None if path is None else str(path)

    def load(self) -> Any:
        """Import what it refers to.

        Raises:
            PluginError: It must not be imported, or the import failed in whatever way, `SystemExit` included.

        """
        self._check()
        try:
            return self.entry_point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            message = f"plugin {self.name!r} ({self.value}) cannot be imported: {describe(error)}"
            raise self._refused(message) from error

    def _check(self) -> None:
        """Refuse before anything is imported what cannot work."""
        if isinstance(self.entry_point, Damaged):
            problem = "not text in UTF-8" if isinstance(self.entry_point.error, UnicodeDecodeError) else "malformed"
            message = (
                f"{self.value} of {self.distribution} is {problem}, so that its plugins are not known; install it anew"
            )
            raise self._refused(message) from self.entry_point.error
        if not _NAME.fullmatch(self.name) or self.name.endswith(".py"):
            message = (
                f"plugin name {self.name!r} cannot be used: expected letters, digits, '_', '-' and '.', and no path"
            )
            raise self._refused(message)
        if self._unmet is not None:
            message = (
                f"plugin {self.name!r} needs {self._unmet}, and {version()} is here: pip install -U '{self._unmet}'"
            )
            raise self._refused(message)

    @functools.cached_property
    def _unmet(self) -> str | None:
        """The requirement on the core that is not met."""
        return unmet(_requirements(self.entry_point.dist), version())

    def _refused(self, message: str) -> PluginError:
        return PluginError(message, distribution=f"{self.distribution} {self.version}", plugin=self.name)

    def bound_on_core(self) -> str:
        """What its distribution says that it needs of crystallize-core, such as `>=0.3,<1`; empty if nothing."""
        return next(iter(bounds(_requirements(self.entry_point.dist))), "")


def installed(group: str) -> list[Installed]:
    """The entry points of a group, sorted by name and distribution, not by the order of the file system."""
    points = groups()
    if not _listed or _listed[0][0] is not points:
        _listed[:] = [(points, {})]
    by_group = _listed[0][1]
    if group not in by_group:
        by_group[group] = _items(points.get(group, ()))
    return list(by_group[group])


_listed: list[tuple[Mapping[str, Any], dict[str, list[Installed]]]] = []
"""What was read last, and the lists that were made of it."""


def _items(points: Iterable[Any]) -> list[Installed]:
    found: dict[tuple[str, str, str], Installed] = {}
    for entry_point in points:
        distribution = entry_point.dist
        owner = (
            ("?", "?")
            if distribution is None
            else (distribution_name(distribution), distribution_version(distribution))
        )
        item = Installed(entry_point.name, entry_point.value, *owner, entry_point)
        found.setdefault((item.name, item.distribution, item.value), item)  # a path that is listed twice
    return [found[key] for key in sorted(found)]


def _requirements(distribution: Any) -> list[str]:
    try:
        return list(distribution.requires or ())
    except Exception:  # noqa: BLE001 - broken metadata of a stranger is no reason to refuse its plugin
        return []
