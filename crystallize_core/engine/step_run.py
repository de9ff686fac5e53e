"""One step with everything that may be around it: conditions, cache, policies, assets, several outputs.

The inner loops write the common case out, which is a call of the function and nothing else; whatever is
less common comes through here. Nothing is committed here: what a step came to is handed back, so that it
can be committed in the order of the plan, whichever step ended first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from crystallize_core.asset import Asset
from crystallize_core.assets import Assets
from crystallize_core.context import StepContext, forget_reads
from crystallize_core.engine.again import RanAgainError, stored_output
from crystallize_core.engine.attempt import PolicyContext
from crystallize_core.engine.returns import (
    ASSET,
    AWAITABLE,
    PAIR,
    PLAIN_TYPES,
    SKIPPED,
    is_awaitable,
    kind_of,
    split_metrics,
)
from crystallize_core.errors import DefinitionError, HookError, describe
from crystallize_core.state import CellState, Metric, checked_metric
from crystallize_core.stored import loaded, parts_of

if TYPE_CHECKING:
    from crystallize_core.cache import Lookup
    from crystallize_core.engine.plan import Plan, PlannedStep

__all__ = [
    "Awaiting",
    "StepRun",
    "given_to",
    "policy_context",
    "received",
    "refuse_stray",
    "refused",
    "report",
    "run_step",
    "settled",
    "tell_skipped",
]

Awaiting = Generator[Any, Any, Any]
"""Yields awaitables, is sent what they came to, returns a result."""


class StepRun:
    """What running one step came to.

    Attributes:
        ctx: The view that it had; of several attempts, that of the one that counts.
        kept: What it returned, without the metrics; `Stored`, where that is in the cache and nobody wanted it yet.
        made: Its outputs by name, where it has several.
        rows: The metrics that it returned.
        skipped: Why it did not run; None if it did.
        error: What it raised; None if it succeeded.
        hit: Whether the output came from the cache.
        resumed: Whether it came from an earlier run.
        has_fallback: Whether the output is what a policy gave in place of that of the step.
        nanoseconds: How long all of it took.
        why: What the cache was asked for; None where the step has no cache.

    """

    __slots__ = (
        "ctx", "error", "has_fallback", "hit", "kept", "made", "nanoseconds", "resumed", "rows", "skipped", "why",
    )  # fmt: skip

    def __init__(self, ctx: StepContext) -> None:
        self.ctx = ctx
        self.kept: Any = None
        self.made: dict[str, Any] | None = None
        self.rows: list[Metric] | None = None
        self.skipped: str | None = None
        self.error: Exception | None = None
        self.hit = self.resumed = self.has_fallback = False
        self.nanoseconds = 0
        self.why: Lookup | None = None

    @property
    def output(self) -> Any:
        """What it returned, without the metrics."""
        return loaded(self.kept)


def run_step(plan: Plan, planned: PlannedStep, state: CellState, data: Any) -> Generator[Any, Any, StepRun]:
    """Run one step and hand back what it came to, also if it failed.

    Args:
        plan: The plan.
        planned: The step.
        state: The cell.
        data: The data of a chain, or the `Assets` of a graph.

    """
    start = perf_counter_ns()
    done = StepRun(StepContext(_state=state, step_name=planned.name))
    try:
        if planned.wired.guards:
            done.skipped = yield from refused(planned, state, data)
        if done.skipped is None and not _is_known(plan, planned, state, data, done):
            yield from _output(plan, planned, state, data, done)
    except Exception as caught:  # noqa: BLE001 - what it means is decided where it is committed
        done.error = error = caught.raised if isinstance(caught, _Raised) else caught
        if not isinstance(error, HookError) and planned.policy is None:
            try:
                report(planned, done.ctx, error)
            except HookError as failure:
                done.error = failure
    done.nanoseconds = perf_counter_ns() - start
    return done


class _Raised(Exception):  # noqa: N818 - it is caught at once
    """Holds what a step raised, where a generator of ours would turn it into something else."""

    def __init__(self, raised: Exception) -> None:
        super().__init__()
        self.raised = raised


def _called(function: Callable[[Any, Any], Any], data: Any, ctx: Any) -> Any:
    """Call foreign code out of a generator, which would make a `RuntimeError` of a `StopIteration`."""
    try:
        return function(data, ctx)
    except StopIteration as error:
        raise _Raised(error) from None


def refused(planned: PlannedStep, state: CellState, data: Any) -> Generator[Any, Any, str | None]:
    """Why a step is not to run, or None."""
    for guard in planned.wired.guards:
        # A view of its own: what a condition reads is no dependency of the output.
        answer = _called(guard.ask, loaded(data), StepContext(_state=state, step_name=planned.name))
        if is_awaitable(answer):
            answer = yield answer
        if bool(answer) is not guard.wanted:
            return guard.reason
    return None


def _is_known(plan: Plan, planned: PlannedStep, state: CellState, data: Any, done: StepRun) -> bool:
    """Whether the cache answers for the step."""
    cache = planned.cache
    if cache is None:
        return False
    done.why = lookup = cache.look_up(data, state)
    if lookup.entry is None:
        return False
    done.hit, done.resumed = True, cache.is_earlier(lookup)
    done.kept = stored_output(plan, planned, state, data, lookup)
    lookup.entry.replay(done.ctx)
    if planned.wired.split is not None:
        done.made = parts_of(done.kept, planned.wired.split, lookup.entry.digests)
    cache.keep_found(lookup)
    return True


def _output(plan: Plan, planned: PlannedStep, state: CellState, data: Any, done: StepRun) -> Generator[Any, Any, None]:
    """Run the step and keep what it came to."""
    cache = planned.cache
    output = yield from attempted(plan, planned, state, data, done)
    yield from received(plan, planned, done, output)
    # What a policy says in place of a step depends on why the step failed.
    if cache is not None and done.why is not None and done.skipped is None and not done.has_fallback:
        if done.rows:
            done.ctx._open_stage().metrics.extend(done.rows)  # noqa: SLF001 - the engine is who stages
            done.rows = None
        cache.store(done.why, done.kept, done.ctx, data, done.made)


def attempted(plan: Plan, planned: PlannedStep, state: CellState, data: Any, done: StepRun) -> Generator[Any, Any, Any]:
    """Call the step, or the policies around it, and hand on what comes back."""
    data = loaded(data)
    if planned.policy is not None:
        # While it runs and where it fails, this is the view, which knows how many attempts there were.
        done.ctx = outer = policy_context(planned, state)
        output = _called(planned.policy, data, outer)
        if type(output) not in PLAIN_TYPES and is_awaitable(output):
            refuse_stray(planned)
            output = yield output
        done.ctx = settled(outer)
        done.has_fallback = done.ctx is outer
    else:
        if plan.hooks.before_step is not None:
            plan.hooks.before_step(plan.experiment, planned.step, done.ctx)
            forget_reads(done.ctx)
        output = _called(planned.invoke, data, done.ctx)
    return output


def received(
    plan: Plan, planned: PlannedStep, done: StepRun, output: Any, *, stores: bool = True
) -> Generator[Any, Any, None]:
    """Take what a step returned apart: wait for it, and find metrics, assets, single outputs, or that it was skipped.

    Args:
        plan, planned: The step.
        done: Gets the parts.
        output: What it returned.
        stores: Whether assets are stored.

    """
    kind = kind_of(type(output))
    if kind == AWAITABLE:
        output = yield output
        kind = kind_of(type(output))
    if kind == SKIPPED:
        done.skipped = output.reason
        return
    returned = output
    if kind == PAIR and not planned.step.outputs:
        output, done.rows = split_metrics(output)
    done.kept = output
    split = planned.wired.split
    if split is not None:
        done.made = dict(split(output))
    if planned.check is not None:
        planned.check(returned, output, done.made)
    if not stores:
        return
    for name, value, promised in _assets(planned, done):
        _store(plan, done, value if isinstance(value, Asset) else promised(value), name)


def _assets(planned: PlannedStep, done: StepRun) -> Iterator[tuple[str, Any, Any]]:
    """What a step returned for plugins to store: its name, the value, and the type it was promised as."""
    made = {planned.wired.outputs[0]: done.kept} if done.made is None else done.made
    for name, value in made.items():
        if kind_of(type(value)) == ASSET:
            yield name, value, None
        elif planned.promised and value is not None and name in planned.promised:
            yield name, value, planned.promised[name]


def _store(plan: Plan, done: StepRun, asset: Asset, name: str) -> None:
    found = asset.recorded()
    if found:
        done.rows = [*(done.rows or ()), *(checked_metric(key, value) for key, value in found.items())]
    plan.hooks.first("store_asset", plan.experiment, asset.named(name), done.ctx)


def policy_context(planned: PlannedStep, state: CellState) -> PolicyContext:
    """What the policies of a step see of one execution."""
    outer: PolicyContext = PolicyContext(_state=state, step_name=planned.name, _failed=planned.report)
    return outer


def settled(outer: PolicyContext) -> StepContext:
    """The view of the attempt that succeeded, with what the policies had to say; without one, that of the policies."""
    winner = outer.winner
    if winner is None:
        return outer
    extra = outer._stage  # noqa: SLF001 - the engine is who stages
    if extra is not None:
        stage = winner._open_stage()  # noqa: SLF001 - as above
        stage.events += extra.events
        stage.metrics += extra.metrics
        stage.artifacts += extra.artifacts
    return winner


def refuse_stray(planned: PlannedStep) -> None:
    """Refuse something to await that a plain function returned.

    Raises:
        DefinitionError: The step is no `async def`.

    """
    if not planned.step.is_async:
        message = (
            f"step {planned.name!r} is a plain function that returned something to await, which its policies "
            f"cannot watch over; write it as `async def`"
        )
        raise DefinitionError(message)


def report(planned: PlannedStep, ctx: StepContext, error: Exception) -> None:
    """Tell the plugins of the error; where one of them fails in turn, its error says what it was told of."""
    if isinstance(error, RanAgainError):
        return
    try:
        planned.report(ctx, error)
    except HookError as failure:
        failure.add_note(f"and: step {planned.name!r} failed: {describe(error)}")
        raise


def tell_skipped(plan: Plan, planned: PlannedStep, state: CellState, reason: str) -> None:
    """Tell the plugins of a step that is left out, and commit what they write."""
    if plan.hooks.step_skipped is not None:
        ctx = StepContext(_state=state, step_name=planned.name)
        plan.hooks.step_skipped(plan.experiment, planned.step, ctx, reason)
        if ctx._stage is not None:  # noqa: SLF001 - the engine is who commits
            state.commit(ctx._stage)  # noqa: SLF001 - as above


def given_to(planned: PlannedStep, data: Any) -> Any:
    """What a step gets, for records: the data of a chain, the values by parameter of a graph."""
    if not isinstance(data, Assets):
        return loaded(data)
    return {f.parameter: data[f.key] for f in planned.wired.fills if f.key is not None and f.key in data}
