"""The loop of the coordinator: keeps the workers busy, delivers what they answer, and decides about those that die."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Final

import attrs

from crystallize_core.errors import WorkerError, describe
from crystallize_core.progress import Progress
from crystallize_core.remote import Answer, lose_overdue, payload_of, take
from crystallize_core.schedule import Schedule
from crystallize_dask.cluster import Cluster, cluster_for
from crystallize_dask.demands import Demands
from crystallize_dask.link import Ended, Fetched, Finished, IsOverdue, Link, Started
from crystallize_dask.seats import Chunk, Seat

if TYPE_CHECKING:
    from crystallize_dask.execution import DaskExecution

__all__ = ["drive"]

AHEAD_SECONDS: Final = 1.0
"""How much work a worker is given in advance; a message takes some hundredths of a second."""
LOOK: Final = 0.25
"""How often, in seconds, to look after workers that say nothing."""
REFRESH: Final = 5.0
"""How often, in seconds, to ask which workers there are, although every change is announced."""
WITHOUT_WORKERS: Final = 60.0
"""Seconds to wait for workers to come back, or to start on this machine."""
WAITED_LONG: Final = 1.0
"""After so many seconds, what has not begun is taken from a worker and given to one that has nothing to do."""
MOST_IN_VAIN: Final = 50
"""How many chunks in a row may come back without having begun, and so many more for each worker that there was."""
BYTES_PER_SECOND: Final = 50e6
"""How fast outcomes travel; large ones count as time, so that fewer of them are on their way together."""


def drive(options: DaskExecution, experiment: Any, replicate_fn: Any, numbers: Sequence[int]) -> None:
    """Run these replicates and deliver their outcomes.

    Raises:
        NotSendableError: The experiment cannot be sent to another process.
        WorkerError: The scheduler or its workers are not there, or cannot run replicates.
        BaseException: What `replicate_fn` raised in a worker.

    """
    payload = payload_of(replicate_fn)
    demands = Demands.of(experiment)
    schedule = Schedule(numbers, 1, options.max_deaths, ahead_seconds=AHEAD_SECONDS)
    with (
        Progress(len(numbers), enabled=options.progress) as shown,
        cluster_for(options, len(numbers)) as cluster,
        Link(cluster.client, payload) as link,
    ):
        run = _Run(options, replicate_fn, schedule, shown)
        run.attach(cluster, link, demands)
        try:
            run.drive()
        except BaseException:
            run.leave(is_over=False)
            raise
        run.leave(is_over=True)


class _Run:
    def __init__(self, options: DaskExecution, replicate_fn: Any, schedule: Schedule, shown: Progress) -> None:
        self._options, self._shown = options, shown
        self._replicate_fn = replicate_fn
        self._schedule = schedule
        self._seats: dict[str, Seat] = {}
        self._chunks: dict[str, tuple[Seat, Chunk]] = {}
        self._in_vain = 0
        self._most_seats = 0
        self._alone_since = time.monotonic()
        self._refreshed = float("-inf")

    def attach(self, cluster: Cluster, link: Link, demands: Demands) -> None:
        """Say which cluster to use."""
        self._cluster, self._link, self._demands = cluster, link, demands

    def drive(self) -> None:
        """Run everything, until it is done or no more is wanted."""
        while not self._replicate_fn.stopped:
            in_flight = sum(len(chunk.numbers) for _, chunk in self._chunks.values())
            if not self._schedule.left and not in_flight:
                return
            if self._cluster.workers is not None:
                self._cluster.workers.tend(self._schedule.left + in_flight)
            self._look_after_workers()
            self._fill()
            for message in self._link.messages(LOOK):
                self._hear(message)
                if self._replicate_fn.stopped:
                    return
            self._take_back()

    def leave(self, *, is_over: bool) -> None:
        """Cancel what is not done, and tear down steps where they were set up."""
        self._link.cancel([chunk for _, chunk in self._chunks.values()])
        if self._cluster.workers is None:
            self._link.tear_down([seat for seat in self._seats.values() if seat.has_run])
        elif is_over:
            self._cluster.workers.kill({seat.name for seat in self._seats.values() if seat.chunks})
            self._link.tear_down([seat for seat in self._seats.values() if seat.has_run and not seat.chunks])

    # Workers that come and go ---------------------------------------------------------------------

    def _look_after_workers(self) -> None:
        if not self._link.is_open:
            raise WorkerError(f"the connection to the Dask scheduler at {self._cluster.address} is lost")
        now = time.monotonic()
        if now - self._refreshed > (REFRESH if self._seats else LOOK):
            self._refresh()
            self._refreshed = now
        if self._seats:
            self._alone_since = now
            self._most_seats = max(self._most_seats, len(self._seats))
        elif now - self._alone_since > self._patience():
            raise WorkerError(self._without_workers())

    def _patience(self) -> float:
        timeout = self._options.connect_timeout
        return max(timeout, WITHOUT_WORKERS) if self._most_seats or self._cluster.workers is not None else timeout

    def _without_workers(self) -> str:
        address, timeout = self._cluster.address, f"{self._patience():g} s"
        if self._cluster.workers is not None:
            return f"the workers of the local Dask cluster did not start within {timeout}"
        return (
            f"the Dask scheduler at {address} has no workers (waited {timeout})\n"
            f"  start some with `dask worker {address}`, or wait longer with a larger connect_timeout"
        )

    def _refresh(self) -> None:
        """See which workers there are; those that joined late get work from now on."""
        there = self._link.workers()
        for address in [address for address in self._seats if address not in there]:
            self._bury(address, expected=False)
        for address, worker in there.items():
            if address not in self._seats:
                takes = {} if self._cluster.workers is not None else self._demands.taken_of(worker)
                if takes is not None:
                    self._seats[address] = Seat(address, str(worker.get("name", address)), takes)
        if there and not self._seats and not self._most_seats:
            raise WorkerError(f"the Dask cluster at {self._cluster.address}: {self._demands.refusal(there)}")
        if self._cluster.workers is not None:
            self._cluster.workers.seen(seat.name for seat in self._seats.values())
        self._schedule.workers = max(1, len(self._seats))

    def _bury(self, address: str, *, expected: bool) -> None:
        """Decide about what a worker had that is gone."""
        seat = self._seats.pop(address, None)
        if seat is None:
            return
        self._link.cancel(seat.chunks.values())
        for chunk in list(seat.chunks.values()):
            self._forget(chunk)
            if expected or chunk.done or not chunk.started:
                self._hand_back(chunk)
            else:
                self._died(seat, chunk)

    def _died(self, seat: Seat, chunk: Chunk) -> None:
        if seat.overdue is not None:
            self._shown.advance(lose_overdue(self._replicate_fn, seat.overdue, chunk.numbers, self._schedule))
            return
        for number in self._schedule.died(chunk.numbers):
            times = self._schedule.deaths(number)
            text = f"its Dask worker died {times} times while it ran alone in it, at last the one at {seat.address}"
            self._replicate_fn.lost(number, WorkerError(text))
            self._shown.advance()

    def _hand_back(self, chunk: Chunk, why: str = "workers die before they begin") -> None:
        self._schedule.give_back(chunk.numbers)
        self._in_vain += 1
        if self._in_vain > MOST_IN_VAIN * (1 + self._most_seats):
            raise WorkerError(f"replicates came back {self._in_vain} times in a row from the Dask cluster: {why}")

    # Chunks ---------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Give work to all that have little of it, beginning with those that have none."""
        for seat in sorted(self._seats.values(), key=lambda seat: (seat.is_busy, len(seat.chunks))):
            while numbers := self._schedule.next_chunk(seat.in_flight):
                chunk = self._link.send(seat, numbers)
                self._chunks[chunk.mark] = seat, chunk

    def _take_back(self) -> None:
        """Where one worker has nothing to do, take from another what it does not come to."""
        if self._schedule.left or all(seat.chunks for seat in self._seats.values()):
            return
        waiting = [(seat, chunk) for seat, chunk in self._chunks.values() if chunk.waits(WAITED_LONG)]
        for seat, chunk in waiting[:1]:
            seat.is_busy = True
            self._link.cancel([chunk])
            self._forget(chunk)
            self._schedule.give_back(chunk.numbers)

    def _forget(self, chunk: Chunk) -> None:
        seat, _ = self._chunks.pop(chunk.mark)
        del seat.chunks[chunk.mark]

    # What is heard --------------------------------------------------------------------------------

    def _hear(self, message: Any) -> None:
        if isinstance(message, Ended):
            self._bury(message.address, expected=message.expected)
            self._refreshed = float("-inf")
        elif isinstance(message, IsOverdue):
            if message.address in self._seats:
                self._seats[message.address].overdue = message.overdue
        elif not hasattr(message, "mark"):
            self._refreshed = float("-inf")
        elif message.mark in self._chunks:  # or it was given to somebody else, and this is too late
            seat, chunk = self._chunks[message.mark]
            if isinstance(message, Started):
                chunk.started = seat.has_run = True
                seat.is_busy = False
            elif isinstance(message, Finished):
                chunk.done = True
            elif message.error is None:
                self._take(chunk, message.answer)
            else:
                self._failed(seat, chunk, message)

    def _take(self, chunk: Chunk, answer: Answer) -> None:
        self._forget(chunk)
        self._in_vain = 0
        self._schedule.give_back(chunk.numbers[answer.ran :])
        size = sum(len(body) for _, body in answer.outcomes)
        answer = attrs.evolve(answer, seconds=answer.seconds + size / BYTES_PER_SECOND)
        self._shown.advance(take(self._replicate_fn, answer, self._schedule))

    def _failed(self, seat: Seat, chunk: Chunk, message: Fetched) -> None:
        from distributed import KilledWorker  # noqa: PLC0415 - here it is loaded

        self._forget(chunk)
        if isinstance(message.error, KilledWorker):
            if chunk.started:
                self._died(seat, chunk)
            else:
                self._hand_back(chunk)
        elif isinstance(message.error, CancelledError):
            self._hand_back(chunk, describe(message.error))
        else:
            assert message.error is not None
            raise WorkerError(self._unusable(seat, message.error)) from message.error

    def _unusable(self, seat: Seat, error: BaseException) -> str:
        return (
            f"the Dask worker {seat.name!r} at {seat.address} cannot run replicates: {describe(error)}\n"
            f"  workers need the same packages as the coordinator: pip install crystallize-dask"
        )
