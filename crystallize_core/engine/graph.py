"""The inner loop of a graph: steps that take what others made, by name; some may be skipped, some may fail.

A step that fails does not stop those that need nothing of it: they run, so that what a run leaves behind
does not depend on which of them came first. What each step wrote is committed in the order of the plan, also
where steps run side by side.
"""

from __future__ import annotations

from array import array
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, Literal

from crystallize_core.assets import Assets
from crystallize_core.context import StepContext, forget_reads
from crystallize_core.engine.attempt import PolicyContext
from crystallize_core.engine.cell import failure_of
from crystallize_core.engine.returns import PLAIN_TYPES, is_awaitable
from crystallize_core.engine.side_by_side import side_by_side
from crystallize_core.engine.step_run import (
    Awaiting,
    StepRun,
    received,
    refuse_stray,
    report,
    run_step,
    settled,
    tell_skipped,
)
from crystallize_core.errors import HookError, describe
from crystallize_core.state import CellState

if TYPE_CHECKING:
    from crystallize_core.engine.crew import Crew
    from crystallize_core.engine.observe import Observer
    from crystallize_core.engine.plan import Plan, PlannedStep

__all__ = ["GraphCell", "run_graph"]

Fate = Literal["skipped", "failed", "not run"]
_DID_NOT_REACH: Final = -1
"""The duration of a step that did not run."""


class GraphCell:
    """One cell of a graph while it runs.

    Args:
        plan: The plan.
        state: What the cell has committed.
        assets: What was made so far; at the beginning, the inputs of the run.
        durations: Gets the nanoseconds of each step, in the order of the plan.
        observer: Who writes down what the steps do; None for nobody.

    Attributes:
        fates: Why steps did not succeed, by name: what became of them, and the reason.
        output: What the last step of the plan returned; None if it did not run.

    """

    def __init__(
        self, plan: Plan, state: CellState, assets: Assets, durations: array[int], observer: Observer | None
    ) -> None:
        self.plan, self.state, self.assets = plan, state, assets
        self.durations, self.observer = durations, observer
        self.fates: dict[str, tuple[Fate, str]] = {}
        self.output: Any = None
        self._failures: list[tuple[PlannedStep, Exception]] = []

    def is_left_out(self, planned: PlannedStep) -> bool:
        """Whether a step cannot run because of what became of others; if so, that is noted."""
        found = self.fate_of(planned)
        if found is None:
            return False
        self.leave_out(planned, *found)
        return True

    def fate_of(self, planned: PlannedStep) -> tuple[Fate, str] | None:
        """What keeps a step from running; None if nothing does."""
        reason = None
        for fill in planned.wired.all_fills:
            fate = self.fates.get(fill.maker) if fill.maker is not None else None
            if fate is None:
                continue
            if fate[0] != "skipped":
                word = "failed" if fate[0] == "failed" else "did not run"
                return "not run", f"it needs {fill.words}, which {word}"
            if fill.is_required and reason is None:
                reason = f"it needs {fill.words}, which was skipped"
        return None if reason is None else ("skipped", reason)

    def leave_out(self, planned: PlannedStep, fate: Fate, reason: str) -> None:
        """Note that a step does not run."""
        self.fates[planned.name] = fate, reason
        self.durations.append(_DID_NOT_REACH)
        self.output = None
        state = self.state
        if self.observer is not None:
            (self.observer.skipped if fate == "skipped" else self.observer.not_run)(planned, state, reason)
        if fate == "skipped":
            tell_skipped(self.plan, planned, state, reason)

    def commit(self, planned: PlannedStep, done: StepRun) -> None:
        """Make what a step came to visible to those that come after it.

        Raises:
            HookError: A hook of an essential plugin raised.

        """
        if done.error is not None:
            self._fail(planned, done)
            return
        if done.skipped is not None:
            self.leave_out(planned, "skipped", done.skipped)
            return
        ctx, state, after = done.ctx, self.state, self.plan.hooks.after_step
        stage = ctx._stage  # noqa: SLF001 - the engine is who commits
        if stage is not None:
            state.commit(stage)  # type: ignore[arg-type]  # the stage of a view is never the state itself
        if done.rows:
            state.metrics += done.rows
        self.durations.append(done.nanoseconds)
        self.output = done.kept
        if self.observer is not None:
            self.observer.finished(planned, done)
        if after is not None:
            if stage is not None:
                ctx.__dict__["_stage"] = None  # it is committed, and would be there twice
            after(self.plan.experiment, planned.step, done.output, ctx)
            if ctx._stage is not None:  # noqa: SLF001 - what the hooks had to say
                state.commit(ctx._stage)  # type: ignore[arg-type]  # noqa: SLF001 - as above

    def keep(self, planned: PlannedStep, done: StepRun) -> None:
        """Give what a step made to those that take it."""
        if done.error is None and done.skipped is None:
            wired = planned.wired
            if done.made is None:
                self.assets.put(wired.single, done.kept)
            else:
                for name, value in done.made.items():
                    self.assets.put(name, value)
                if wired.keeps_return is not None:
                    self.assets.put(wired.keeps_return, done.kept)

    def _fail(self, planned: PlannedStep, done: StepRun) -> None:
        assert done.error is not None
        self.fates[planned.name] = "failed", describe(done.error)
        self.durations.append(done.nanoseconds)
        self.output = None
        if self.observer is not None:
            self.observer.failed(planned, done)
        if isinstance(done.error, HookError):
            raise failure_of(planned, done.error)
        self._failures.append((planned, done.error))

    def give_up(self, error: HookError) -> None:
        """Say what else failed, and write down the steps that a plugin that failed kept from running."""
        for planned, another in self._failures:
            error.add_note(_and_failed(planned, another))
        if self.observer is None:
            return
        reason = f"it was not reached: {error.message}"
        met = {record["step"] for record in self.observer.records}
        for planned in self.plan.steps:
            if planned.name not in met:
                self.observer.not_run(planned, self.state, reason)

    def raise_first_failure(self) -> None:
        """Raise the error of the first step of the plan that failed, if one did.

        Raises:
            StepError: A step raised; the others that did are in its notes.

        """
        if not self._failures:
            return
        (planned, error), *others = self._failures
        failure = failure_of(planned, error)
        for other, another in others:
            # On ours: one exception object may be raised by many cells, and not every foreign one takes notes.
            failure.add_note(_and_failed(other, another))
        raise failure


