"""Files that appear whole or not at all, folders that lead nowhere else, and a lock between processes.

Everything here raises plain `OSError`; who calls it knows the address that an error for people needs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "exists",
    "files_below",
    "is_plain",
    "locked",
    "make_folders",
    "names_in",
    "refuse_other_spelling",
    "remove_leftovers",
    "reread",
    "sync",
    "write_whole",
]

_UNFINISHED: Final = re.compile(r"\.crystallize-[0-9a-f]{16}\.part")
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that its name never stands for half of it, not even after a power failure."""
    temporary = path.with_name(f".crystallize-{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:  # also Ctrl-C: half a file helps nobody
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def make_folders(root: Path, folder: Path) -> None:
    """Make `folder` and what is missing between it and `root`.

    Raises:
        OSError: Something on the way is a symbolic link or no folder, or cannot be made.

    """
    root.mkdir(parents=True, exist_ok=True)
    current = root
    for part in folder.relative_to(root).parts:
        current /= part
        try:
            current.mkdir()
        except FileExistsError:
            if not is_plain(current, folder=True):
                raise OSError(errno.ENOTDIR, "is a link or a file where a folder is needed", str(current)) from None
        else:
            sync(current.parent)


def refuse_other_spelling(root: Path, path: Path) -> None:
    """Raise where a file that exists below `root` has another name, which the file system takes for this one.

    On macOS and Windows `A.txt` and `a.txt` are the same; the second must not silently replace the first.
    """
    current = root
    for part in path.relative_to(root).parts:
        if part not in names_in(current):
            text = "is taken by a name that this file system does not tell from it"
            raise FileExistsError(errno.EEXIST, text, str(current / part))
        current /= part


def names_in(folder: Path) -> list[str]:
    """The names in a folder, sorted; none if it cannot be read."""
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []


def is_plain(path: Path, *, folder: bool = False) -> bool:
    """Whether this is a file (or a folder) itself, not a link to one."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)


def exists(path: Path) -> bool:
    """Whether there is anything of this name, be it a link that leads nowhere."""
    return os.path.lexists(path)


def sync(folder: Path) -> None:
    """Make the names in a folder survive a power failure, where the system can."""
    if os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems have no such thing
            raise
    finally:
        os.close(handle)


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in a folder and its folders, in the order of their names; links count as files."""
    for parent, inside, names in os.walk(folder):
        inside.sort()
        links = [name for name in inside if Path(parent, name).is_symlink()]
        yield from (Path(parent, name) for name in sorted(names + links))


def reread(root: Path, path: Path) -> bytes:
    """The content of a file below `root`, never of one that a link leads to.

    Raises:
        OSError: It cannot be read, or something on the way is a link.

    """
    current = root
    for part in path.relative_to(root).parts:
        current /= part
        if not is_plain(current, folder=current != path):
            missing = not exists(current)
            number = errno.ENOENT if missing else errno.ELOOP
            raise OSError(number, os.strerror(number) if missing else "is a link or of the wrong kind", str(current))
    return path.read_bytes()


def remove_leftovers(folder: Path) -> None:
    """Remove half-written files of processes that were killed, and folders that nothing came into."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            if _UNFINISHED.fullmatch(name):
                Path(parent, name).unlink(missing_ok=True)
        if Path(parent) != folder:
            with contextlib.suppress(OSError):  # it is not empty
                Path(parent).rmdir()


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of this file, which ends with the process that holds it, however it ends.

    Args:
        path: The file; it is made if it is not there, and stays.
        shared: Whether others may hold it at the same time for reading; the file must then exist.

    """
    flags = os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT
    handle = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        try:
            _acquire(handle, shared=shared)
        except OSError as error:
            if error.errno not in _NO_LOCKS:  # without locks, renaming is still all or nothing
                raise
        yield
    finally:
        _release(handle)
        os.close(handle)


if sys.platform == "win32":

    def _acquire(handle: int, *, shared: bool) -> None:  # noqa: ARG001 - there are no shared locks there
        while True:
            try:
                msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
            except OSError as error:  # it gives up after ten seconds
                if error.errno != errno.EDEADLK:
                    raise
            else:
                return

    def _release(handle: int) -> None:
        with contextlib.suppress(OSError):
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:

    def _acquire(handle: int, *, shared: bool) -> None:
        fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)

    def _release(handle: int) -> None:
        # Said, and not left to close(): a process that was forked meanwhile has the handle as well.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
