"""What is installed: entry points, read without importing anything."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import attrs

from crystallize_core.errors import PluginError, describe

__all__ = ["EXECUTORS", "PLUGINS", "STACKS", "Installed", "installed", "normalized"]

PLUGINS: Final = "crystallize.plugins"
EXECUTORS: Final = "crystallize.executors"
STACKS: Final = "crystallize.stacks"
STEPS: Final = "crystallize.steps"
COMMANDS: Final = "crystallize.commands"
_ON_CORE: Final = re.compile(r"crystallize[-_.]core\s*\(?([^;)\[]*)", re.IGNORECASE)


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

    def load(self) -> Any:
        """Import what it refers to.

        Raises:
            PluginError: The import failed in whatever way, `SystemExit` included.

        """
        try:
            return self.entry_point.load()
        except (Exception, SystemExit) as error:
            message = f"plugin {self.name!r} ({self.value}) cannot be imported: {describe(error)}"
            raise PluginError(message, distribution=f"{self.distribution} {self.version}", plugin=self.name) from error

    def bound_on_core(self) -> str:
        """What its distribution says that it needs of crystallize-core, such as `>=0.3,<1`; empty if nothing."""
        try:
            needed = list(self.entry_point.dist.requires or ())
        except Exception:  # noqa: BLE001 - broken metadata of a stranger must not stop us
            return ""
        found = [_ON_CORE.match(text) for text in needed]
        return next((match[1].replace(" ", "") for match in found if match is not None), "")


def installed(group: str) -> list[Installed]:
    """The entry points of a group, sorted by name and distribution, not by the order of the file system."""
    found: dict[tuple[str, str, str], Installed] = {}
    for entry_point in _entry_points(group):
        distribution = entry_point.dist
        name, version = ("?", "?") if distribution is None else (_name(distribution), _version(distribution))
        item = Installed(entry_point.name, entry_point.value, name, version, entry_point)
        found.setdefault((item.name, item.distribution, item.value), item)  # a path that is listed twice
    return [found[key] for key in sorted(found)]


def _entry_points(group: str) -> Iterable[Any]:
    from importlib_metadata import distributions, entry_points  # noqa: PLC0415 - only where something is looked for

    try:
        return list(entry_points(group=group))
    except Exception:  # noqa: BLE001 - one distribution with a damaged file must not hide all others
        first = {
            normalized(_name(found)): found for found in reversed(list(distributions()))
        }  # the first on the path wins
        return [point for distribution in first.values() for point in _of_one(distribution, group)]


def _of_one(distribution: Any, group: str) -> list[Any]:
    try:
        return list(distribution.entry_points.select(group=group))
    except Exception:  # noqa: BLE001 - as above
        return []


def normalized(name: str) -> str:
    """The name of a distribution as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _name(distribution: Any) -> str:
    try:
        return str(distribution.metadata["Name"])
    except Exception:  # noqa: BLE001 - broken metadata of a stranger must not stop us
        return "?"


def _version(distribution: Any) -> str:
    try:
        return str(distribution.version)
    except Exception:  # noqa: BLE001 - as above
        return "?"
