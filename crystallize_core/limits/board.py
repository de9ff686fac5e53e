"""The board: where a worker process shows until when the step that it runs may take.

A worker that hangs in C code cannot be asked, and one that says over its pipe when each limited attempt begins and
ends would keep the coordinator busy with nothing else. So it writes that into a few kilobytes of memory that both see,
which takes a microsecond; another process looks there now and then, and ends one whose time is long over.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
import sys
import tempfile
import time
from typing import Any, Final

import attrs

from crystallize_core.errors import RemoteError, describe

__all__ = ["ROOM", "Board", "Overdue"]

GRACE: Final = 2.0
"""Seconds after a limit before the process is ended, so that the ways inside it come first."""
SIZE: Final = 16_384
HEAD: Final = struct.Struct("=dqI")
"""When the time is over, as `time.monotonic` tells it, which is one clock for all processes; 0 for never. Which
replicate it is. The length of what follows."""
ROOM: Final = SIZE - HEAD.size
"""How long the bytes may be that say which step it is."""


@attrs.frozen
class Overdue:
    """A step whose time is long over.

    Attributes:
        number: The replicate.
        step, run, condition: Which step it is, as it was announced.
        error: What it fails with.

    """

    number: int
    step: str
    run: str | None
    condition: str | None
    error: BaseException

    @classmethod
    def read(cls, number: int, text: bytes) -> Overdue:
        """What a board says, from the bytes that were written on it."""
        try:
            return cls(number, *pickle.loads(text))  # noqa: S301 - from a process of this run
        except Exception as error:  # noqa: BLE001 - a foreign __setstate__ may raise anything
            words = f"a step did not end in time; which one cannot be read from its worker process: {describe(error)}"
            return cls(number, "unknown", None, None, RemoteError("TimeoutError", words))


class Board:
    """A piece of memory that one worker writes and another process reads."""

    def __init__(self) -> None:
        self._name = f"crystallize-{os.getpid()}-{os.urandom(8).hex()}"  # Windows finds it by its name, Unix has none
        self._file = -1 if sys.platform == "win32" else _memory_file()
        self._memory = _mapped(self._file, self._name)

    def __reduce__(self) -> tuple[Any, ...]:
        """For the process that is being started, and no other."""
        if sys.platform == "win32":
            return _copied, (None, self._name)
        from multiprocessing.reduction import DupFd  # noqa: PLC0415 - only a run with processes needs it

        return _copied, (DupFd(self._file), self._name)

    @staticmethod
    def opened(descriptor: int) -> Board:
        """That with this descriptor, which is closed; on Unix, for a process that was started with it."""
        return _Copy(descriptor, "")

    def fileno(self) -> int:
        """The descriptor of the memory, until the other process has it."""
        return self._file

    def sent(self) -> None:
        """The process has started, and has the memory."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def show(self, until: float, number: int, text: bytes) -> None:
        """Write until when a step may run, in which replicate, and the pickled rest of what `Overdue` says."""
        memory = self._memory
        memory[HEAD.size : HEAD.size + len(text)] = text
        HEAD.pack_into(memory, 0, until, number, len(text))

    def clear(self) -> None:
        """Nothing runs under a limit."""
        HEAD.pack_into(self._memory, 0, 0.0, 0, 0)

    def overdue(self) -> Overdue | None:
        """The step whose time has been over for some seconds, if there is one."""
        found = self.overdue_text()
        return None if found is None else Overdue.read(*found)

    def overdue_text(self) -> tuple[int, bytes] | None:
        """The same as it was written: the replicate, and the pickled rest."""
        head = self._memory[: HEAD.size]
        until, number, length = HEAD.unpack(head)
        if not (until and time.monotonic() >= until + GRACE):
            return None
        text = self._memory[HEAD.size : HEAD.size + length]
        if self._memory[: HEAD.size] != head:  # it has ended at this very moment
            return None
        return number, text

    def close(self) -> None:
        """Give the memory back."""
        self.sent()
        self._memory.close()


class _Copy(Board):
    """The board in the process that was started."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._file, self._name = -1, name
        self._memory = _mapped(descriptor, name)
        if descriptor >= 0:
            os.close(descriptor)


def _copied(handle: Any, name: str) -> Board:
    """That of a process of multiprocessing, which gets a handle of the descriptor; None on Windows."""
    return _Copy(-1 if handle is None else handle.detach(), name)


def _memory_file() -> int:
    """A file that has no name and goes away with the last process that has it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("crystallize")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.write(descriptor, bytes(SIZE))  # not a hole, which a full disk could not fill when it is written to
    return descriptor


def _mapped(descriptor: int, name: str) -> mmap.mmap:
    if sys.platform == "win32":
        return mmap.mmap(-1, SIZE, tagname=name)
    return mmap.mmap(descriptor, SIZE)
