"""Cached outputs in files below a folder; small ones that were read lately are remembered with the state of their file."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

from crystallize_core.cache.files import has_settled, opened, stamp_of, write_whole
from crystallize_core.cache.format import Source
from crystallize_core.cache.locking import locked
from crystallize_core.cache.store import STEP_FILE, EntryStore

__all__ = ["FileStore", "cache_folder"]

TINY: Final = 1 << 14
MOST_RECENT: Final = 1 << 10
"""So many entries of at most so many bytes are kept in memory."""
USED_SECONDS: Final = 60.0
"""So exactly is it known when an entry was used last; to note every use would cost more than many a hit."""
MOST_NAMES: Final = 1 << 14
_names: Final[dict[str, tuple[object, list[list[str]]]]] = {}
"""What is in the files with names, as they were when they were read last."""


def cache_folder() -> Path:
    """`CRYSTALLIZE_CACHE_DIR`, or `.cache` in the current folder."""
    return Path(os.environ.get("CRYSTALLIZE_CACHE_DIR") or ".cache")


class FileStore(EntryStore):
    """Entries in files below a folder.

    Args:
        folder: Default: `CRYSTALLIZE_CACHE_DIR`, else `.cache` in the current folder.
        lifetime: Seconds after which an entry counts no more; default never.
        beside: Another store of the same run: of what was said about one, the other says nothing more.

    """

    def __init__(
        self, folder: Path | None = None, *, lifetime: float | None = None, beside: EntryStore | None = None
    ) -> None:
        super().__init__(beside)
        # A step may change the current folder, and what belongs together must stay together.
        self.folder = (cache_folder() if folder is None else folder).absolute()
        self._base = str(self.folder)
        self._lifetime = lifetime

    @property
    def place(self) -> str:
        """Words for messages."""
        return self._base

    def _source(self, name: str) -> Source | None:
        path = f"{self._base}/{name}.pkl"
        try:
            stat = os.stat(path)  # noqa: PTH116 - a path costs as much as reading
            now, written = time.time(), stat.st_mtime
            if self._lifetime is not None and now - written > self._lifetime:
                return None
            if now - written > USED_SECONDS and now - stat.st_atime > USED_SECONDS:
                with suppress(OSError):  # what was used last is thrown away last; see `upkeep.py`
                    os.utime(path, ns=(int(now * 1e9), stat.st_mtime_ns))
            found = _recent.get(path)
            if found is not None and found.stamp == stamp_of(stat):
                return found
            found = opened(path)
        except OSError:
            return None
        if found.size <= TINY and has_settled(stat):
            if len(_recent) >= MOST_RECENT:
                _recent.clear()
            _recent[path] = found
        return found

    def _keep(self, name: str, pieces: Sequence[bytes | memoryview]) -> None:
        self._write_file(f"{name}.pkl", pieces, must_last=True)

    def _label(self, name: str, step: str) -> None:
        label = f"{name.partition('/')[0]}/{STEP_FILE}"
        with self.alone():  # a clean-up that saw no entry is over, and has removed the label or not
            if not (self.folder / label).exists():
                self._write_file(label, [step.encode("utf-8", "replace")])

    def adopt(self, name: str, other: EntryStore, *, step: str) -> bool:
        """Take over the entry of that name from another store, as a link where the file system can."""
        if not isinstance(other, FileStore):
            return super().adopt(name, other, step=step)
        source, target = other.folder / f"{name}.pkl", self.folder / f"{name}.pkl"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                return True
            try:
                os.link(source, target)
            except FileNotFoundError:
                return False
            except OSError:  # another file system, or one without links
                self._write_file(f"{name}.pkl", [source.read_bytes()], must_last=True)
            self._label(name, step)
        except OSError:
            return target.exists()
        return True

    def read_text(self, name: str) -> str | None:
        """A small text that is kept beside the entries, or None."""
        try:
            with open(f"{self._base}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - a path costs as much as reading
                return file.read().decode()
        except (OSError, UnicodeDecodeError):
            return None

    def alone(self) -> AbstractContextManager[None]:
        """Keeps out the other threads and processes that use the folder."""
        return locked(self.folder)

    def known_names(self, name: str) -> list[list[str]]:
        """Those of them that were there at the last look."""
        known = _names.get(f"{self._base}/{name}.json")
        return known[1] if known is not None else []

    def names(self, name: str) -> list[list[str]]:
        """The sets of names that earlier runs of a step read for one input; a file that has not changed is not read again."""
        path = f"{self._base}/{name}.json"
        try:
            stat = os.stat(path)  # noqa: PTH116 - as below
        except OSError:
            return []
        stamp = stat.st_ino, stat.st_mtime_ns, stat.st_size
        known = _names.get(path)
        if known is None or known[0] != stamp:
            if len(_names) >= MOST_NAMES:
                _names.clear()
            known = stamp, super().names(name)
            if has_settled(stat):
                _names[path] = known
        return known[1]

    def write_text(self, name: str, text: str) -> None:
        """Keep a small text; a disk that cannot take it is reported when the entry is written."""
        with suppress(OSError):
            self._write_file(name, [text.encode()])

    def _write_file(self, name: str, pieces: Sequence[bytes | memoryview], *, must_last: bool = False) -> None:
        write_whole(self.folder / name, pieces, must_last=must_last)


_recent: Final[dict[str, Source]] = {}
"""Small entries that were read lately, by their paths: what all replicates share is asked for by each of them."""
