"""The inner loop: the steps of one cell, one after the other.

Everything here is a generator that yields what has to be awaited and is sent the answer, so that the same
code runs under `run` and under `arun`. `drive.py` holds the two ways to drive it.
"""

from __future__ import annotations

from array import array
from collections.abc import Generator
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from crystallize_core.context import StepContext, forget_reads
from crystallize_core.engine.attempt import PolicyContext
from crystallize_core.engine.returns import PLAIN_TYPES, is_awaitable, split_metrics
from crystallize_core.errors import DefinitionError, HookError, StepError, describe
from crystallize_core.state import CellState

if TYPE_CHECKING:
    from crystallize_core.engine.observe import Observer
    from crystallize_core.engine.plan import Plan, PlannedStep

__all__ = ["Awaiting", "run_steps"]

Awaiting = Generator[Any, Any, Any]
"""Yields awaitables, is sent what they came to, returns a result."""


def run_steps(
    plan: Plan, state: CellState, data: Any, durations: array[int], observer: Observer | None = None
) -> Awaiting:
    """Run the steps of one cell and return the output of the last one.

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
    given, mark, hit = None, None, False
    start = clock()
    for planned, name, invoke, policy, cache in plan.rows:
        if observer is not None:
            given, mark = data, observer.mark(state)
        ctx = StepContext(_state=state, step_name=name)
        rows = None
        try:
            if cache is None:
                if policy is None:
                    if before is not None:
                        before(experiment, planned.step, ctx)
                        if ctx._reads is not None:  # noqa: SLF001 - what hooks read is not the step's doing
                            forget_reads(ctx)
                    data = invoke(data, ctx)
                else:
                    ctx, data = yield from _run_policy(planned, state, data)
                if type(data) not in PLAIN_TYPES:
                    if is_awaitable(data):
                        data = yield data
                    data, rows = split_metrics(data)
            else:
                ctx, data, hit = yield from _run_cached(planned, plan, ctx, data)
        except Exception as error:
            if observer is not None:
                observer.failed(planned, ctx, given, error)
            if isinstance(error, HookError):
                error.address.setdefault("step", name)
                raise
            if policy is None:
                _report(planned, ctx, error)
            raise StepError(f"step {name!r} failed: {describe(error)}", step=name) from error
        stage = ctx._stage  # noqa: SLF001 - the engine is who commits
        if stage is not None:
            state.commit(stage)
        if rows:
            state.metrics += rows
        end = clock()
        spent(end - start)
        start = end
        if observer is not None:
            observer.finished(planned, ctx, given, data, mark, durations[-1], hit=hit and cache is not None)
        if after is not None:
            if stage is not None:
                ctx.__dict__["_stage"] = None  # it is committed, and would be there twice
            after(experiment, planned.step, data, ctx)
            if ctx._stage is not None:  # noqa: SLF001 - what the hooks had to say
                state.commit(ctx._stage)  # noqa: SLF001 - as above
            start = clock()
    return data


def _run_policy(planned: PlannedStep, state: CellState, data: Any) -> Generator[Any, Any, tuple[StepContext, Any]]:
    """Run a step through its policies; what the winning attempt staged is in the view that is returned."""
    outer = PolicyContext(state, planned.name, planned.report)
    assert planned.policy is not None
    output = planned.policy(data, outer)
    if type(output) not in PLAIN_TYPES and is_awaitable(output):
        if not planned.step.is_async:
            message = (
                f"step {planned.name!r} is a plain function that returned something to await, which its policies "
                f"cannot watch over; write it as `async def`"
            )
            raise DefinitionError(message)
        output = yield output
    winner = outer.winner
    if winner is None:
        return outer, output
    extra = outer._stage  # noqa: SLF001 - what the policies themselves had to say
    if extra is not None:
        stage = winner._open_stage()  # noqa: SLF001 - as above
        stage.events += extra.events
        stage.metrics += extra.metrics
        stage.artifacts += extra.artifacts
    return winner, output


def _run_cached(
    planned: PlannedStep, plan: Plan, ctx: StepContext, data: Any
) -> Generator[Any, Any, tuple[StepContext, Any, bool]]:
    """Answer from the cache, or run the step and keep what it came to."""
    cache = planned.cache
    assert cache is not None
    state = ctx._state  # noqa: SLF001 - the engine is who looks behind the view
    lookup = cache.look_up(data, state)
    if lookup.entry is not None:
        lookup.entry.replay(ctx)
        return ctx, lookup.entry.output, True
    if planned.policy is not None:
        ctx, output = yield from _run_policy(planned, state, data)
    else:
        if plan.hooks.before_step is not None:
            plan.hooks.before_step(plan.experiment, planned.step, ctx)
            forget_reads(ctx)
        output = planned.invoke(data, ctx)
        if is_awaitable(output):
            output = yield output
    output, rows = split_metrics(output)
    if rows:
        ctx._open_stage().metrics.extend(rows)  # noqa: SLF001 - as above
    if not isinstance(ctx, PolicyContext):  # what a policy says in place of a step depends on why the step failed
        cache.store(lookup, output, ctx)
    return ctx, output, False


def _report(planned: PlannedStep, ctx: StepContext, error: Exception) -> None:
    """Tell the plugins of the error; where one of them fails in turn, its error says what it was told of."""
    try:
        planned.report(ctx, error)
    except HookError as failure:
        failure.add_note(f"and: step {planned.name!r} failed: {describe(error)}")
        raise
