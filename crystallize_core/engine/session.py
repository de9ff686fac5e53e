"""A session: one experiment in one process for the time of one run, ready to run replicates.

The coordinator makes one; every worker makes its own from what it was sent. State of a run lives here
and nowhere on the experiment, so that an experiment can run twice at once.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from crystallize_core.additions import keys_added_by
from crystallize_core.assets import Assets
from crystallize_core.cache import Caching
from crystallize_core.context import (
    CONDITION_KEY,
    REPLICATE_KEY,
    SEED_USED_KEY,
    CellContext,
    StepContext,
)
from crystallize_core.engine.cell import Awaiting, run_chain
from crystallize_core.engine.condition import Condition, known_keys
from crystallize_core.engine.crew import Crew, StepThreads, TaskCrew
from crystallize_core.engine.drive import Loops, adrive, drive
from crystallize_core.engine.hooks import HookCalls
from crystallize_core.engine.observe import Observer
from crystallize_core.engine.plan import Plan, compile_plan
from crystallize_core.engine.returns import PLAIN_TYPES, is_awaitable
from crystallize_core.errors import (
    CrystallizeError,
    DatasourceError,
    DefinitionError,
    HookError,
    TreatmentError,
    describe,
    warn_caller,
)
from crystallize_core.outcome import CellOutcome, Note, ReplicateOutcome
from crystallize_core.state import CellState
from crystallize_core.stored import loaded
from crystallize_core.treatment import Treatment

if TYPE_CHECKING:
    from crystallize_core.record import RunInfo
    from crystallize_core.step import PipelineStep

__all__ = ["Provenance", "Session"]

Provenance = Literal["first", "all", "none"]
"""Of which cells to keep provenance: of those of replicate 0, of all, of none."""


class Session:
    """Runs replicates of one experiment in this process.

    Args:
        experiment: The experiment, with the replicates and treatments of this run.
        run: What is known about the run.
        provenance: Of which cells to keep provenance.
        caching: Where outputs are looked for and kept; default as the pipeline says.
        timed: Whether the coordinator wants the times of hooks, which go along with the outcomes.

    Raises:
        DefinitionError: The experiment cannot run; everything that is wrong with it is listed.

    """

    def __init__(
        self,
        experiment: Any,
        run: RunInfo,
        provenance: Provenance = "first",
        *,
        caching: Caching | None = None,
        timed: bool = False,
    ) -> None:
        self.experiment = experiment
        self.run = run
        self.provenance = provenance
        self._observed = {"none": 0, "first": 1, "all": run.replicates}[provenance]
        self.hooks = HookCalls(experiment.stack, experiment=experiment, timed=timed)
        self.conditions = experiment.conditions()
        self.plan = self._plan(caching)
        self.loops = Loops()
        self._threads: Crew | None = None
        self._steps = list({id(step): step for step in experiment.pipeline.steps}.values())
        self._setup_lock = threading.Lock()
        self._is_set_up = False
        self._to_tear_down: list[PipelineStep] = []

    def _plan(self, caching: Caching | None) -> Plan:
        experiment = self.experiment
        by_hooks = self.hooks.functions("before_replicate")
        known = {condition.name: known_keys(condition, by_hooks) for condition in self.conditions}
        plan = compile_plan(
            experiment.pipeline.steps,
            self.hooks,
            experiment,
            sources=experiment.sources(known),
            caching=caching or experiment.pipeline.caching(),
            where=experiment.title,
            check_types=experiment.pipeline.check_types,
        )
        for treatment in experiment.treatments:
            keys = _keys_set_by(treatment)
            for planned in plan.steps:
                _warn_hidden(treatment.name, planned.name, planned.wired.hidden_by_bound(keys))
        return plan

    # Replicates -----------------------------------------------------------------------------------

    def run_replicate(self, replicate: int) -> ReplicateOutcome:
        """Run all conditions of one replicate; failures are in the outcome."""
        # Most replicates await nothing. A generator that returns None ends without an exception, and an
        # exception would cost as much as a step; so the outcome does not come back as a return value.
        made: list[ReplicateOutcome] = []
        work = self._replicate(replicate, made, self.thread_crew())
        awaitable = next(work, made)
        if awaitable is not made:
            drive(work, self.loops, awaitable)
        return made[0]

    async def arun_replicate(self, replicate: int) -> ReplicateOutcome:
        """The same on the loop of the caller."""
        made: list[ReplicateOutcome] = []
        await adrive(self._replicate(replicate, made, self.task_crew()))
        return made[0]

    def thread_crew(self) -> Crew | None:
        """Who runs the steps of a graph side by side under `run`; None where they run one after the other."""
        run = self.run
        if run.concurrency != "thread" or run.step_workers < 2 or self.plan.is_chain:  # noqa: PLR2004 - side by side
            return None
        with self._setup_lock:
            if self._threads is None:
                self._threads = StepThreads(run.step_workers, drive, self.loops)
            return self._threads

    def task_crew(self) -> Crew | None:
        """The same under `arun`."""
        run = self.run
        side_by_side = run.concurrency == "async" and run.step_workers > 1 and not self.plan.is_chain
        return TaskCrew(run.step_workers, adrive) if side_by_side else None

    def _replicate(self, replicate: int, made: list[ReplicateOutcome], crew: Crew | None) -> Awaiting:
        """All conditions of one replicate; the outcome is put into `made`."""
        if not self._is_set_up:
            self.set_up()
        cells = []
        for condition in self.conditions:
            observer = Observer() if replicate < self._observed else None
            cells.append((yield from self.cell(condition, replicate, observer, crew=crew)))
        has_notes = self.hooks.notes or self.hooks.times is not None
        made.append(ReplicateOutcome(replicate, cells, self.hooks.take_notes() if has_notes else []))

    def cell(
        self,
        condition: Condition,
        replicate: int,
        observer: Observer | None = None,
        *,
        data: Any = None,
        keep: bool = False,
        crew: Crew | None = None,
        walk: Callable[[Plan, CellState, Any], Awaiting] | None = None,
    ) -> Awaiting:
        """One cell: context, treatment, data, steps; returns its outcome, whatever happened.

        Args:
            condition, replicate: Which cell.
            observer: Who writes down what the steps do; None for nobody.
            data: The input, where it is not to be fetched: a tuple of one item; or, for a graph, the `Assets` that
                hold all inputs and get what the steps make.
            keep: Whether the outcome is to hold the output of the last step.
            crew: Who runs the steps of a graph side by side.
            walk: What goes over the steps in place of running them.

        """
        hooks, experiment = self.hooks, self.experiment
        values = {REPLICATE_KEY: replicate, CONDITION_KEY: condition.name, **condition.values}
        state = CellState(values, self.run)
        durations = array("q")
        outcome = CellOutcome(replicate, condition.name, state.metrics, state.artifacts, state.events, None, durations)
        try:
            if hooks.before_replicate is not None:
                hooks.before_replicate(experiment, CellContext(state))
            if condition.treatment is not None:
                _apply(condition.treatment, state)
            if data is None:
                ctx = StepContext(_state=state, step_name="<datasource>")
                data = _fetched(condition.fetch, ctx)
                if type(data) not in PLAIN_TYPES and is_awaitable(data):
                    data = yield _awaited(data)
                if ctx._stage is not None:  # noqa: SLF001 - the engine is who commits
                    state.commit(ctx._stage)  # noqa: SLF001 - the stage of a view is never the state itself
            elif not isinstance(data, Assets):
                (data,) = data
            if walk is not None:
                given = data if self.plan.is_chain or isinstance(data, Assets) else Assets({"data": data})
                output = yield from walk(self.plan, state, given)
            elif self.plan.is_chain:
                output = yield from run_chain(self.plan, state, data, durations, observer)
            else:
                assets = data if isinstance(data, Assets) else Assets({"data": data})
                from crystallize_core.engine.graph import run_graph  # noqa: PLC0415 - chains do without

                output = yield from run_graph(self.plan, state, assets, durations, observer, crew)
            if keep:
                outcome.output = loaded(output)
        except CrystallizeError as error:
            outcome.error = self._addressed(error, condition.name, replicate)
        outcome.seed = values.get(SEED_USED_KEY)
        if observer is not None:
            outcome.provenance = observer.records
        if hooks.after_replicate is not None:
            try:
                hooks.after_replicate(experiment, CellContext(state), outcome)
            except HookError as error:
                failure = self._addressed(error, condition.name, replicate)
                if outcome.error is None:
                    outcome.error = failure
                else:
                    outcome.error.add_note(f"and: {failure}")
        return outcome

    def _addressed(self, error: CrystallizeError, condition: str, replicate: int) -> CrystallizeError:
        """The error with its full address, the outermost part first."""
        where = {"experiment": self.experiment.name, REPLICATE_KEY: replicate, CONDITION_KEY: condition}
        error.address = {**where, **error.address}
        return error

    # Steps that want to be prepared ---------------------------------------------------------------

    def set_up(self) -> None:
        """Call `setup` of each step, once in this process."""
        with self._setup_lock:
            if self._is_set_up:
                return
            ctx = CellContext(CellState({}, self.run))
            for step in self._steps:
                try:
                    step.setup(ctx)
                except Exception as error:
                    message = f"setup of step {step.name!r} failed: {describe(error)}"
                    raise DefinitionError(message, experiment=self.experiment.name, step=step.name) from error
                self._to_tear_down.append(step)
            self._is_set_up = True

    def close(self) -> list[Note]:
        """Call `teardown` of each step and close the event loops; what fails there comes back as notes."""
        notes = []
        ctx = CellContext(CellState({}, self.run))
        steps, self._to_tear_down, self._is_set_up = self._to_tear_down, [], False
        for step in steps:
            try:
                step.teardown(ctx)
            except Exception as error:  # noqa: BLE001 - foreign code may raise anything, the results stand
                notes.append(Note("warning", f"teardown of step {step.name!r} failed: {describe(error)}"))
        if self._threads is not None:
            self._threads.close()
        self.loops.close()
        return notes


def _apply(treatment: Treatment, state: CellState) -> None:
    state.overridable = True  # for treatments only
    try:
        treatment.apply(CellContext(state))
    except Exception as error:
        message = f"treatment {treatment.name!r} failed: {describe(error)}"
        raise TreatmentError(message) from error
    finally:
        state.overridable = False


def _fetched(fetch: Callable[[Any], Any], ctx: StepContext) -> Any:
    """The data of a cell, or what has to be awaited for it."""
    try:
        return fetch(ctx)
    except Exception as error:
        raise _no_data(error) from error


async def _awaited(data: Any) -> Any:
    try:
        return await data
    except Exception as error:
        raise _no_data(error) from error


def _no_data(error: Exception) -> DatasourceError:
    return DatasourceError(f"the datasource failed: {describe(error)}")


def _keys_set_by(treatment: Treatment) -> frozenset[str]:
    """The keys that a treatment is known to set."""
    if isinstance(treatment.change, Mapping):
        return frozenset(treatment.change)
    return keys_added_by(treatment.change) or frozenset()


def _warn_hidden(treatment: str, step: str, keys: Sequence[str]) -> None:
    for key in keys:
        text = (
            f"treatment {treatment!r} sets {key!r}, but step {step!r} has its parameter {key!r} bound, and a bound "
            f"argument wins: the treatment has no effect there"
        )
        warn_caller(text, UserWarning)
