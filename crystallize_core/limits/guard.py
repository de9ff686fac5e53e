"""A small process beside a worker that is elsewhere: it ends the worker when a step of it is far over its limit.

C code that keeps the interpreter to itself lets no other thread of its process run, and the coordinator is too far away
to end it. The guard looks at the board of the worker. Before it ends the process, it tells somebody which step it was and
what that fails with.

    guard = guard_of_this_process(partial(leave_words, file), coordinator)    # a worker, before it runs steps
    answer = run_chunk(payload, [0, 1, 2], guard)                # the same
    found = last_words(file)                                     # the coordinator, after the worker has died
    settled = lose_overdue(replicate_fn, Overdue.read(*found), in_flight, schedule)
"""

from __future__ import annotations

import atexit
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from crystallize_core import watchdog
from crystallize_core.limits.board import Board
from crystallize_core.limits.reporter import LimitReporter
from crystallize_core.processes import interrupts_blocked, sys_path, this_process

if TYPE_CHECKING:
    from crystallize_core.watchdog import Announcement

__all__ = ["Guard", "guard_of_this_process"]

PROGRAM: Final = "import sys; sys.path[:] = {path!r}; from crystallize_core.limits.guarding import main; main({board}, {process}, {tell!r})"


class Guard:
    """The watchdog of a worker; its process is started when the first limited attempt begins.

    Args:
        tell: Called in the process of the guard, with the number of the replicate and the bytes for `Overdue.read`, before
            the worker is ended. It has to survive pickling, and gets ten seconds.

    """

    def __init__(self, tell: Callable[[int, bytes], Any]) -> None:
        self.tell = pickle.dumps(tell)
        self._board = Board()
        self._reporter = LimitReporter(self._board)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def number(self) -> int:
        """The replicate that runs now."""
        return self._reporter.number

    @number.setter
    def number(self, number: int) -> None:
        self._reporter.number = number

    def begin(self, announcement: Announcement) -> Any:
        """A step of this process begins, and has to be done in time."""
        if self._process is None:
            self._start()
        return self._reporter.begin(announcement)

    def end(self, token: Any) -> None:
        """It is done."""
        self._reporter.end(token)

    def _start(self) -> None:
        with self._lock, interrupts_blocked():
            if self._process is not None:
                return
            board = self._board.fileno()
            # It starts in the folder that this process is in now, so that "" and what is relative mean the same there.
            program = PROGRAM.format(path=sys_path(), board=board, process=os.getpid(), tell=self.tell)
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-c", program],
                stdin=subprocess.PIPE,  # nothing comes over it; that it is closed says that this process has ended
                stdout=subprocess.DEVNULL,
                pass_fds=[board],
            )
            self._board.sent()

    def close(self) -> None:
        """End its process."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
                self._process.wait()
                self._process = None
            self._board.close()


_guards: Final[list[Guard]] = []
"""That of this process, if there is one."""


def guard_of_this_process(tell: Callable[[int, bytes], Any], coordinator: str) -> Guard | None:
    """The guard of this process, installed as its watchdog.

    None where the system has no such thing, and where this is the process of the coordinator: it would end the program of
    the user.

    Args:
        tell: As for `Guard`. With another one than before, the guard is another one.
        coordinator: What `this_process()` is there.

    """
    if sys.platform == "win32" or coordinator == this_process():
        return None
    if _guards and _guards[0].tell == pickle.dumps(tell):
        return _guards[0]
    if _guards:
        _guards.pop().close()
    else:
        atexit.register(_close)
        # A copy of this process, made by a step, must not write on its board.
        os.register_at_fork(after_in_child=lambda: watchdog.install(None))
    _guards.append(Guard(tell))
    watchdog.install(_guards[0])
    return _guards[0]


def _close() -> None:
    watchdog.install(None)
    _guards.pop().close()
