"""What became of each step of a pipeline that runs on its own, written down as it happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from crystallize_core.assets import Assets
from crystallize_core.context import StepContext
from crystallize_core.engine.observe import Observer
from crystallize_core.errors import FingerprintError, describe
from crystallize_core.fingerprint import code_digest
from crystallize_core.pipeline_result import Lineage, Origin, StepResult

if TYPE_CHECKING:
    from crystallize_core.engine.plan import PlannedStep
    from crystallize_core.engine.step_run import StepRun
    from crystallize_core.state import CellState

__all__ = ["Recorder", "lineage_of"]


Tell = Callable[["PlannedStep", "StepRun | None", StepResult, Mapping[str, Any]], None]


class Recorder(Observer):
    """Keeps a `StepResult` per step, in the order in which the steps were committed.

    Args:
        tell: Called with each of them, and with what the step was given by parameter, where `values` asks for that.
        values: Whether to keep what went into and came out of each step in the records too.

    """

    def __init__(self, tell: Tell, *, values: bool = False) -> None:
        super().__init__(values=values)
        self.results: dict[str, StepResult] = {}
        self._tell = tell
        self._written: dict[str, list[Any]] = {}

    def finished(self, planned: PlannedStep, done: StepRun) -> None:
        """A step succeeded; what it wrote is committed."""
        super().finished(planned, done)
        state = done.ctx._state  # noqa: SLF001 - the engine is who looks behind the view
        self._written[planned.name] = [record for record in state.artifacts if record.step == planned.name]
        events = tuple(self.records[-1]["events"])
        self._keep(planned, done, state="cached" if done.hit else "ok", output=done.output, events=events)

    def failed(self, planned: PlannedStep, done: StepRun) -> None:
        """A step raised; it left nothing behind."""
        super().failed(planned, done)
        assert done.error is not None
        self._keep(planned, done, state="failed", error=describe(done.error), exception=done.error)

    def skipped(self, planned: PlannedStep, state: CellState, reason: str) -> None:
        """A step was left out."""
        super().skipped(planned, state, reason)
        self._keep(planned, None, state="skipped", reason=reason)

    def not_run(self, planned: PlannedStep, state: CellState, reason: str) -> None:
        """A step could not run."""
        super().not_run(planned, state, reason)
        self._keep(planned, None, state="not run", reason=reason)

    def _keep(self, planned: PlannedStep, done: StepRun | None, **fields: Any) -> None:
        if done is not None:
            fields |= {
                "duration_seconds": done.nanoseconds / 1e9,
                "retries": max(0, _attempts(done.ctx) - 1),
                "fallback_used": done.has_fallback,
                "resumed": done.resumed,
            }
        sources = {fill.parameter: fill.words for fill in planned.wired.fills}
        found = self.results[planned.name] = StepResult(planned.name, sources=sources, **fields)
        given = self._given if done is not None and isinstance(self._given, Mapping) else {}
        self._tell(planned, done, found, given)

    def artifacts(self, step: str) -> dict[str, str | None]:
        """Where the artifacts of a step are now, by name."""
        return {record.name: record.uri for record in self._written.get(step, ())}


def _attempts(ctx: StepContext) -> int:
    """How many attempts there were; asking the view itself would count as a read of the step."""
    attempts: int = ctx.__dict__.get("_attempts", ctx._attempt)  # noqa: SLF001 - as above
    return attempts


def lineage_of(steps: tuple[PlannedStep, ...], assets: Assets, inputs: tuple[str, ...]) -> Lineage:
    """Where everything came from that was made, or given to the run."""
    found: dict[str, Origin] = {name: Origin(_digest(assets, name)) for name in inputs}
    for planned in steps:
        wired = planned.wired
        made = [name for name in wired.outputs if name in assets]
        if not made:
            continue
        taken = {str(f.key): _digest(assets, f.key) for f in wired.fills if f.key in assets and f.source != "context"}
        try:
            code = code_digest(planned.step.function)
        except FingerprintError:
            code = None
        sources = {fill.parameter: fill.words for fill in wired.fills}
        for name in made:
            found[name] = Origin(_digest(assets, name), planned.name, code, sources, taken)
    return found


def _digest(assets: Assets, key: Any) -> str | None:
    try:
        return assets.digest(key)
    except FingerprintError:
        return None
