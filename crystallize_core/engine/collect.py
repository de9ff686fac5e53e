"""The coordinator's side of a run: takes outcomes in any order, keeps them in the order of replicates."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from crystallize_core.context import Event
from crystallize_core.engine.timing import kept
from crystallize_core.errors import CrystallizeError, ExecutorError
from crystallize_core.outcome import CellOutcome, Note, ReplicateOutcome

if TYPE_CHECKING:
    from crystallize_core.engine.session import Session

__all__ = ["Collector", "Timings"]


class Timings:
    """How long each step took, kept as one array of nanoseconds per condition."""

    def __init__(self, steps: Sequence[str]) -> None:
        self._steps = tuple(steps)
        self._count = len(self._steps)
        self._spent: dict[str, array[int]] = {}

    def add(self, cell: CellOutcome) -> None:
        """Keep the durations of one cell; those of steps that it did not reach are noted as -1."""
        spent = self._spent.get(cell.condition)
        if spent is None:
            spent = self._spent[cell.condition] = array("q")
        durations = cell.durations
        spent.extend(durations)
        if len(durations) < self._count:
            spent.extend([-1] * (self._count - len(durations)))

    def as_dict(self) -> dict[str, dict[str, dict[str, float]]]:
        """Calls, and seconds in all, at least and at most, by condition and step; steps that never ran are left out."""
        found: dict[str, dict[str, dict[str, float]]] = {}
        for condition, spent in self._spent.items():
            for at, step in enumerate(self._steps):
                times = [time for time in spent[at :: len(self._steps)] if time >= 0]
                if times:
                    seconds = {"total": sum(times) / 1e9, "min": min(times) / 1e9, "max": max(times) / 1e9}
                    found.setdefault(condition, {})[step] = {"calls": len(times), **seconds}
        return found


class Collector:
    """Takes every replicate once, tells the plugins of it, and keeps what the result is made of.

    Attributes:
        stopped: Whether no further replicate is wanted.
        stopped_at: The last replicate that counts, if a plugin had enough.
        failure: What an essential plugin raised in the coordinator; it ends the run.
        on_arrival: Called after each delivery; for streams.

    """

    def __init__(self, session: Session, replicates: int, metrics: Any, *, keep_ready: bool = False) -> None:
        self._session = session
        self._replicates = replicates
        self._hooks = session.hooks
        self._by_name = metrics.conditions
        self._names = list(self._by_name)
        self._lock = threading.Lock()
        self._seen = bytearray(replicates)
        self._waiting: dict[int, ReplicateOutcome] = {}
        self._next = 0
        self._history: list[ReplicateOutcome] | None = [] if session.hooks.has("should_stop") else None
        self._arrived: list[ReplicateOutcome] | None = [] if keep_ready else None
        self.timings = Timings([planned.name for planned in session.plan.steps])
        self.stopped = False
        self.stopped_at: int | None = None
        self.failure: CrystallizeError | None = None
        self.on_arrival: Callable[[], None] | None = None
        self.errors: dict[str, CrystallizeError] = {}
        self.artifacts: list[Any] = []
        self.provenance: dict[str, dict[int, Any]] = {}
        self.seeds: dict[str, dict[int, Any]] = {}
        self.notes: list[Note] = []

    @property
    def experiment(self) -> Any:
        """What is run."""
        return self._session.experiment

    @property
    def pending(self) -> list[int]:
        """The numbers of the replicates that have not arrived."""
        return [number for number, seen in enumerate(self._seen) if not seen]

    def has(self, replicate: int) -> bool:
        """Whether that replicate has arrived."""
        return 0 <= replicate < self._replicates and bool(self._seen[replicate])

    def deliver(self, outcome: ReplicateOutcome) -> None:
        """Take one outcome; one that was taken already changes nothing.

        Raises:
            ExecutorError: It is no outcome, or its number or conditions are not those of this run.

        """
        if not isinstance(outcome, ReplicateOutcome):
            from crystallize_core.quantities import quoted  # noqa: PLC0415 - only for the message

            message = f"{type(outcome).__qualname__} {quoted(outcome)} was delivered in place of a ReplicateOutcome"
            raise ExecutorError(message)
        replicate = outcome.replicate
        if type(replicate) is not int or not 0 <= replicate < self._replicates:
            message = f"replicate {replicate!r} was delivered in a run of {self._replicates}"
            raise ExecutorError(message)
        if [cell.condition for cell in outcome.cells] != self._names:
            raise ExecutorError(_other_conditions(outcome, self._names))
        self.take(outcome)

    def take(self, outcome: ReplicateOutcome) -> None:
        """Take an outcome that this process has made, which needs no check."""
        replicate, hooks = outcome.replicate, self._hooks
        with self._lock:
            if self._seen[replicate]:
                return
            self._seen[replicate] = 1
            if hooks.replicate_done is not None or hooks.on_event is not None:
                self._announce(outcome)
            waiting = self._waiting
            if replicate != self._next:
                waiting[replicate] = outcome
            else:  # the common case, for which nothing is put away first
                self._ingest(outcome)
                self._next += 1
                while waiting and self._next in waiting:
                    self._ingest(waiting.pop(self._next))
                    self._next += 1
            if self._next == self._replicates:
                self.stopped = True
        if self.on_arrival is not None:
            self.on_arrival()

    def _announce(self, outcome: ReplicateOutcome) -> None:
        if self._hooks.on_event is not None:
            for cell in outcome.cells:
                for event in cell.events:
                    self._tell("on_event", event)
            self._tell("on_event", Event("replicate.done", {"failed": outcome.failed}, outcome.replicate))
        self._tell("replicate_done", outcome.replicate, outcome)

    def _tell(self, hook: str, *arguments: Any) -> None:
        """Call a hook; one that fails ends the run, but costs no plugin what is still to be told."""
        for error in self._hooks.call_each(hook, self._session.experiment, *arguments):
            self._fail(error)

    def _ingest(self, outcome: ReplicateOutcome) -> None:
        """Keep the next outcome in replicate order, unless an earlier one was the last that counts."""
        if self.stopped_at is not None:
            return
        for cell in outcome.cells:
            self._by_name[cell.condition].record(cell.replicate, cell.metrics, failed=cell.error is not None)
            self.timings.add(cell)
            if cell.error is not None or cell.artifacts or cell.provenance is not None or cell.seed is not None:
                self._ingest_rest(cell)
        if outcome.notes:
            self.notes += kept(outcome.notes)
        if self._arrived is not None:
            self._arrived.append(outcome)
        if self._history is not None:
            self._history.append(outcome)
            self._ask_to_stop(outcome.replicate)

    def _ingest_rest(self, cell: CellOutcome) -> None:
        """Keep what most cells do not have."""
        replicate, condition = cell.replicate, cell.condition
        if cell.seed is not None:
            self.seeds.setdefault(condition, {})[replicate] = cell.seed
        if cell.error is not None:
            self.errors[f"{condition}_rep_{replicate}"] = cell.error
        if cell.artifacts:
            self.artifacts += [(replicate, condition, artifact) for artifact in cell.artifacts]
        if cell.provenance is not None:
            self.provenance.setdefault(condition, {})[replicate] = tuple(cell.provenance)

    def _ask_to_stop(self, replicate: int) -> None:
        try:
            answer = self._session.hooks.first("should_stop", self._session.experiment, tuple(self._history or ()))
        except CrystallizeError as error:
            self._fail(error)
            return
        if answer is not None and answer[1]:
            self.stopped, self.stopped_at = True, replicate

    def _fail(self, error: CrystallizeError) -> None:
        self.failure = self.failure or error
        self.stopped = True

    def stop(self) -> None:
        """No further replicate is wanted."""
        self.stopped = True

    def flush(self) -> None:
        """Keep what arrived behind a gap, when no more will come: an interrupted run loses nothing."""
        with self._lock:
            for number in sorted(self._waiting):
                self._ingest(self._waiting.pop(number))

    def take_ready(self) -> list[ReplicateOutcome]:
        """The outcomes in replicate order since the last call."""
        with self._lock:
            found, self._arrived = self._arrived or [], [] if self._arrived is not None else None
        return found


def _other_conditions(outcome: ReplicateOutcome, expected: Sequence[str]) -> str:
    found = ", ".join(repr(cell.condition) for cell in outcome.cells)
    has = f"has the conditions {found}" if found else "has no conditions"
    return f"replicate {outcome.replicate} {has}, and this run has {', '.join(map(repr, expected))}"
