"""The inner loop of a chain: the steps of one cell, each on what the one before returned.

Everything here is a generator that yields what has to be awaited and is sent the answer, so that the same
code runs under `run` and under `arun`. `drive.py` holds the two ways to drive it.
"""

from __future__ import annotations

import itertools
from array import array
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from crystallize_core.context import StepContext, forget_reads
from crystallize_core.engine.again import RanAgainError
from crystallize_core.engine.attempt import PolicyContext
from crystallize_core.engine.returns import PLAIN_TYPES, is_awaitable
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
from crystallize_core.errors import HookError, StepError, describe
from crystallize_core.state import CellState

if TYPE_CHECKING:
    from crystallize_core.engine.observe import Observer
    from crystallize_core.engine.plan import Plan, PlannedStep

__all__ = ["Awaiting", "failure_of", "run_chain"]


def run_chain(
    plan: Plan, state: CellState, data: Any, durations: array[int], observer: Observer | None = None
) -> Awaiting:
    """Run the steps of one cell and return the output of the last one; None if a step was skipped.

    An output from the cache that nobody wanted is returned as `Stored`.

    The body of the loop is written out where a call would cost as much as what it does; the uncommon
    ways (policies, cache, observation) are calls.

    Raises:
        StepError: A step raised.
        HookError: A hook of an essential plugin raised.

    """
    # What is looked up once here is not looked up for every step. A hook that is switched off meanwhile
    # forwards to what is left of it.
    before, after = plan.hooks.before_step, plan.hooks.after_step
    experiment, clock, spent = plan.experiment, perf_counter_ns, durations.append
    pending: Any = None  # an output in the cache that nobody wanted yet; then `data` is an older one
    start = clock()
    for planned, name, call, policy in plan.rows:
        ctx: Any = None
        rows = done = None
        if call is not None and observer is None:
            if pending is not None:
                data, pending = pending.load(), None
            try:
                if policy is None:
                    ctx = StepContext(_state=state, step_name=name)
                    if before is not None:
                        before(experiment, planned.step, ctx)
                        if ctx._reads is not None:  # noqa: SLF001 - what hooks read is not the step's doing
                            forget_reads(ctx)
                    data = call(data, ctx)
                else:
                    ctx = PolicyContext(_state=state, step_name=name, _failed=planned.report)
                    data = call(data, ctx)
                    if type(data) not in PLAIN_TYPES and is_awaitable(data):
                        refuse_stray(planned)
                        data = yield data
                    ctx = settled(ctx)
                if type(data) not in PLAIN_TYPES:
                    done = StepRun(ctx)
                    yield from received(plan, planned, done, data)
            except Exception as error:  # noqa: BLE001 - raised again with its address
                if policy is None and not isinstance(error, HookError):
                    report(planned, ctx, error)
                failure = failure_of(planned, error)
                raise failure from failure.__cause__
        else:
            done = yield from _observed(plan, planned, state, data if pending is None else pending, observer)
        if done is not None:
            ctx, data, rows = done.ctx, done.kept, done.rows
            if done.skipped is not None:
                _leave_out(plan, state, planned, done.skipped, observer)
                return None
            pending = data if done.hit else None
        stage = ctx._stage  # noqa: SLF001 - the engine is who commits
        if stage is not None:
            state.commit(stage)
        if rows:
            state.metrics += rows
        end = clock()
        spent(end - start)
        start = end
        if observer is not None and done is not None:
            observer.finished(planned, done)
        if after is not None:
            if stage is not None:
                ctx.__dict__["_stage"] = None  # it is committed, and would be there twice
            if pending is not None:
                data, pending = pending.load(), None
            after(experiment, planned.step, data, ctx)
            if ctx._stage is not None:  # noqa: SLF001 - what the hooks had to say
                state.commit(ctx._stage)  # noqa: SLF001 - as above
            start = clock()
    return data


def _observed(plan: Plan, planned: PlannedStep, state: CellState, data: Any, observer: Observer | None) -> Awaiting:
    if observer is not None:
        observer.starts(planned, state, data)
    done = yield from run_step(plan, planned, state, data)
    if observer is not None and done.error is not None:
        observer.failed(planned, done)
    if done.error is not None:
        raise failure_of(planned, done.error)
    return done


def _leave_out(plan: Plan, state: CellState, first: PlannedStep, reason: str, observer: Observer | None) -> None:
    """A step said that it is skipped: there is nothing for those that come after it."""
    for planned in itertools.dropwhile(lambda other: other is not first, plan.steps):
        if observer is not None:
            observer.skipped(planned, state, reason)
        tell_skipped(plan, planned, state, reason)
        reason = f"it needs the output of {first.name!r}, which was skipped"


def failure_of(planned: PlannedStep, error: Exception) -> StepError | HookError:
    """What is raised where a step raised `error`: that with its address, or what a plugin raised with the step added."""
    if isinstance(error, RanAgainError):
        return error
    if isinstance(error, HookError):
        error.address.setdefault("step", planned.name)
        return error
    failure = StepError(f"step {planned.name!r} failed: {describe(error)}", step=planned.name)
    failure.__cause__ = error
    return failure
