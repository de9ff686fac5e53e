"""`replicate_fn`: what an executor calls, here or in another process."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
from collections.abc import Sequence
from typing import Any

import attrs

from crystallize_core.engine.collect import Collector
from crystallize_core.engine.session import Session
from crystallize_core.errors import CrystallizeError, NotSendableError, RunError, StepError, WorkerError, describe
from crystallize_core.outcome import CellOutcome, ReplicateOutcome
from crystallize_core.pickling import MainByValue, dumped_by_value
from crystallize_core.stack.attached import Stack
from crystallize_core.stack.files import reload_files, shipped_files
from crystallize_core.stack.overrides import overrides, take_over
from crystallize_core.stack.parity import Parity, refuse_another_stack, refuse_other_options

__all__ = ["ReplicateFunction", "unreadable"]

_sessions: dict[str, Session] = {}
"""The sessions that this worker has rebuilt, by the digest of what it was sent; the last few."""
KEPT_SESSIONS = 4


class ReplicateFunction:
    """Runs the replicate of a number and returns its outcome.

    In the coordinator it delivers what it ran, so that a plain loop over it is an executor. It pickles to
    a recipe; a worker attaches its own plugins and only returns outcomes.
    """

    def __init__(self, session: Session, collector: Collector | None) -> None:
        self._session = session
        self._collector = collector
        self._run = session.run_replicate
        self._count = session.run.replicates
        self._recipe: bytes | None = None

    def __call__(self, replicate: int) -> ReplicateOutcome:
        """Run one replicate.

        Raises:
            RunError: The number is not of this run.

        """
        if type(replicate) is not int or not 0 <= replicate < self._count:
            raise self._unknown(replicate)
        outcome: ReplicateOutcome = self._run(replicate)
        if self._collector is not None:
            self._collector.take(outcome)
        return outcome

    async def arun(self, replicate: int) -> ReplicateOutcome:
        """The same on the event loop of the caller."""
        if type(replicate) is not int or not 0 <= replicate < self._count:
            raise self._unknown(replicate)
        outcome = await self._session.arun_replicate(replicate)
        if self._collector is not None:
            self._collector.take(outcome)
        return outcome

    def _unknown(self, replicate: object) -> RunError:
        return RunError(f"a run of {self._count} replicates has no replicate {replicate!r}")

    @property
    def pending(self) -> Sequence[int]:
        """The numbers of the replicates that are still to run."""
        if self._collector is None:
            return range(self._session.run.replicates)
        return self._collector.pending

    @property
    def stopped(self) -> bool:
        """Whether no further replicate is wanted."""
        return self._collector is not None and self._collector.stopped

    def deliver(self, outcome: ReplicateOutcome) -> None:
        """Hand over an outcome that came from another process."""
        if self._collector is not None:
            self._collector.deliver(outcome)

    def lost(self, replicate: int, error: BaseException, at: Any = None) -> ReplicateOutcome:
        """Deliver a failed outcome for a replicate that will not come, because its worker died of it.

        Args:
            replicate: Its number.
            error: Why; where the worker was ended because of a step, what that step fails with.
            at: Which step that was: its `crystallize_core.watchdog.Announcement`, or whatever has `run`,
                `condition` and `step`. None, and what belongs to no condition of this run, for the replicate as a whole.

        """
        run = self._session.run
        known = at is not None and at.run == run.id and at.condition in run.conditions
        reached = run.conditions.index(at.condition) if known else None
        cells = []
        for place, condition in enumerate(run.conditions):
            failure = _lost_cell(place, reached, error, at)
            failure.address = {
                "experiment": run.experiment,
                "replicate": replicate,
                "condition": condition,
                **failure.address,
            }
            failure.__cause__ = error
            cells.append(CellOutcome(replicate, condition, [], [], [], failure))
        outcome = ReplicateOutcome(replicate, cells)
        self.deliver(outcome)
        return outcome

    def close(self) -> None:
        """Call `teardown` of the steps in this process; for workers that are about to end."""
        self._session.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._recipe is None:
            self._recipe = _recipe_of(self._session)
        return _rebuilt, (self._recipe,)


def _lost_cell(place: int, reached: int | None, error: BaseException, at: Any) -> RunError:
    """What a cell of a lost replicate fails with: the one that its worker had reached, those before, those after."""
    if reached is None:
        return WorkerError(f"the replicate was lost: {describe(error)}")
    if place == reached:
        return StepError(f"step {at.step!r} failed: {describe(error)}", step=at.step)
    why = f"step {at.step!r} of condition {at.condition!r} failed: {describe(error)}"
    if place < reached:
        return WorkerError(f"the outcome was lost with its worker process when {why}")
    return WorkerError(f"this condition did not run, because its worker process was lost when {why}")


def _recipe_of(session: Session) -> bytes:
    experiment = session.experiment.for_workers()
    try:
        body = _dumps((experiment, session.run, session.provenance, session.hooks.times is not None))
    except Exception as error:
        raise NotSendableError(_what_is_stuck(experiment, error), experiment=experiment.name) from error
    parity = Parity.of(session.experiment.stack)
    # Plain values, so that they can be read where the rest cannot.
    return pickle.dumps((attrs.asdict(parity), attrs.astuple(overrides()), shipped_files(body), body))


def _dumps(value: Any) -> bytes:
    """Pickled by value where it must be (scripts, notebooks, lambdas), if cloudpickle is there to do it."""
    if importlib.util.find_spec("cloudpickle") is None:
        return pickle.dumps(value)
    with MainByValue():
        return dumped_by_value(value)


def _what_is_stuck(experiment: Any, error: Exception) -> str:
    """A message that names the parts of an experiment that cannot be pickled."""
    stuck = []
    for name, part in experiment.parts():
        try:
            _dumps(part)
        except Exception as reason:  # noqa: BLE001 - foreign objects may raise anything when pickled
            stuck.append(f"{name}: {describe(reason)}")
    listed = "".join(f"\n  {line}" for line in stuck or [describe(error)])
    return (
        f"this experiment cannot be sent to another process:{listed}\n  define functions at the top level of a "
        f"module, make what cannot be sent in the worker with resource_factory(...), or use the thread executor"
    )


def unreadable(stack: Stack) -> list[str]:
    """The plugins that can be pickled and not read back, in words; to be asked where a worker could not be made."""
    found = []
    for entry in stack:
        try:
            pickle.loads(_dumps(entry.plugin))  # noqa: S301 - our own bytes, made in the same line
        except Exception as error:  # noqa: BLE001 - foreign objects may raise anything
            owner = entry.distribution or entry.origin
            found.append(f"plugin {entry.name!r} ({owner}) cannot be read back from its pickle: {describe(error)}")
    return found


def _rebuilt(recipe: bytes) -> ReplicateFunction:
    key = hashlib.blake2b(recipe, digest_size=16).hexdigest()
    session = _sessions.get(key)
    if session is None:
        try:
            described, said, files, body = pickle.loads(recipe)  # noqa: S301 - sent by the process that started this worker
            parity = Parity(**described)
            refuse_another_stack(parity)
            take_over(said)
            reload_files(files)
            experiment, run, provenance, timed = pickle.loads(body)  # noqa: S301 - as above
            refuse_other_options(parity, experiment.stack)
            session = Session(experiment, run, provenance, timed=timed)
        except CrystallizeError:
            raise
        except Exception as error:
            message = f"this worker cannot rebuild the experiment: {describe(error)}"
            raise WorkerError(message) from error
        while len(_sessions) >= KEPT_SESSIONS:
            _sessions.pop(next(iter(_sessions))).close()
        _sessions[key] = session
    return ReplicateFunction(session, None)
