"""Reading what package managers left behind: the entry points of every distribution, without importing any of them.

What was read is kept as long as nothing was installed, so that a process that makes many experiments reads it once.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["Damaged", "distribution_name", "distribution_version", "groups", "normalized"]

_GROUP: Final = "crystallize."
_FRESH: Final = 2_000_000_000
"""Nanoseconds in which a folder may change once more without a change of its time; what was read then is not kept."""
_kept: list[tuple[Any, Mapping[str, list[Any]]]] = []
"""The state of the file system, and what was read in it; one item at most."""


class Damaged:
    """Stands for the entry points of a distribution whose file cannot be read."""

    value = "entry_points.txt"

    def __init__(self, distribution: Any, error: Exception) -> None:
        self.dist = distribution
        self.error = error
        self.name = distribution_name(distribution)


def groups() -> Mapping[str, list[Any]]:
    """The entry points of our groups by group, of every distribution; `Damaged` ones are in the group of plugins."""
    for before, kept in _kept[:1]:  # a copy, because another thread may replace it at any moment
        if before == _state(before[-1]):
            return kept
    found, files = _read()
    state = _state(files)
    is_old = state is not None and all(time.time_ns() - changed > _FRESH for changed, _ in (*state[2], *state[3]))
    _kept[:] = [(state, found)] if is_old else []
    return found


def _state(files: tuple[str, ...] | None) -> Any:
    """Where distributions are looked for, and when that and their entry points changed; None where it is unknown."""
    if files is None:
        return None
    return tuple(sys.path), tuple(map(id, sys.meta_path)), _times(sys.path), _times(files), files


def _times(paths: Iterable[str]) -> tuple[tuple[int, int], ...]:
    found = []
    for path in paths:
        try:
            status = os.stat(path or ".")  # noqa: PTH116 - a Path for each would cost more than the rest
            found.append((status.st_mtime_ns, status.st_size))
        except (OSError, ValueError):
            found.append((0, 0))
    return tuple(found)


def _read() -> tuple[Mapping[str, list[Any]], tuple[str, ...] | None]:
    from importlib_metadata import distributions  # noqa: PLC0415 - only where something is looked for

    first: dict[str, Any] = {}
    files: list[str] | None = []
    for distribution in distributions():
        path = getattr(distribution, "_path", None)  # there is no public way to tell where it is
        if files is not None:
            files = None if path is None else [*files, os.path.join(str(path), "entry_points.txt")]  # noqa: PTH118 - as above
        name = _key(distribution, path)
        # The first on the path wins, as in an import; but not a folder that an uninstallation left behind.
        if name not in first or (_is_leftover(first[name]) and not _is_leftover(distribution)):
            first[name] = distribution
    found: dict[str, list[Any]] = {}
    for distribution in first.values():
        for point in _points(distribution):
            found.setdefault(getattr(point, "group", f"{_GROUP}plugins"), []).append(point)
    return found, None if files is None else tuple(files)


def _key(distribution: Any, path: Any) -> str:
    """A name to tell distributions apart; from the folder, because reading the metadata of all takes long."""
    stem = os.path.basename(str(path)) if path is not None else ""  # noqa: PTH119 - as above
    base, dot, kind = stem.rpartition(".")
    name = base.partition("-")[0] if dot and kind in ("dist-info", "egg-info") else ""
    return normalized(name or distribution_name(distribution))


def normalized(name: str) -> str:
    """The name of a distribution as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_leftover(distribution: Any) -> bool:
    path = getattr(distribution, "_path", None)
    return path is not None and not any(os.path.exists(f"{path}/{name}") for name in ("METADATA", "PKG-INFO"))  # noqa: PTH110 - as above


def _points(distribution: Any) -> list[Any]:
    """The entry points of one distribution in our groups."""
    try:
        text = distribution.read_text("entry_points.txt") or ""
        if _GROUP not in text:
            return []
        return [point for point in distribution.entry_points if point.group.startswith(_GROUP)]
    except Exception as error:  # noqa: BLE001 - a damaged file of one distribution must not hide all others
        return [Damaged(distribution, error)] if _is_ours(distribution) else []


def _is_ours(distribution: Any) -> bool:
    """Whether an unreadable file speaks of us."""
    try:
        with open(f"{distribution._path}/entry_points.txt", "rb") as file:  # noqa: PTH123, SLF001 - as above
            return _GROUP.encode() in file.read()
    except (OSError, AttributeError):
        return False


def distribution_name(distribution: Any) -> str:
    """Its name, as far as it can be read."""
    try:
        found = distribution.metadata["Name"]
    except Exception:  # noqa: BLE001 - broken metadata of a stranger must not stop us
        found = None
    if not found:
        path = os.path.basename(str(getattr(distribution, "_path", "")))  # noqa: PTH119 - as above
        found = path.rpartition(".")[0].partition("-")[0].replace("_", "-") or "?"
    return _printable(str(found))


def distribution_version(distribution: Any) -> str:
    """Its version, as far as it can be read."""
    try:
        return _printable(str(distribution.metadata["Version"] or "?"))
    except Exception:  # noqa: BLE001 - as above
        return "?"


def _printable(text: str) -> str:
    """The text without what a terminal would take for a command."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
