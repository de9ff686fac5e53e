"""What became of each step of a pipeline that runs on its own, written down as it happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from crystallize_core.assets import Assets
from crystallize_core.cache import code_of
from crystallize_core.context import StepContext
from crystallize_core.engine.observe import Observer
from crystallize_core.errors import FingerprintError, describe
from crystallize_core.pipeline_result import Lineage, Origin, StepResult
from crystallize_core.signature import REQUIRED

if TYPE_CHECKING:
    from crystallize_core.engine.plan import PlannedStep
    from crystallize_core.engine.step_run import StepRun
    from crystallize_core.state import CellState
    from crystallize_core.wiring import Fill

__all__ = ["Recorder"]


_MAY_BE_ABSENT = ("context", "output", "input", "data")
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
        self.hits = self.misses = 0
        self._tell = tell
        self._sources: dict[str, str] = {}
        self._written: dict[str, list[Any]] = {}
        self._code: dict[str, str] = {}

    def starts(self, planned: PlannedStep, state: CellState, data: Any) -> None:
        """A step is about to run."""
        super().starts(planned, state, data)
        self._sources = {fill.parameter: _source(fill, state, data) for fill in planned.wired.fills}

    def finished(self, planned: PlannedStep, done: StepRun) -> None:
        """A step succeeded; what it wrote is committed."""
        super().finished(planned, done)
        if planned.step.cacheable and done.why is not None and not done.resumed:
            self.hits += done.hit
            self.misses += done.why.was_asked and not done.hit
        if done.why is not None and done.why.entry is not None and done.why.entry.code is not None:
            self._code[planned.name] = done.why.entry.code  # which made it, and may have changed since
        state = done.ctx._state  # noqa: SLF001 - the engine is who looks behind the view
        self._written[planned.name] = [record for record in state.artifacts if record.step == planned.name]
        events = tuple(self.records[-1]["events"])
        self._keep(planned, done, state="cached" if done.hit else "ok", output=done.kept, events=events)

    def failed(self, planned: PlannedStep, done: StepRun) -> None:
        """A step raised; it left nothing behind."""
        super().failed(planned, done)
        error = done.error
        assert error is not None
        self._keep(planned, done, state="failed", error=describe(error), exception=error)

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
        sources = self._sources if done is not None else {f.parameter: f.words for f in planned.wired.fills}
        found = self.results[planned.name] = StepResult(planned.name, sources=sources, **fields)
        given = self._given if done is not None and isinstance(self._given, Mapping) else {}
        self._tell(planned, done, found, given)

    def artifacts(self, step: str) -> dict[str, str | None]:
        """Where the artifacts of a step are now, by name."""
        return {record.name: record.uri for record in self._written.get(step, ())}

    def lineage(self, steps: tuple[PlannedStep, ...], assets: Assets, inputs: Iterable[str]) -> Lineage:
        """Where everything came from that was made, or given to the run.

        Args:
            steps: The steps.
            assets: What they made and what the run was given.
            inputs: The names of what the run was given.

        """
        found: dict[str, Origin] = {name: Origin(_digest(assets, name)) for name in inputs}
        for planned in steps:
            wired = planned.wired
            made = [name for name in wired.outputs if name in assets]
            if not made:
                continue
            fills = (fill for fill in wired.fills if fill.key in assets and fill.source != "context")
            taken = {f.key if isinstance(f.key, str) else f"{f.maker}": _digest(assets, f.key) for f in fills}
            code = self._code.get(planned.name) or code_of(planned.step)
            sources = self.results[planned.name].sources
            for name in made:
                found[name] = Origin(_digest(assets, name), planned.name, code, sources, taken)
        return found


def _attempts(ctx: StepContext) -> int:
    """How many attempts there were; asking the view itself would count as a read of the step."""
    attempts: int = ctx.__dict__.get("_attempts", ctx._attempt)  # noqa: SLF001 - as above
    return attempts


def _source(fill: Fill, state: CellState, data: Any) -> str:
    """Where the value of a parameter comes from, in words, now that it is known what is there."""
    if fill.source in _MAY_BE_ABSENT and fill.value is not REQUIRED:
        is_there = fill.place in state.values if fill.source == "context" else fill.key is None or fill.key in data
        return fill.words if is_there else "default"
    return fill.words


def _digest(assets: Assets, key: Any) -> str | None:
    try:
        return assets.digest(key)
    except FingerprintError:
        return None
