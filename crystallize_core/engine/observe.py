"""Provenance: one record per step, for the cells that somebody asked to see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crystallize_core.context import StepContext
from crystallize_core.engine.step_run import StepRun, given_to
from crystallize_core.errors import describe
from crystallize_core.signature import REQUIRED
from crystallize_core.state import ABSENT, ALL_KEYS, CellState

if TYPE_CHECKING:
    from crystallize_core.engine.plan import PlannedStep
    from crystallize_core.wiring import Fill

__all__ = ["Observer", "uses_default"]


def uses_default(fill: Fill, state: CellState) -> bool:
    """Whether the context had no value for a parameter that has a default."""
    return fill.source == "context" and fill.value is not REQUIRED and fill.place not in state.values


class Observer:
    """Writes down what each step was given, read, wrote and recorded.

    Args:
        values: Whether to keep what went into and came out of each step too, for debugging.

    """

    def __init__(self, *, values: bool = False) -> None:
        self.records: list[Mapping[str, Any]] = []
        self._values = values
        self._mark = (0, 0, 0)
        self._given: Any = None

    def starts(self, planned: PlannedStep, state: CellState, data: Any) -> None:
        """A step is about to run; what it is given may be changed by it."""
        self._mark = len(state.metrics), len(state.artifacts), len(state.events)
        self._given = given_to(planned, data) if self._values else None

    def finished(self, planned: PlannedStep, done: StepRun) -> None:
        """A step succeeded; what it wrote is committed."""
        ctx = done.ctx
        state = ctx._state  # noqa: SLF001 - the engine is who looks behind the view
        metrics_at, artifacts_at, events_at = self._mark
        record = self._record(planned, ctx)
        record["cache_hit"] = done.hit
        record["attempts"] = ctx.attempt
        record["duration_seconds"] = done.nanoseconds / 1e9
        record["artifacts"] = tuple([a.name for a in state.artifacts[artifacts_at:]]) if state.artifacts else ()
        record["events"] = tuple([event.name for event in state.events[events_at:]]) if state.events else ()
        changes = record["ctx_changes"]
        if ctx._stage is not None:  # noqa: SLF001 - as above
            changes["wrote"] = {key: {"before": None, "after": value} for key, value in _added(ctx).items()}
        if len(state.metrics) > metrics_at:
            changes["metrics"] = _recorded(state, metrics_at)
        if self._values:
            record["output"] = done.output
        self.records.append(record)

    def failed(self, planned: PlannedStep, done: StepRun) -> None:
        """A step raised; it left nothing behind."""
        assert done.error is not None
        record = self._record(planned, done.ctx)
        record["error"] = describe(done.error)
        self.records.append(record)

    def skipped(self, planned: PlannedStep, state: CellState, reason: str) -> None:
        """A step was left out, because its condition did not hold or what it needs was not made."""
        record = self._record(planned, StepContext(_state=state, step_name=planned.name))
        record["skipped"] = reason
        self.records.append(record)

    def not_run(self, planned: PlannedStep, state: CellState, reason: str) -> None:
        """A step could not run, because something failed that it needs."""
        record = self._record(planned, StepContext(_state=state, step_name=planned.name))
        record["not_run"] = reason
        self.records.append(record)

    def _record(self, planned: PlannedStep, ctx: StepContext) -> dict[str, Any]:
        state = ctx._state  # noqa: SLF001 - as above
        reads: dict[str, Any] = {}
        sources = dict(planned.wired.sources)
        for fill in planned.wired.by_context:
            if uses_default(fill, state):
                sources[fill.parameter] = "default"
            elif fill.place in state.values:
                reads[fill.place] = state.values[fill.place]
        if ctx._reads:  # noqa: SLF001 - as above
            reads |= ctx._reads  # noqa: SLF001 - as above
        record: dict[str, Any] = {
            "step": planned.name,
            "params": dict(planned.step.params),
            "filled": sources,
            "cache_hit": False,
            "ctx_changes": {
                "reads": {k: v for k, v in reads.items() if v is not ABSENT and k != ALL_KEYS} if reads else reads,
                "missed": tuple([k for k, v in reads.items() if v is ABSENT]) if reads else (),
                "wrote": {},
                "metrics": {},
            },
        }
        if self._values:
            record["input"] = self._given
        return record


def _added(ctx: StepContext) -> dict[str, Any]:
    stage = ctx._stage  # noqa: SLF001 - as above
    return dict(getattr(stage, "added", {}))


def _recorded(state: CellState, start: int) -> dict[str, dict[str, tuple[Any, ...]]]:
    """The metrics that were recorded since `start`, with what was there under the same names before."""
    found: dict[str, dict[str, tuple[Any, ...]]] = {}
    for name, _, _ in state.metrics[start:]:
        if name not in found:
            before = tuple(v for n, v, _ in state.metrics[:start] if n == name)
            after = tuple(v for n, v, _ in state.metrics if n == name)
            found[name] = {"before": before, "after": after}
    return found
