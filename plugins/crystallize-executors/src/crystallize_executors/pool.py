"""The coordinator's side of the worker processes.

Each worker has pipes of its own instead of a queue shared by all, as in `concurrent.futures` and loky.
So the death of one worker disturbs no other, it is known which replicates it had, a half-written outcome
harms nobody, and a worker ends by itself when the coordinator does.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final, Self

import attrs

from crystallize_core.errors import WorkerError
from crystallize_core.limits.board import Board, Overdue
from crystallize_core.processes import interrupts_blocked
from crystallize_executors.worker import Message, serve

__all__ = ["Worker", "WorkerPool"]

GRACE: Final = 5.0
"""Seconds that workers get to end by themselves once nothing is left to do."""
LOOK: Final = 0.25
"""How often, in seconds, to look after workers that say nothing."""


@attrs.define(eq=False)
class Worker:
    """One worker process and what it was given.

    Attributes:
        process: The process.
        tasks: Where its chunks go.
        answers: Where its messages come from.
        board: Where it shows the limits of its steps.
        in_flight: The replicates that it was sent and has not answered, in the order of sending.
        ready: Whether it has rebuilt the experiment.
        overdue: The step because of which it was ended; None if it was not.

    """

    process: BaseProcess
    tasks: Connection
    answers: Connection
    board: Board
    in_flight: dict[int, None] = attrs.field(factory=dict)
    ready: bool = False
    overdue: Overdue | None = None

    def send(self, numbers: list[int]) -> None:
        """Give it replicates to run; that it has died is noticed elsewhere."""
        self.in_flight.update(dict.fromkeys(numbers))
        with contextlib.suppress(OSError):
            self.tasks.send_bytes(pickle.dumps(numbers))

    def finish(self) -> None:
        """Tell it that no chunk follows."""
        with contextlib.suppress(OSError):
            self.tasks.send_bytes(b"")

    def receive(self) -> Message | None:
        """Its next message; None when there will be none."""
        try:
            return Message(*pickle.loads(self.answers.recv_bytes()))  # noqa: S301 - from the process started here
        except (EOFError, OSError):
            return None

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return not self.process.is_alive()

    def how_it_ended(self) -> tuple[str, bool]:
        """Its exit code in words, and whether it was killed by a signal."""
        self.process.join(1.0)
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}", False
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name, True
        return f"signal {-code}", True


def _way_of(start_method: str | None) -> tuple[Callable[..., BaseProcess], Callable[[], None]]:
    """How processes are made, and what is to be done before one is started; only runs with processes import it."""
    has_server = "forkserver" in multiprocessing.get_all_start_methods()
    if start_method == "forkserver" or (start_method is None and has_server):
        if not has_server:
            raise WorkerError(
                """this system cannot copy processes: use start_method="spawn", or leave it to be chosen"""
            )
        from crystallize_executors.fork_server import server  # noqa: PLC0415
        from crystallize_executors.forking import ForkedProcess  # noqa: PLC0415

        server.begin()  # so that it starts while other things are done
        return ForkedProcess, server.wait_until_ready
    import loky  # noqa: F401, PLC0415 - registers its start method, a spawn that does not run `__main__` again

    return multiprocessing.get_context("loky").Process, lambda: None  # type: ignore[attr-defined]


class WorkerPool:
    """The worker processes of one run; a context manager that leaves none of them behind.

    Args:
        start_method: `spawn` or `forkserver`; None for the faster one that this system has.
        payload: The pickled replicate function, sent to each worker once.
        share: How many workers of its own each worker may have at work.

    """

    def __init__(self, start_method: str | None, payload: bytes, share: int) -> None:
        self._process, self._prepare = _way_of(start_method)
        self._payload = payload
        self._share = share
        self._started = 0
        self._abandoned = False
        self.workers: list[Worker] = []
        _pools.add(self)

    def start_worker(self) -> None:
        """Start one more worker; it says when it is ready.

        Raises:
            WorkerError: The interpreter is about to end.

        """
        if self._abandoned:
            raise WorkerError("no worker process can start any more: the interpreter is about to end")
        self._prepare()
        task_reader, task_writer = multiprocessing.Pipe(duplex=False)
        answer_reader, answer_writer = multiprocessing.Pipe(duplex=False)
        board = Board()
        self._started += 1
        process = self._process(
            target=serve,
            args=(task_reader, answer_writer, self._share, board),
            name=f"crystallize-worker-{self._started}",
            daemon=False,
        )
        try:
            with interrupts_blocked():
                process.start()
                self.workers.append(Worker(process, task_writer, answer_reader, board))
        except BaseException:  # a time limit may end this thread between the start and the list
            if process.pid is not None:
                process.kill()
                process.join()
            raise
        finally:
            # Only the worker may hold these ends: their closing tells that it is gone.
            task_reader.close()
            answer_writer.close()
            board.sent()
        # A large experiment does not fit into the pipe before the process reads it, and that takes a while.
        threading.Thread(target=self._feed, args=(task_writer,), daemon=True).start()

    def _feed(self, tasks: Connection) -> None:
        with contextlib.suppress(OSError, ValueError):
            tasks.send_bytes(self._payload)

    def wait(self) -> list[Worker]:
        """The workers that have something to say or have ended; after a moment, whether there are any or not."""
        handles: dict[Any, Worker] = {}
        for worker in self.workers:
            handles[worker.answers] = worker
            handles[worker.process.sentinel] = worker
        ready = {id(handles[handle]) for handle in connection.wait(list(handles), timeout=LOOK)}
        # A process that left a child of its own behind has ended without closing what is waited for.
        return [worker for worker in self.workers if id(worker) in ready or worker.has_ended()]

    def end_overdue(self) -> None:
        """End the workers whose step has been over its limit for long; that they have ended is noticed by `wait`."""
        for worker in self.workers:
            overdue = worker.board.overdue() if worker.overdue is None else None
            if overdue is not None and overdue.number in worker.in_flight:
                worker.overdue = overdue
                _kill(worker)

    def bury(self, worker: Worker) -> tuple[str, bool]:
        """Forget a worker that has ended; returns how it ended, and whether it was killed by a signal."""
        self.workers.remove(worker)
        worker.process.join(1.0)
        if worker.process.is_alive():  # it closed its pipe and went on
            _kill(worker)
        how = worker.how_it_ended()
        _close(worker)
        return how

    def startup_error(self, how: str) -> WorkerError:
        """The error for workers that end before they can say anything; `how` the last one did."""
        return WorkerError(f"worker processes end while they start ({how}); what they wrote to stderr says why")

    def abandon(self) -> None:
        """Kill the workers and start no other, whatever the thread that uses them is about to do."""
        self._abandoned = True
        for worker in list(self.workers):
            _kill(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._let_end()
        finally:
            for worker in self.workers:
                _kill(worker)
            for worker in self.workers:
                worker.process.join()
                _close(worker)
            self.workers.clear()

    def _let_end(self) -> None:
        for worker in self.workers:
            if worker.ready:
                worker.finish()
            else:
                _kill(worker)
            worker.answers.close()  # what it would still say is not wanted, and must not make it wait
        until = time.monotonic() + GRACE
        for worker in self.workers:
            worker.process.join(max(0.0, until - time.monotonic()))


_pools: Final[weakref.WeakSet[WorkerPool]] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    # A thread that was left behind by Ctrl-C may still drive a pool, and multiprocessing would wait for its workers.
    for pool in list(_pools):
        pool.abandon()
    loaded = sys.modules.get("crystallize_executors.fork_server")
    if loaded is not None:  # only after that: the server ends when its last worker has
        loaded.server.stop()


def _kill(worker: Worker) -> None:
    if not worker.process.is_alive():
        return
    if hasattr(signal, "SIGKILL") and worker.process.pid is not None:
        os.kill(worker.process.pid, signal.SIGKILL)  # the processes of loky have no kill()
    else:
        worker.process.terminate()


def _close(worker: Worker) -> None:
    for end in (worker.tasks, worker.answers):
        with contextlib.suppress(OSError):
            end.close()
    worker.board.close()
