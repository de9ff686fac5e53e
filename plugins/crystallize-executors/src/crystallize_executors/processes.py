"""`ProcessExecution`: replicates in processes of this machine."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import attrs

from crystallize_core import BasePlugin
from crystallize_core.errors import WorkerError
from crystallize_core.option_checks import at_least_one, one_of, true_or_false
from crystallize_core.packing import loaded_outcomes
from crystallize_core.progress import Progress
from crystallize_core.remote import lose_overdue
from crystallize_core.schedule import Schedule
from crystallize_executors.budget import share
from crystallize_executors.options import worker_count

if TYPE_CHECKING:
    from crystallize_executors.pool import Worker, WorkerPool
    from crystallize_executors.worker import Message

__all__ = ["ProcessExecution"]

START_ATTEMPTS: Final = 3
"""How many workers may end by themselves before the first one is ready; then the run is given up."""
START_ATTEMPTS_LATER: Final = 50
"""How many in a row may end while they start once one was ready, or where something kills them."""


@attrs.frozen
class ProcessExecution(BasePlugin):
    """Run replicates in processes: for steps that compute in Python.

    Args:
        max_workers: The number of processes; None for the number of cores that this process may use.
        start_method: `"forkserver"` (Unix) copies workers from a server process that has imported what
            every worker needs and nothing else; it is started once and serves the runs that follow.
            `"spawn"` starts a fresh interpreter for each worker, which takes some tenths of a second.
            None for `"forkserver"` where the system has it. Neither runs the user's script again.
        max_deaths: How many worker processes one replicate may take with it before its cells count as
            failed.
        progress: Whether to say on stderr how far the run is.

    Raises:
        ValueError: An option has a value that it cannot have.

    """

    plugin_name: ClassVar[str | None] = "process"
    concurrency = "process"

    max_workers: int | None = attrs.field(default=None, validator=at_least_one)
    start_method: Literal["spawn", "forkserver"] | None = attrs.field(
        default=None, validator=one_of("spawn", "forkserver", None)
    )
    max_deaths: int = attrs.field(default=3, validator=at_least_one)
    progress: bool = attrs.field(default=False, validator=true_or_false)

    def run_experiment_loop(self, experiment: Any, replicate_fn: Any) -> list[Any]:  # noqa: ARG002 - the hook's name
        """Run the pending replicates and deliver each outcome as it arrives.

        Raises:
            NotSendableError: The experiment cannot be sent to another process.
            WorkerError: The workers cannot rebuild the experiment, or die before they start.
            BaseException: What `replicate_fn` raised in a worker.

        """
        from crystallize_executors.pool import WorkerPool  # noqa: PLC0415 - only a run needs multiprocessing

        numbers = replicate_fn.pending
        if not numbers or replicate_fn.stopped:
            return []
        payload = pickle.dumps(replicate_fn)
        count = worker_count(self.max_workers, len(numbers))
        schedule = Schedule(numbers, count, self.max_deaths)
        with (
            Progress(len(numbers), enabled=self.progress) as shown,
            WorkerPool(self.start_method, payload, share(count)) as pool,
        ):
            _Run(replicate_fn, pool, schedule, shown).drive(count)
        return []


class _Run:
    """The loop of the coordinator: keep the workers busy, deliver what they send, replace those that die."""

    def __init__(self, replicate_fn: Any, pool: WorkerPool, schedule: Schedule, shown: Progress) -> None:
        self._replicate_fn = replicate_fn
        self._pool = pool
        self._schedule = schedule
        self._shown = shown
        self._failed_starts = 0
        self._one_was_ready = False

    def drive(self, count: int) -> None:
        """Run everything with at most `count` workers at a time, until it is done or no more is wanted."""
        while not self._replicate_fn.stopped:
            in_flight = sum(len(worker.in_flight) for worker in self._pool.workers)
            if not self._schedule.left and not in_flight:
                return
            while len(self._pool.workers) < min(count, self._schedule.left + in_flight):
                self._pool.start_worker()
            for worker in self._pool.workers:
                while worker.ready and (chunk := self._schedule.next_chunk(worker.in_flight)):
                    worker.send(chunk)
            for worker in self._pool.wait():
                self._listen(worker)
            self._pool.end_overdue()

    def _listen(self, worker: Worker) -> None:
        """Take everything that the worker has said, and notice if it has ended."""
        # Asked before the pipe is emptied: what a process said before it ended is then still heard.
        ended = worker.has_ended()
        while worker.answers.poll():
            message = worker.receive()
            if message is None:
                ended = True
                break
            self._take(worker, message)
            if self._replicate_fn.stopped:
                return
        if ended:
            self._replace(worker)

    def _take(self, worker: Worker, message: Message) -> None:
        if message.kind == "ready":
            worker.ready = self._one_was_ready = True
            self._failed_starts = 0
        elif message.kind == "outcomes":
            self._schedule.measured(len(message.numbers), message.seconds)
            self._answered(worker, message)
            self._deliver(message)
        elif message.kind == "unsent":
            self._answered(worker, message)
            self._lose(message.numbers[0], f"its outcome cannot be sent from its worker process: {message.text}")
        else:
            raise _error_of(message)

    def _answered(self, worker: Worker, message: Message) -> None:
        for number in message.numbers:
            worker.in_flight.pop(number, None)

    def _deliver(self, message: Message) -> None:
        try:
            outcomes = loaded_outcomes(message.body or b"")
        except Exception as error:  # noqa: BLE001 - a foreign __setstate__ may raise anything
            if len(message.numbers) > 1:
                self._schedule.run_alone(message.numbers)
            else:
                text = f"its outcome cannot be read from its worker process: {type(error).__qualname__}: {error}"
                self._lose(message.numbers[0], text)
            return
        for outcome in outcomes:
            if self._replicate_fn.stopped:
                return
            self._replicate_fn.deliver(outcome)
            self._shown.advance()

    def _replace(self, worker: Worker) -> None:
        """Give the replicates of a dead worker to others; the loop starts another in its place."""
        how, killed = self._pool.bury(worker)
        if not worker.ready:
            self._failed_starts += 1
            limit = START_ATTEMPTS_LATER if killed or self._one_was_ready else START_ATTEMPTS
            if self._failed_starts >= limit:
                raise self._pool.startup_error(how)
            return
        if worker.overdue is not None:
            self._shown.advance(lose_overdue(self._replicate_fn, worker.overdue, worker.in_flight, self._schedule))
            return
        for number in self._schedule.died(list(worker.in_flight)):
            times = self._schedule.deaths(number)
            self._lose(number, f"its worker process died {times} times while it ran alone in it, at last with {how}")

    def _lose(self, number: int, text: str) -> None:
        self._replicate_fn.lost(number, WorkerError(text))
        self._shown.advance()


def _error_of(message: Message) -> BaseException:
    """What a worker raised; in words where the exception itself cannot be read."""
    error: Any = None
    if message.body is not None:
        try:
            error = pickle.loads(message.body)  # noqa: S301 - from a process of this run
        except Exception:  # noqa: BLE001 - its words remain
            error = None
    if message.kind == "unusable":
        trouble = WorkerError(f"a worker process could not rebuild the experiment: {message.text}")
        trouble.__cause__ = error if isinstance(error, BaseException) else None
        return error if isinstance(error, WorkerError) else trouble
    if isinstance(error, BaseException):
        return error
    where = message.numbers[0] if message.numbers else None
    return WorkerError(f"a worker process raised {message.text}", replicate=where)
