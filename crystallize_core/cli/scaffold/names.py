"""The names of a new distribution, and whether they can be used."""

from __future__ import annotations

import keyword
import re
from typing import Final

import attrs

from crystallize_core.stack.discovery import EXECUTORS, PLUGINS, STEPS, installed

__all__ = ["Names", "problems_of"]

PREFIX: Final = "crystallize-"
_DISTRIBUTION: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
"""What PEP 508 allows."""
_TAKEN: Final = frozenset(
    {"allow", "cache", "core", "disable", "executor", "extends", "options", "plugins", "profiles"}
)
"""Words that mean something else where the names of plugins stand."""


@attrs.frozen
class Names:
    """All names of a distribution, made of one.

    Attributes:
        given: What the user has written.

    """

    given: str

    @property
    def plugin(self) -> str:
        """The name of the entry point: in stacks, messages and options."""
        short = re.sub(r"[-_.]+", "-", self.given).lower().strip("-").removeprefix(PREFIX)
        return short.replace("-", "_")

    @property
    def distribution(self) -> str:
        """What pip installs, and the folder."""
        return PREFIX + self.plugin.replace("_", "-")

    @property
    def package(self) -> str:
        """What Python imports."""
        return f"crystallize_{self.plugin}"

    @property
    def stem(self) -> str:
        """The name as that of a class, without what kind of class it is."""
        return "".join(word[:1].upper() + word[1:] for word in self.plugin.split("_"))


def problems_of(names: Names) -> list[str]:
    """Why these names cannot be used; empty where they can."""
    given = names.given
    if not _DISTRIBUTION.fullmatch(given):
        return [
            f"name {given!r}: a distribution is named by letters, digits, '-', '_' and '.', and begins and ends with one of the first two"
        ]
    problems = []
    if not names.plugin.isidentifier():
        problems.append(f"name {given!r}: {names.plugin!r} is no Python name; begin with a letter")
    if keyword.iskeyword(names.plugin) or keyword.issoftkeyword(names.plugin):
        problems.append(f"name {given!r}: {names.plugin!r} is a word of Python; choose another")
    if names.plugin in _TAKEN:
        problems.append(f"name {given!r}: {names.plugin!r} means something else in configurations; choose another")
    return problems + _clashes(names)


def _clashes(names: Names) -> list[str]:
    everything = [item for group in (PLUGINS, EXECUTORS, STEPS) for item in installed(group)]
    same = [item for item in everything if item.name == names.plugin]
    found = [
        f"name {names.given!r}: {item.distribution} {item.version} ships {item.name!r} already; choose another, or uninstall it"
        for item in same
    ]
    if not same and _is_installed(names.distribution):
        found.append(
            f"name {names.given!r}: a distribution {names.distribution!r} is installed already; choose another"
        )
    return found


def _is_installed(distribution: str) -> bool:
    from importlib_metadata import PackageNotFoundError, version  # noqa: PLC0415 - reading metadata is not free

    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
