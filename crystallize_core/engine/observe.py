"""Provenance: one record per step, for the cells that somebody asked to see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crystallize_core.context import StepContext
from crystallize_core.errors import describe
from crystallize_core.state import ABSENT, ALL_KEYS, CellState

if TYPE_CHECKING:
    from crystallize_core.engine.plan import PlannedStep

__all__ = ["Observer"]


class Observer:
    """Writes down what each step was given, read, wrote and recorded.

    Args:
        values: Whether to keep what went into and came out of each step too, for debugging.

    """

    def __init__(self, *, values: bool = False) -> None:
        self.records: list[Mapping[str, Any]] = []
        self._values = values

    def mark(self, state: CellState) -> tuple[int, int, int]:
        """Where the cell stands before a step."""
        return len(state.metrics), len(state.artifacts), len(state.events)

    def finished(
        self,
        planned: PlannedStep,
        ctx: StepContext,
        given: Any,
        output: Any,
        mark: tuple[int, int, int] | None,
        nanoseconds: int,
        *,
        hit: bool,
    ) -> None:
        """A step succeeded; what it wrote is committed."""
        state = ctx._state  # noqa: SLF001 - the engine is who looks behind the view
        metrics_at, artifacts_at, events_at = mark or (0, 0, 0)
        record = self._record(planned, ctx, given)
        record |= {
            "cache_hit": hit,
            "attempts": ctx.attempt,
            "duration_seconds": nanoseconds / 1e9,
            "artifacts": tuple(artifact.name for artifact in state.artifacts[artifacts_at:]),
            "events": tuple(event.name for event in state.events[events_at:]),
        }
        record["ctx_changes"] |= {
            "wrote": {key: {"before": None, "after": value} for key, value in _added(ctx).items()},
            "metrics": _recorded(state, metrics_at),
        }
        if self._values:
            record["output"] = output
        self.records.append(record)

    def failed(self, planned: PlannedStep, ctx: StepContext, given: Any, error: BaseException) -> None:
        """A step raised; it left nothing behind."""
        record = self._record(planned, ctx, given)
        record["error"] = describe(error)
        self.records.append(record)

    def _record(self, planned: PlannedStep, ctx: StepContext, given: Any) -> dict[str, Any]:
        values = ctx._state.values  # noqa: SLF001 - as above
        filled = {
            f.parameter: values[f.parameter]
            for f in planned.wired.fills
            if f.source == "context" and f.parameter in values
        }
        reads = filled | (ctx._reads or {})  # noqa: SLF001 - as above
        record: dict[str, Any] = {
            "step": planned.name,
            "params": dict(planned.step.params),
            "filled": {fill.parameter: fill.source for fill in planned.wired.fills},
            "cache_hit": False,
            "ctx_changes": {
                "reads": {k: v for k, v in reads.items() if v is not ABSENT and k != ALL_KEYS},
                "missed": tuple(k for k, v in reads.items() if v is ABSENT),
                "wrote": {},
                "metrics": {},
            },
        }
        if self._values:
            record["input"] = given
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
