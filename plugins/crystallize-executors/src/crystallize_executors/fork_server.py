"""The coordinator's side of the server process that workers are copied from.

The one of the standard library is not used: it belongs to the program of the user, its workers run `__main__` again,
what it is to import in advance is looked for on the `sys.path` of a fresh interpreter, and it keeps the environment of the
moment at which it was started. This one is there for our workers, is left running for the runs that follow, and is
replaced as soon as a process that were started now would not be like it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from multiprocessing import forkserver, process, resource_tracker
from typing import Any, Final

import attrs

from crystallize_core.errors import WorkerError
from crystallize_core.processes import interrupts_blocked, sys_path
from crystallize_executors.surroundings import surroundings

__all__ = ["Copy", "server", "started_in"]

GRACE: Final = 5.0
"""Seconds that the server gets to end at the end of the program."""
PROGRAM: Final = (
    "import sys; sys.path[:] = {path!r}; from crystallize_executors.fork_server_main import main; main({socket})"
)


@attrs.frozen
class Copy:
    """A process that the server made.

    Attributes:
        process: Its number.
        report: The descriptor that its exit code will come from; it ends without one if the server does.
        description: The descriptor for the pickled description of what it is to do.

    """

    process: int
    report: int
    description: int


@attrs.define(eq=False)
class _Running:
    """A server that was started.

    Attributes:
        process: The process.
        requests: The socket for requests.
        surroundings: What it took over from this process.
        is_ready: Whether it has said so.

    """

    process: subprocess.Popen[bytes]
    requests: socket.socket
    surroundings: dict[str, Any] = attrs.field(repr=False)
    is_ready: bool = False

    @classmethod
    def started(cls, now: dict[str, Any]) -> _Running:
        """Start one; `now` is what it takes over."""
        ours, theirs = socket.socketpair()
        executable, flags = now["interpreter"]
        program = PROGRAM.format(path=sys_path(started_in()), socket=theirs.fileno())
        try:
            with interrupts_blocked():
                child = subprocess.Popen(  # noqa: S603 - our own program
                    [os.fsdecode(executable), *flags, "-c", program],
                    stdin=subprocess.DEVNULL,  # workers have none, and it would be kept from whoever writes to ours
                    pass_fds=[theirs.fileno()],
                )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(child, ours, now)

    def fits(self, now: dict[str, Any]) -> bool:
        """Whether a process that were started now would be like it."""
        return self.process.poll() is None and self.surroundings == now

    def wait_until_ready(self) -> None:
        """Wait until it has imported what it should."""
        if self.is_ready:
            return
        with contextlib.suppress(ConnectionError):
            self.is_ready = bool(self.requests.recv(1))
        if not self.is_ready:
            code = self.process.wait()
            raise WorkerError(
                f"the server process that workers are copied from ended while it started (exit code {code}); what it wrote "
                """to stderr says why; start_method="spawn" does without it"""
            )

    def copy(self, descriptors: list[int]) -> Copy:
        """Have it make a copy of itself that gets these descriptors.

        Raises:
            OSError: It cannot, or is gone.
            EOFError: It is gone.

        """
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            report, report_writer = _pipe(ours, theirs)
            description_reader, description = _pipe(theirs, ours)
            tracker = resource_tracker.getfd()
            assert tracker is not None  # it is started by asking
            socket.send_fds(self.requests, [b"f"], [report_writer, description_reader, tracker, *descriptors])
            theirs.close()  # that nobody has the other end any more is how the end of the server is noticed
            number = forkserver.read_signed(report)
            if number < 0:
                raise OSError(-number, os.strerror(-number))
            ours.pop_all()
            return Copy(number, report, description)


def _pipe(reading: contextlib.ExitStack, writing: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe whose ends are closed with these."""
    reader, writer = os.pipe()
    reading.callback(os.close, reader)
    writing.callback(os.close, writer)
    return reader, writer


class _Server:
    """The server of this process: none before it is needed, and one at a time."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._running: _Running | None = None
        self._retired: list[subprocess.Popen[bytes]] = []

    def begin(self) -> None:
        """Start one unless there is one that fits; returns before it is ready."""
        now = surroundings()
        with self._lock:
            if self._running is not None and self._running.fits(now):
                return
            self._retire()
            self._running = _Running.started(now)

    def wait_until_ready(self) -> None:
        """The same, and wait for it; afterwards processes are there in a moment.

        Raises:
            WorkerError: It does not start.

        """
        with self._lock:
            self.begin()
            self._ready()

    def copy(self, descriptors: list[int]) -> Copy:
        """Have a process made that gets these descriptors.

        Raises:
            WorkerError: The server does not start, or ends as soon as it is asked.
            OSError: There are no descriptors or processes left.

        """
        with self._lock:
            try:
                return self._ready().copy(descriptors)
            except (EOFError, ConnectionError):  # somebody has ended it
                self._retire()
            try:
                return self._ready().copy(descriptors)
            except (EOFError, ConnectionError) as error:
                raise WorkerError(
                    "the server process that workers are copied from ends when it is asked for one"
                ) from error

    def _ready(self) -> _Running:
        if self._running is None:
            self._running = _Running.started(surroundings())
        try:
            self._running.wait_until_ready()
        except BaseException:  # Ctrl-C or a time limit, after which nobody could tell what it has said
            self._retire()
            raise
        return self._running

    def _retire(self) -> None:
        """Leave the server to itself: it ends as soon as its last worker has."""
        self._retired = [child for child in self._retired if child.poll() is None]
        if self._running is not None:
            self._running.requests.close()
            self._retired.append(self._running.process)
            self._running = None

    def stop(self) -> None:
        """End it, when there are no workers any more."""
        if not self._lock.acquire(
            timeout=GRACE
        ):  # a thread that was left behind waits for it; it ends with this process
            return
        try:
            self._retire()
            for child in self._retired:
                try:
                    child.wait(GRACE)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
            self._retired.clear()
        finally:
            self._lock.release()

    def forget(self) -> None:
        """In a copy of this process: the server is that of the process it was copied from."""
        self._lock = threading.RLock()
        children, self._retired = self._retired, []
        if self._running is not None:
            self._running.requests.close()
            children.append(self._running.process)
            self._running = None
        for child in children:
            child.returncode = 0  # nobody is to wait here for what is not a child


server: Final = _Server()
"""That of this process."""
os.register_at_fork(after_in_child=server.forget)


def started_in() -> str:
    """The folder that this process was started in, as far as multiprocessing knows; else nothing."""
    return process.ORIGINAL_DIR or ""  # type: ignore[attr-defined]
