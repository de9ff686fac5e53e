"""Files that appear whole or not at all, and that are read as memory, while other processes replace and remove them."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from crystallize_core.cache.format import Source

__all__ = ["UNFINISHED", "has_settled", "opened", "stamp_of", "write_whole"]

SMALL: Final = 1 << 20
"""Up to so many bytes, reading an entry costs no more than mapping it."""
FIRST_PIECE: Final = 1 << 16
"""So much is read before it is known how large an entry is: all of most entries, and the headers of the others."""
SETTLED_SECONDS: Final = 0.1
"""File systems keep times in ticks of some milliseconds."""
ATTEMPTS: Final = 100
"""So often a folder may be removed by others while a file is to be made in it."""
MOST_MAPPED: Final = 256
"""So many entries are mapped at a time: each needs a file descriptor, of which the rest of a program wants some too."""
UNFINISHED: Final = ".writing-"
"""What the name of a file begins with while it is written."""


def write_whole(path: Path, pieces: Sequence[bytes | memoryview], *, must_last: bool = False) -> None:
    """Write a whole file or none; one that must last is on the disk before it has its name.

    Raises:
        OSError: It cannot be written.

    """
    for _ in range(ATTEMPTS):
        temporary = _unfinished(path.parent, pieces, must_last=must_last)
        try:
            os.replace(temporary, path)  # noqa: PTH105 - beside mkstemp, which gives names
        except FileNotFoundError:  # another process has just cleared the cache
            continue
        except BaseException:
            _removed(temporary)
            raise
        return
    raise FileNotFoundError(errno.ENOENT, "is removed again and again", str(path))


def _unfinished(folder: Path, pieces: Sequence[bytes | memoryview], *, must_last: bool) -> str:
    """Write a new file in a folder, which is made if it is not there, and give its name.

    Raises:
        OSError: It cannot be written.

    """
    descriptor, temporary = _new_file(folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(pieces)
            if must_last:
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        _removed(temporary)
        raise
    return temporary


def _new_file(folder: Path) -> tuple[int, str]:
    for _ in range(ATTEMPTS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return tempfile.mkstemp(dir=folder, prefix=UNFINISHED)
        except FileNotFoundError:  # another process has just removed the folder, because it was empty
            continue
        except FileExistsError:  # the same, at the moment between `mkdir` and its look at what is there
            if folder.exists() and not folder.is_dir():
                raise
    raise FileNotFoundError(errno.ENOENT, "is removed again and again", str(folder))


def _removed(temporary: str) -> None:
    with suppress(OSError):
        os.unlink(temporary)  # noqa: PTH108 - beside mkstemp, which gives names


def opened(path: str) -> Source:
    """The bytes of a file.

    Raises:
        OSError: It cannot be read.

    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        first, stat = os.read(descriptor, FIRST_PIECE), os.fstat(descriptor)
        whole = None if stat.st_size == len(first) else _whole(descriptor, stat.st_size)
    finally:
        os.close(descriptor)
    if whole is None:
        return Source(first, stat.st_size, lambda: memoryview(bytearray(first)), stamp_of(stat))
    return Source(first, stat.st_size, lambda: whole, stamp_of(stat))


def stamp_of(stat: os.stat_result) -> tuple[int, ...]:
    """What tells one state of a file from another."""
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size


def has_settled(stat: os.stat_result) -> bool:
    """Whether a file was last written so long ago that another state of it would have another time.

    Two files that follow each other under one name within a tick of the clock may have the same number, time and size.
    """
    return time.time() - stat.st_mtime > SETTLED_SECONDS


_mapped: Final[weakref.WeakSet[mmap.mmap]] = weakref.WeakSet()


def _whole(descriptor: int, size: int) -> memoryview:
    """An open file as memory. What is written there is the writer's own: it changes neither the file nor other readers.

    It is there at once, and not when it is needed, because the file may be replaced or removed meanwhile.
    """
    if size > SMALL and len(_mapped) < MOST_MAPPED:
        with suppress(OSError, ValueError):
            found = mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
            _mapped.add(found)
            return memoryview(found)
    content = bytearray(size)
    view = memoryview(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    at = 0
    while at < size and (piece := os.read(descriptor, min(size - at, 1 << 24))):
        view[at : at + len(piece)] = piece
        at += len(piece)
    return view
