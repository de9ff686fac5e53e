"""`parallel_map` in processes of this machine.

The pool is that of `ProcessExecution` and not one of `concurrent.futures`: there, a worker that dies takes all others
with it and nobody knows which items it had; workers outlive a coordinator that is killed; and a script without a guard
starts itself again.
"""

from __future__ import annotations

import collections
import multiprocessing
import pickle
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.errors import NotSendableError, RemoteError, WorkerError, describe
from crystallize_executors.budget import share
from crystallize_executors.gathering import described, name_of
from crystallize_executors.map_worker import Ticket, function_bytes, item_bytes, read_error
from crystallize_executors.pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from crystallize_executors.gathering import Gathering
    from crystallize_executors.pool import Worker
    from crystallize_executors.worker import Message

__all__ = ["map_in_processes"]

AHEAD_SECONDS: Final = 0.1
"""A worker is given about this much work in advance, so that it never waits for the coordinator."""
AHEAD_ITEMS: Final = 1024
"""A worker is never given more items than this in advance."""
AHEAD_BYTES: Final = 4_000_000
"""Nor more bytes, unless one item is larger."""
START_ATTEMPTS: Final = 3
"""How many workers in a row may end while they start."""


def map_in_processes(gathering: Gathering, func: Callable[[Any], Any], count: int, total: int | None) -> None:
    """Call the function in up to so many processes; none of them is left when this returns or raises.

    Raises:
        NotSendableError: The function cannot be sent to another process.
        WorkerError: Workers cannot start, or cannot load the function.

    """
    first = gathering.next_item()
    if first is None:
        return
    payload = function_bytes(func)
    if multiprocessing.current_process().daemon:
        raise WorkerError(
            "parallel_map cannot start processes here: this process is a daemon, as the workers of multiprocessing.Pool "
            """are, and those may have no children; use backend="thread\""""
        )
    with WorkerPool(None, payload, share(count)) as pool:
        _Run(gathering, pool, name_of(func), count, total).drive(first)


