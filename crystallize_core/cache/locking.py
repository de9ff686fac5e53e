"""One process at a time: for notes that several add to, which a rename alone does not keep from being lost."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["LOCK", "locked"]

LOCK: Final = ".lock"
"""The file that is locked. It stays: a lock on a file that somebody else has removed keeps nobody out."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others out, of this process and of others, that want the same for this folder.

    The system gives the lock back when its process ends, however it ends. A disk that has no locks, or cannot be
    written, is used without: what may be lost then is an entry, which is a miss.
    """
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):
            _acquire(handle)
        yield
    finally:
        with suppress(OSError):
            _release(handle)  # said, and not left to close(): a process that was forked meanwhile has it as well
        os.close(handle)


if sys.platform == "win32":

    def _acquire(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_LOCK, 1)

    def _release(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:

    def _acquire(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX)

    def _release(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
