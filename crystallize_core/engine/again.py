"""Outputs from the cache, which are loaded when somebody wants them; and what is done where that fails by then.

That an entry is there, whole and signed is known when it is found, and what the step wrote is replayed. Whether what
it keeps of a large output is undamaged is known only when that is read. By then, other steps may have been answered
from the cache because of it. So the step runs once more as if it were then: on a copy of what the cell had
committed, of which nothing is committed, for the sake of its output alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from crystallize_core.cache.format import Damaged
from crystallize_core.context import StepContext
from crystallize_core.engine.drive import Loops, drive
from crystallize_core.errors import HookError, StepError, describe
from crystallize_core.state import CellState
from crystallize_core.stored import Stored

if TYPE_CHECKING:
    from crystallize_core.cache import Lookup
    from crystallize_core.engine.plan import Plan, PlannedStep

__all__ = ["RanAgainError", "stored_output"]


class RanAgainError(StepError):
    """A step failed that ran again for another one, which did not fail itself."""


def stored_output(plan: Plan, planned: PlannedStep, state: CellState, data: Any, lookup: Lookup) -> Stored:
    """The output of an entry that was found.

    Args:
        plan: The plan.
        planned: The step.
        state: The cell as the step would have seen it.
        data: What the step would have been given.
        lookup: What was found.

    """
    entry = lookup.entry
    assert entry is not None
    then = _remembered(state)

    def load() -> Any:
        try:
            return entry.output.load()
        except Damaged:
            loops = Loops()
        try:
            return drive(_again(plan, planned, then(), data, lookup), loops)
        finally:
            loops.close()

    return Stored(load, entry.digest)


def _remembered(state: CellState) -> Callable[[], CellState]:
    """What makes a copy of a cell as it is now; until then, only what may change is copied."""
    values = dict(state.values)
    metrics, artifacts, events = len(state.metrics), len(state.artifacts), len(state.events)

    def then() -> CellState:
        found = copy.copy(state)
        found.values = values
        found.metrics, found.artifacts = state.metrics[:metrics], state.artifacts[:artifacts]
        found.events = state.events[:events]
        return found

    return then


def _again(plan: Plan, planned: PlannedStep, state: CellState, data: Any, lookup: Lookup) -> Generator[Any, Any, Any]:
    """Run the step for its output, and put that in the place of the damaged entry.

    Raises:
        RanAgainError: The step raised.
        HookError: A hook of an essential plugin raised.

    """
    from crystallize_core.engine.step_run import StepRun, attempted, received  # noqa: PLC0415 - which needs this module

    done = StepRun(StepContext(_state=state, step_name=planned.name))
    try:
        output = yield from attempted(plan, planned, state, data, done)
        yield from received(plan, planned, done, output, stores=False)
    except (HookError, RanAgainError):
        raise
    except Exception as error:
        raise _failure(planned, describe(error)) from error
    if done.skipped is not None:
        raise _failure(planned, f"it left itself out: {done.skipped}")
    if done.rows:
        done.ctx._open_stage().metrics.extend(done.rows)  # noqa: SLF001 - the engine is who stages
    if planned.cache is not None and not done.has_fallback:
        planned.cache.store(lookup, done.kept, done.ctx, data, done.made)
    return done.kept


def _failure(planned: PlannedStep, reason: str) -> RanAgainError:
    text = f"step {planned.name!r} failed: its output in the cache is damaged, and when it ran again: {reason}"
    return RanAgainError(text, step=planned.name)