def _and_failed(planned: PlannedStep, error: Exception) -> str:
    return f"and: step {planned.name!r} failed: {describe(error)}"


def run_graph(
    plan: Plan,
    state: CellState,
    assets: Assets,
    durations: array[int],
    observer: Observer | None = None,
    crew: Crew | None = None,
) -> Awaiting:
    """Run the steps of one cell of a graph and return what the last one returned; None if that did not run.

    What is in the cache and nobody wanted is returned as `Stored`.

    Args:
        plan: The plan.
        state: The cell.
        assets: The inputs of the run by name; gets everything that is made.
        durations: Gets the nanoseconds of each step; -1 for one that did not run.
        observer: Who writes down what the steps do.
        crew: Who runs steps side by side; None runs one after the other.

    Raises:
        StepError: A step raised; all that need nothing of it have run.
        HookError: A hook of an essential plugin raised.

    """
    cell = GraphCell(plan, state, assets, durations, observer)
    try:
        if crew is not None:
            yield from side_by_side(cell, crew)
        else:
            yield from _in_sequence(cell)
    except HookError as error:
        cell.give_up(error)
        raise
    cell.raise_first_failure()
    return cell.output


def _in_sequence(cell: GraphCell) -> Awaiting:
    """One step after the other; the common case is written out, as in the loop of a chain."""
    plan, state, assets, observer = cell.plan, cell.state, cell.assets, cell.observer
    before, after, experiment = plan.hooks.before_step, plan.hooks.after_step, plan.experiment
    clock, spent, fates = perf_counter_ns, cell.durations.append, cell.fates
    start = clock()
    for planned, name, call, policy in plan.rows:
        if fates and cell.is_left_out(planned):
            start = clock()
            continue
        if call is None or observer is not None or after is not None:
            if observer is not None:
                observer.starts(planned, state, assets)
            done = yield from run_step(plan, planned, state, assets)
            cell.keep(planned, done)
            cell.commit(planned, done)
            start = clock()
            continue
        ctx: Any = None
        try:
            if policy is None:
                ctx = StepContext(_state=state, step_name=name)
                if before is not None:
                    before(experiment, planned.step, ctx)
                    forget_reads(ctx)
                output = call(assets, ctx)
            else:
                ctx = PolicyContext(_state=state, step_name=name, _failed=planned.report)
                output = call(assets, ctx)
                if type(output) not in PLAIN_TYPES and is_awaitable(output):
                    refuse_stray(planned)
                    output = yield output
                ctx = settled(ctx)
            if type(output) not in PLAIN_TYPES:
                done = StepRun(ctx)
                yield from received(plan, planned, done, output)
                output = done.kept
                if done.skipped is not None:
                    cell.leave_out(planned, "skipped", done.skipped)
                    start = clock()
                    continue
                if done.rows:
                    ctx._open_stage().metrics.extend(done.rows)  # noqa: SLF001 - the engine is who stages
        except Exception as error:
            if name in fates:  # a hook failed that was told that the step is skipped
                raise
            done = StepRun(ctx)
            done.error = error if policy is not None else _reported(planned, ctx, error)
            done.nanoseconds = clock() - start
            cell.commit(planned, done)
            start = clock()
            continue
        if ctx._stage is not None:  # noqa: SLF001 - the engine is who commits
            state.commit(ctx._stage)  # noqa: SLF001 - as above
        assets[planned.wired.single] = cell.output = output
        end = clock()
        spent(end - start)
        start = end


def _reported(planned: PlannedStep, ctx: StepContext, error: Exception) -> Exception:
    """The error, of which the plugins were told; that of a plugin that failed in turn."""
    if isinstance(error, HookError):
        return error
    try:
        report(planned, ctx, error)
    except HookError as failure:
        return failure
    return error
