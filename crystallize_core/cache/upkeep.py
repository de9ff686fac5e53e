"""Looking after a folder of cached outputs: what is in it, and throwing away what is not wanted any more."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

from crystallize_core.cache.locking import locked
from crystallize_core.cache.store import STEP_FILE, UNFINISHED
from crystallize_core.errors import DefinitionError

__all__ = ["CachedFile", "cached_files", "evict", "invalidate"]

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
        for path in sorted(step_folder.glob("*.pkl")):
            with suppress(OSError):
                stat = path.stat()
                yield CachedFile(path, name, stat.st_size, stat.st_mtime, max(stat.st_atime, stat.st_mtime))


def _folders(folder: Path) -> list[Path]:
    """The folders of steps, which are named by a digest; the checkpoints of runs are not among them."""
    try:
        return [path for path in folder.iterdir() if path.is_dir() and len(path.name) == 64]  # noqa: PLR2004 - a digest
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
    _remove_leftovers(folder)
    return removed


def evict(folder: Path, most_bytes: int) -> int:
    """Remove what was not used for the longest time until the rest is no larger than this; returns how many.

    An entry that is larger than that by itself goes alone, and not with everything that is older.
    """
    entries = sorted(cached_files(folder), key=lambda entry: entry.used, reverse=True)
    total = removed = 0
    for entry in entries:
        is_too_large = entry.size > most_bytes
        total += 0 if is_too_large else entry.size
        if is_too_large or total > most_bytes:
            with suppress(OSError):
                entry.path.unlink()
                removed += 1
    if removed:
        _remove_leftovers(folder)
    return removed


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left half written, and the folders of steps without entries."""
    for step_folder in _folders(folder):
        with suppress(OSError), locked(folder):  # nobody adds to the notes beside an entry meanwhile
            for path in step_folder.glob(f"{UNFINISHED}*"):
                if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                    path.unlink()
            if not any(step_folder.glob("*.pkl")):
                for path in step_folder.iterdir():
                    if not path.name.startswith(UNFINISHED):  # somebody is about to make an entry
                        path.unlink()
                step_folder.rmdir()


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
