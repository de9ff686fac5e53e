"""What runs in the server process: it imports what every worker needs, and makes a copy of itself for each of them.

It knows nothing of experiments, has one thread, and nothing of a user's is ever imported here. Requests come over a
socket, a byte each, with the descriptors that the copy gets. The coordinator learns from a pipe for each copy which
process it is, and later how it ended. The server ends when the coordinator has closed the socket (or is gone), and the last copy has ended.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
from collections.abc import Iterable
from multiprocessing import forkserver, resource_tracker, spawn
from typing import Final, NoReturn

__all__ = ["READY", "close_all", "main", "taken_over"]

PRELOADED: Final = (
    "cloudpickle",
    "crystallize_core.engine.replicates",
    "crystallize_core.engine.session",
    "crystallize_core.experiment",
    "crystallize_core.record",
    "crystallize_core.stack.parity",
    "crystallize_executors.forking",
    "crystallize_executors.processes",
    "crystallize_executors.worker",
)
"""The modules that workers need in any case."""
READY: Final = b"r"
"""What the server says when it can take requests."""
MOST_DESCRIPTORS: Final = 64
"""How many descriptors a request may have."""
taken_over: list[int] = []
"""The descriptors that this process was given when it was copied, for whoever rebuilds what they belong to."""


def main(descriptor: int) -> NoReturn:
    """Be the server until it is not needed any more; in each copy of it, be a worker.

    Args:
        descriptor: The socket to the coordinator.

    """
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that collections in the workers do not touch, and so copy, what they share
    with socket.socket(fileno=descriptor) as requests:
        try:
            requests.sendall(READY)
        except ConnectionError:  # the coordinator has ended, or started another one
            sys.exit(0)
        copied = _Server(requests).serve()
    sys.exit(0 if copied is None else _work(*copied))


class _Server:
    """Makes copies and tells what becomes of them, until nobody asks any more and the last copy has ended."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._is_wanted = True
        self._reports: dict[int, int] = {}  # process -> where to say how it ended
        self._wake_reader, self._wake_writer = os.pipe()
        for end in (self._wake_reader, self._wake_writer):
            os.set_blocking(end, False)
        self._selector = selectors.DefaultSelector()

    def serve(self) -> tuple[int, int, list[int]] | None:
        """Answer requests; returns None when there will be none, and in a copy what the copy was given."""
        signal.signal(signal.SIGCHLD, lambda *_: None)  # so that the end of a copy is written to the pipe
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        self._selector.register(self._requests, selectors.EVENT_READ)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        while self._is_wanted or self._reports:
            ready = {key.fileobj for key, _ in self._selector.select()}
            if self._wake_reader in ready:
                os.read(self._wake_reader, 65536)
                self._bury()
            if self._requests in ready:
                copied = self._answer()
                if copied is not None:
                    return copied
        return None

    def _bury(self) -> None:
        """Tell how those copies ended that have."""
        while self._reports:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            report = self._reports.pop(process)
            _tell(report, os.waitstatus_to_exitcode(status))
            os.close(report)

    def _answer(self) -> tuple[int, int, list[int]] | None:
        """Take one request and make a copy."""
        try:
            said, descriptors, flags, _ = socket.recv_fds(self._requests, 1, MOST_DESCRIPTORS)
        except ConnectionError:
            said, descriptors, flags = b"", [], 0
        if not said:
            self._is_wanted = False
            self._selector.unregister(self._requests)
            return None
        report, *given = descriptors
        # Some have not come if this process may have no more of them.
        process = -errno.EMFILE if flags & socket.MSG_CTRUNC else _fork()
        if process < 0:
            _tell(report, process)
            close_all([report, *given])
            return None
        if process == 0:
            os.close(report)
            self._become_a_worker()
            data, tracker, *others = given
            return data, tracker, others
        self._reports[process] = report
        _tell(report, process)
        close_all(given)
        return None

    def _become_a_worker(self) -> None:
        """In the copy, give up everything that makes the server one."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        close_all([self._wake_reader, self._wake_writer, *self._reports.values()])


def _fork() -> int:
    """As `os.fork`; where that fails, the negative number of its error."""
    try:
        return os.fork()
    except OSError as error:
        return -(error.errno or errno.EAGAIN)


def _tell(report: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody is left who could want to know
        forkserver.write_signed(report, number)


def close_all(descriptors: Iterable[int]) -> None:
    """Close them."""
    for descriptor in descriptors:
        os.close(descriptor)


def _work(data: int, tracker: int, descriptors: list[int]) -> int:
    """Be the process whose description comes through the pipe `data`; returns its exit code."""
    resource_tracker._resource_tracker._fd = tracker  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing does
    taken_over[:] = descriptors
    importlib.invalidate_caches()  # files may have come since the server looked into their folders
    try:
        return spawn._main(data, os.dup(data))  # noqa: SLF001 - as multiprocessing does
    except EOFError:  # the coordinator has ended, or gave it up, before it could say what for
        return 1
