"""A queue for several processes of this machine, kept in a folder that they share.

The tickets are in one file, which only the holder of a lock rewrites, as a whole. Each process has a second file, locked
for as long as it lives. The kernel releases a lock with the process that holds it, however that ends: who finds the file
of another process unlocked knows that the process is gone, and takes its tickets out of the queue. So nothing is lost
with a process that is killed, and nobody needs to be told.

Locks are those of POSIX and not of `flock`, because a child process inherits the latter, and would keep the tickets of a
parent that was killed. They belong to a process and end when it closes *any* descriptor of the file; so a process never
opens its own second file again, and the first one once.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import attrs

from crystallize_executors.admission import Ledger
from crystallize_executors.turns import Demand, Ticket

__all__ = ["FolderLedger", "can_lock", "folder_ledger", "remove_folder"]

LOCK: Final = "lock"
TICKETS: Final = "tickets.json"
HOLDER: Final = ".holder"


def can_lock() -> bool:
    """Whether this system has the locks that are needed."""
    try:
        import fcntl  # noqa: F401, PLC0415 - Windows has none
    except ImportError:
        return False
    return True


class FolderLedger(Ledger):
    """The queue in a folder, as one process sees it.

    Args:
        folder: The folder; made where it is missing.

    Raises:
        OSError: The folder cannot be made or written to.

    """

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{os.getpid()}-{secrets.token_hex(4)}")
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self._mutex = threading.Lock()  # locks of POSIX do not tell threads apart
        self._alive = _locked(self._sign(self._holder))
        self._lock = (folder / LOCK).open("ab")

    @contextlib.contextmanager
    def opened(self) -> Iterator[list[Ticket]]:
        """The tickets of all processes that are alive."""
        import fcntl  # noqa: PLC0415 - Windows has none

        with self._mutex:
            try:
                fcntl.lockf(self._lock, fcntl.LOCK_EX)
                before = self._read()
                tickets = self._without_lost(_tickets(before))
                yield tickets
                after = json.dumps([attrs.asdict(ticket) for ticket in tickets])
                if after != before:
                    self._write(after)
            finally:
                fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def pause(self, seconds: float) -> None:
        """Wait for so long; another process cannot wake this one."""
        time.sleep(seconds)

    def close(self) -> None:
        """Give back everything that this process has in the queue."""
        self._alive.close()
        self._lock.close()

    @property
    def is_removed(self) -> bool:
        """Whether the folder is gone: the run that it belonged to is over."""
        return not self._folder.exists()

    def _read(self) -> str:
        try:
            return (self._folder / TICKETS).read_text(encoding="utf-8")
        except FileNotFoundError:
            return "[]"

    def _write(self, text: str) -> None:
        # As a whole or not at all: this process may be killed at any moment.
        written = self._folder / f"{TICKETS}.writing"
        try:
            written.write_text(text, encoding="utf-8")
            written.replace(self._folder / TICKETS)
        except FileNotFoundError:
            if not self.is_removed:
                raise

    def _without_lost(self, tickets: list[Ticket]) -> list[Ticket]:
        """Those that somebody will give back: not those of dead processes, nor one that could not be given back.

        The disk may have been full at that moment, or Ctrl-C came a second time.
        """
        holders = {ticket.holder for ticket in tickets} - {self._holder}
        dead = {holder for holder in holders if not _is_locked(self._sign(holder))}
        living = [ticket for ticket in tickets if ticket.holder not in dead]
        return [ticket for ticket in living if ticket.holder != self._holder or ticket.number in self.in_use]

    def _sign(self, holder: str) -> Path:
        """The file that is locked while that process lives."""
        return self._folder / f"{holder}.alive"


def _tickets(text: str) -> list[Ticket]:
    return [
        Ticket(
            holder,
            number,
            Demand(**{**demand, "suitable": tuple(demand["suitable"])}),
            thread,
            None if devices is None else tuple(devices),
        )
        for holder, number, demand, thread, devices in (row.values() for row in json.loads(text))
    ]


def _locked(path: Path) -> IO[bytes]:
    """A new file with a lock on it, which lasts until the file is closed or the process ends."""
    import fcntl  # noqa: PLC0415 - Windows has none

    file = path.open("xb")
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def _is_locked(path: Path) -> bool:
    """Whether another process holds the lock; the file of one that has ended is removed."""
    import fcntl  # noqa: PLC0415 - Windows has none

    try:
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except (BlockingIOError, PermissionError):
        return True
    path.unlink(missing_ok=True)
    return False


_ledgers: Final[dict[tuple[int, Path], FolderLedger]] = {}
_lock: Final = threading.Lock()


def folder_ledger(folder: Path) -> FolderLedger:
    """The queue in a folder, the same object for all threads of this process.

    Raises:
        OSError: The folder cannot be made or written to.

    """
    key = os.getpid(), folder  # a process that was forked has neither the locks nor the tickets of its parent
    with _lock:
        if key not in _ledgers:
            # A worker that serves many runs must not keep the files of all of them open.
            for old in [other for other, ledger in _ledgers.items() if other[0] == key[0] and ledger.is_removed]:
                _ledgers.pop(old).close()
            _ledgers[key] = FolderLedger(folder)
        return _ledgers[key]


def remove_folder(folder: Path) -> None:
    """Remove the folder of a run that is over."""
    shutil.rmtree(folder, ignore_errors=True)
    with _lock:
        ledger = _ledgers.pop((os.getpid(), folder), None)
    if ledger is not None:
        ledger.close()
