"""Looking after a folder of cached outputs: what is in it, and throwing away what is not wanted any more."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from glob import glob
from pathlib import Path
from typing import Final

import attrs

from crystallize_core.cache.files import UNFINISHED
from crystallize_core.cache.locking import locked
from crystallize_core.cache.store import STEP_FILE
from crystallize_core.errors import DefinitionError

__all__ = ["CachedFile", "cached_files", "evict", "invalidate", "remove_leftovers", "superfluous", "unfinished_files"]

_STEP_FOLDER: Final = re.compile(r"[0-9a-f]{64}")
_ENTRY: Final = re.compile(r"[0-9a-f]{64}(?:\.[0-9a-f]{32})?\.pkl")
_BESIDE: Final = re.compile(rf"[0-9a-f]{{64}}\.json|{STEP_FILE}")
"""The names that we give; whatever else lies in the folder is somebody's own, and stays."""
ABANDONED_SECONDS: Final = 24 * 3600.0
"""After so long, nobody is writing a file any more."""


@attrs.frozen
class CachedFile:
    """One entry of the cache.

    Attributes:
        path: Its file.
        step: The name of the step; empty where that is not known.
        size: Bytes.
        written: When it was written, in seconds since 1970.
        used: When it was last used, in seconds since 1970.

    """

    path: Path
    step: str
    size: int
    written: float
    used: float


def cached_files(folder: Path) -> Iterator[CachedFile]:
    """The entries below a folder; what disappears meanwhile is left out."""
    for step_folder in sorted(_folders(folder)):
        name = ""
        with suppress(OSError):
            name = (step_folder / STEP_FILE).read_text(encoding="utf-8", errors="replace")
        for path in _entries(step_folder):
            with suppress(OSError):
                stat = path.stat()
                yield CachedFile(path, name, stat.st_size, stat.st_mtime, max(stat.st_atime, stat.st_mtime))


def _folders(folder: Path) -> list[Path]:
    """The folders of steps, which are named by a digest; the checkpoints of runs are not among them."""
    try:
        return [p for p in folder.iterdir() if _STEP_FOLDER.fullmatch(p.name) and p.is_dir() and not p.is_symlink()]
    except OSError:
        return []


def _entries(step_folder: Path) -> list[Path]:
    try:
        return sorted(p for p in step_folder.iterdir() if _ENTRY.fullmatch(p.name) and not p.is_symlink())
    except OSError:
        return []


def invalidate(folder: Path, *, step: str | None = None, before: dt.datetime | dt.date | float | None = None) -> int:
    """Remove entries, and return how many there were.

    Args:
        folder: The folder of the cache.
        step: Only those of the step of this name; default those of all steps.
        before: Only those that were written before this moment: a date, a time, or seconds since 1970.

    Raises:
        DefinitionError: `before` is none of these.

    """
    limit = _seconds(before)
    removed = 0
    for entry in cached_files(folder):
        if (step is None or entry.step == step) and (limit is None or entry.written < limit):
            with suppress(OSError):
                entry.path.unlink()
                removed += 1
    remove_leftovers(folder)
    return removed


def evict(folder: Path, most_bytes: int) -> int:
    """Remove what was not used for the longest time until the rest is no larger than this; returns how many.

    An entry that is larger than that by itself goes alone, and not with everything that is older.
    """
    removed = 0
    for entry in superfluous(cached_files(folder), most_bytes=most_bytes):
        with suppress(OSError):
            entry.path.unlink()
            removed += 1
    if removed:
        remove_leftovers(folder)
    return removed


def superfluous(
    entries: Iterable[CachedFile], *, unused_since: float | None = None, most_bytes: int | None = None
) -> list[CachedFile]:
    """The entries that were not used since a moment, and of the others those that are too much, the oldest use first."""
    found = []
    total = 0
    for entry in sorted(entries, key=lambda entry: entry.used, reverse=True):
        is_old = unused_since is not None and entry.used < unused_since
        is_too_large = most_bytes is not None and entry.size > most_bytes
        total += 0 if is_old or is_too_large else entry.size
        if is_old or is_too_large or (most_bytes is not None and total > most_bytes):
            found.append(entry)
    return found[::-1]


def unfinished_files(folder: Path) -> list[Path]:
    """What processes that were killed left half written, wherever we write."""
    found = []
    # Not `folder.glob`, which fails where another process removes a run meanwhile.
    of_runs = [folder / name for pattern in ("runs/*/*", "runs/*/*/*") for name in glob(pattern, root_dir=folder)]  # noqa: PTH207
    for below in (folder, folder / "last", *_folders(folder), *of_runs):
        with suppress(OSError):
            there = [] if below.is_symlink() else [p for p in below.glob(f"{UNFINISHED}*") if not p.is_symlink()]
            found += [path for path in there if time.time() - path.stat().st_mtime > ABANDONED_SECONDS]
    return found


def remove_leftovers(folder: Path) -> int:
    """Remove what was left half written and the folders of steps without entries; how many of these there were."""
    for path in unfinished_files(folder):
        with suppress(OSError):
            path.unlink()
    removed = 0
    for step_folder in _folders(folder):
        with suppress(OSError), locked(folder):  # nobody adds to the notes beside an entry meanwhile
            if not _entries(step_folder):
                for path in step_folder.iterdir():
                    if _BESIDE.fullmatch(path.name):  # not what somebody writes who is about to make an entry
                        path.unlink()
                step_folder.rmdir()
                removed += 1
    return removed


def _seconds(moment: object) -> float | None:
    if moment is None:
        return None
    if isinstance(moment, dt.datetime):
        return moment.timestamp()
    if isinstance(moment, dt.date):
        return dt.datetime.combine(moment, dt.time()).astimezone().timestamp()
    if isinstance(moment, (int, float)) and not isinstance(moment, bool):
        return float(moment)
    message = f"before must be a date, a time or seconds since 1970, found {moment!r}"
    raise DefinitionError(message)