class _Run:
    """The loop of the coordinator: read items, keep the workers busy, take what they send, replace those that die."""

    def __init__(self, gathering: Gathering, pool: WorkerPool, name: str, count: int, total: int | None) -> None:
        self._gathering = gathering
        self._pool = pool
        self._name = name
        self._count = count
        self._left = total
        self._waiting: collections.deque[Ticket] = collections.deque()
        self._alone: collections.deque[Ticket] = collections.deque()
        self._suspects: set[int] = set()
        self._seconds: float | None = None
        self._failed_starts = 0

    def drive(self, first: tuple[int, Any]) -> None:
        """Run everything, or everything before the first item that fails."""
        self._accept(*first)
        while True:
            self._start_workers()
            self._feed()
            if self._gathering.is_settled():
                if self._gathering.first_failure is not None:
                    self._pool.abandon()  # the items after it are not wanted
                return
            for worker in self._pool.wait():
                self._listen(worker)
            self._pool.end_overdue()

    # --- items out

    def _start_workers(self) -> None:
        while len(self._pool.workers) < self._count:
            busy = sum(bool(worker.in_flight) for worker in self._pool.workers)
            if len(self._waiting) + len(self._alone) <= len(self._pool.workers) - busy and not self._read():
                return
            self._pool.start_worker()

    def _read(self) -> bool:
        """Take one more item of the input; whether there was one that can be sent."""
        while (task := self._gathering.next_item()) is not None:
            if self._accept(*task):
                return True
        return False

    def _accept(self, index: int, item: Any) -> bool:
        if self._left is not None:
            self._left -= 1
        try:
            body = item_bytes(item)
        except Exception as error:  # noqa: BLE001 - foreign objects may raise anything when pickled
            text = f"item {index} of {self._name} cannot be sent to another process: {described(item)}"
            trouble = NotSendableError(f"{text}: {describe(error)}")
            trouble.__cause__ = error
            self._gathering.failed(index, trouble)
            return False
        self._waiting.append(Ticket(index, body))
        return True

    def _feed(self) -> None:
        for worker in self._pool.workers:
            while worker.ready and (chunk := self._next_chunk(worker)):
                worker.send(chunk)

    def _next_chunk(self, worker: Worker) -> list[int]:
        if any(number in self._suspects for number in worker.in_flight):
            return []
        while self._alone and self._is_unwanted(self._alone[0]):
            self._alone.popleft()
        if self._alone:
            return [] if worker.in_flight else [self._alone.popleft()]
        wanted = self._ahead()
        if len(worker.in_flight) > wanted // 2:
            return []
        # Two chunks, so that the worker has the second while the results of the first are on their way.
        size = min(wanted - len(worker.in_flight), max(1, wanted // 2))
        room = AHEAD_BYTES - sum(len(ticket.body) for ticket in worker.in_flight if isinstance(ticket, Ticket))
        chunk: list[int] = []
        while len(chunk) < size and (room > 0 or not (chunk or worker.in_flight)) and (self._waiting or self._read()):
            ticket = self._waiting.popleft()
            if not self._is_unwanted(ticket):
                chunk.append(ticket)
                room -= len(ticket.body)
        return chunk

    def _is_unwanted(self, index: int) -> bool:
        failed_at = self._gathering.first_failure
        if failed_at is None or index < failed_at:
            return False
        self._gathering.skipped(index)
        return True

    def _ahead(self) -> int:
        """How many items a worker should have; towards a known end fewer, so that all end at one time."""
        if self._seconds is None:
            return 1
        wanted = min(int(AHEAD_SECONDS / max(self._seconds, 1e-9)), AHEAD_ITEMS)
        if self._left is not None:
            wanted = min(wanted, -(-self._left // (2 * self._count)))
        return max(1, wanted)

    # --- results in

    def _listen(self, worker: Worker) -> None:
        # Asked before the pipe is emptied: what a process said before it ended is then still heard.
        ended = worker.has_ended()
        while worker.answers.poll():
            message = worker.receive()
            if message is None:
                ended = True
                break
            self._take(worker, message)
        if ended:
            self._replace(worker)

    def _take(self, worker: Worker, message: Message) -> None:
        if message.kind == "ready":
            worker.ready = True
            self._failed_starts = 0
        elif message.kind == "outcomes":
            mean = message.seconds / len(message.numbers)
            self._seconds = mean if self._seconds is None else 0.7 * self._seconds + 0.3 * mean
            for number, (succeeded, body) in zip(message.numbers, pickle.loads(message.body or b""), strict=True):  # noqa: S301 - from a process of this call
                worker.in_flight.pop(number, None)
                self._deliver(int(number), body, succeeded=succeeded)
        else:
            what = f"could not load {self._name}" if message.kind == "unusable" else f"failed to run {self._name}"
            raise WorkerError(f"a worker process of parallel_map {what}: {message.text}") from _cause(message)

    def _deliver(self, index: int, body: bytes, *, succeeded: bool) -> None:
        if not succeeded:
            self._gathering.failed(index, read_error(body))
            return
        try:
            result = pickle.loads(body)  # noqa: S301 - from a process of this call
        except Exception as error:  # noqa: BLE001 - a foreign __setstate__ may raise anything
            text = f"the result of item {index} of {self._name} cannot be read from its worker process"
            trouble = NotSendableError(f"{text}: {describe(error)}")
            trouble.__cause__ = error
            self._gathering.failed(index, trouble)
        else:
            self._gathering.done(index, result)

    def _replace(self, worker: Worker) -> None:
        """Decide about the items of a dead worker; the loop starts another in its place."""
        how, _ = self._pool.bury(worker)
        lost = [ticket for ticket in worker.in_flight if isinstance(ticket, Ticket)]
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= START_ATTEMPTS:
                raise self._pool.startup_error(how)
        if worker.overdue is not None:
            number, error = worker.overdue.number, worker.overdue.error
            if number in lost:
                self._gathering.failed(number, error)
            self._waiting.extendleft(ticket for ticket in reversed(lost) if ticket != number)
            return
        if len(lost) == 1:
            index = int(lost[0])
            text = f"the worker process that ran item {index} of {self._name} died with {how}"
            self._gathering.failed(index, WorkerError(f"{text}; the item: {described(self._gathering.item(index))}"))
            return
        # Nobody knows which of them it was in. Alone, the next death names the guilty one.
        self._suspects.update(lost)
        self._alone.extend(lost)


def _cause(message: Message) -> BaseException:
    try:
        error = pickle.loads(message.body or b"")  # noqa: S301 - from a process of this call
    except Exception:  # noqa: BLE001 - its words remain
        error = None
    return error if isinstance(error, BaseException) else RemoteError(*message.text.partition(": ")[::2])
