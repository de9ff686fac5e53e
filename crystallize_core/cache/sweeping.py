"""Throwing away what is old, too much, left over, or not wanted any more; only what has a name of our form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

from crystallize_core.cache.checkpoints import Checkpoints, KeptRun, kept_runs
from crystallize_core.cache.locking import LOCK
from crystallize_core.cache.reasons import last_name
from crystallize_core.cache.upkeep import CachedFile, cached_files, remove_leftovers, superfluous, unfinished_files

__all__ = ["Sweep", "clear", "sweep"]

_LAST: Final = re.compile(r"[0-9a-f]{32}\.json")


@attrs.frozen
class Sweep:
    """What is to be removed.

    Attributes:
        folder: The folder of the cache.
        entries: The entries.
        runs: The runs whose checkpoints are to go.
        unfinished: What processes that were killed left half written.
        notes: What steps stood on when they ran last.

    """

    folder: Path
    entries: Sequence[CachedFile] = ()
    runs: Sequence[KeptRun] = ()
    unfinished: Sequence[Path] = ()
    notes: Sequence[Path] = ()

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        sizes = [*(entry.size for entry in self.entries), *(run.size for run in self.runs)]
        return sum(sizes) + sum(map(_size, self.unfinished))

    def remove(self) -> None:
        """Remove it, and the folders that are empty then; what somebody else has removed meanwhile does not matter."""
        for path in (*(entry.path for entry in self.entries), *self.unfinished, *self.notes):
            with suppress(OSError):
                path.unlink()
        for run in self.runs:
            _remove_run(run.folder)
        remove_leftovers(self.folder)
        _remove_empty(self.folder / "last", self.folder / "runs")


def sweep(folder: Path, *, unused_since: float | None = None, most_bytes: int | None = None) -> Sweep:
    """What is old or too much: entries by their last use, checkpoints by the end of their run.

    Args:
        folder: The folder of the cache.
        unused_since: What was not used since this moment is old.
        most_bytes: So many bytes of entries may stay; what was not used for the longest time goes first.

    """
    runs = kept_runs(folder)
    old: set[Path] = set()
    if unused_since is not None:
        for pipeline in {run.pipeline for run in runs}:
            old.update(Checkpoints(folder, pipeline).older_than(unused_since))
    return Sweep(
        folder,
        superfluous(cached_files(folder), unused_since=unused_since, most_bytes=most_bytes),
        [run for run in runs if run.folder in old],
        unfinished_files(folder),
    )


def clear(folder: Path, step: str | None = None) -> Sweep:
    """All entries, or those of one step; with all of them go the checkpoints of runs that have ended."""
    if step is not None:
        entries = [entry for entry in cached_files(folder) if entry.step == step]
        return Sweep(folder, entries, notes=[path for path in (folder / last_name(step),) if path.is_file()])
    runs = [run for run in kept_runs(folder) if run.has_ended]
    return Sweep(folder, list(cached_files(folder)), runs, unfinished_files(folder), _notes(folder / "last"))


def _remove_run(folder: Path) -> None:
    given, last = folder / "given", folder / "last"
    kept = [given / "run.pkl", given / "step", *_notes(last), *(entry.path for entry in cached_files(folder))]
    for path in (*kept, folder / "run.json"):
        with suppress(OSError):
            if not path.parent.is_symlink():
                path.unlink()
    remove_leftovers(folder)
    with suppress(OSError):
        (folder / LOCK).unlink()  # the run has ended, and nobody wants its lock any more
    _remove_empty(given, last, folder, folder.parent)


def _notes(last: Path) -> list[Path]:
    return [] if last.is_symlink() else [path for path in last.glob("*.json") if _LAST.fullmatch(path.name)]


def _remove_empty(*folders: Path) -> None:
    """Remove those that have nothing in them; a link to a folder is none."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
