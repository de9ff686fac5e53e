"""What a pipeline came to that ran on its own: outputs, what became of each step, and where everything came from."""

from __future__ import annotations

import datetime as dt
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs

from crystallize_core.drawing import Drawing, as_mermaid, as_svg, as_text
from crystallize_core.errors import CrystallizeError, StepError, did_you_mean
from crystallize_core.parameters import masked, shown
from crystallize_core.result import Result
from crystallize_core.stored import loaded
from crystallize_core.values import encode

__all__ = ["Lineage", "Origin", "Outputs", "PipelineResult", "StepResult"]

State = Literal["ok", "cached", "skipped", "failed", "not run"]


@attrs.frozen
class StepResult:
    """What became of one step.

    Attributes:
        step_name: Its unique name in the pipeline.
        state: `ok`, `cached`, `skipped`, `failed` or `not run`.
        error: Why it failed, in words; None if it did not.
        exception: What it raised, with its traceback.
        reason: Why it was skipped or not run.
        duration_seconds: Seconds; of a cached step, those of the look-up.
        retries: Further attempts after the first one.
        fallback_used: Whether the output is that of a fallback.
        resumed: Whether the output came from an earlier run that was resumed.
        artifacts: Where its artifacts are, by name; None for one that is only in memory.
        events: The names of the events that it and its policies emitted.
        timestamp: When it ended, in UTC.
        sources: Where each parameter came from, in words.

    """

    step_name: str
    state: State
    _output: Any = attrs.field(default=None, repr=False, eq=loaded)
    error: str | None = None
    exception: BaseException | None = attrs.field(default=None, repr=False)
    reason: str | None = None
    duration_seconds: float = 0.0
    retries: int = 0
    fallback_used: bool = False
    resumed: bool = False
    artifacts: Mapping[str, str | None] = attrs.field(factory=dict)
    events: tuple[str, ...] = ()
    timestamp: dt.datetime = attrs.field(factory=lambda: dt.datetime.now(dt.UTC))
    sources: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    @property
    def output(self) -> Any:
        """What it returned, without the metrics; None if it did not succeed. Read from the cache when it is first asked for."""
        return loaded(self._output)

    @property
    def kept(self) -> Any:
        """The same, as it is: what is in the cache is not read."""
        return self._output

    @property
    def success(self) -> bool:
        """Whether it did what it was to do: it ran, its output was there already, or it was to be skipped."""
        return self.state in ("ok", "cached", "skipped")

    @property
    def cached(self) -> bool:
        """Whether its output was there already, in the cache or from an earlier run."""
        return self.state == "cached"

    @property
    def skipped(self) -> bool:
        """Whether its condition did not hold, or what it needs was skipped."""
        return self.state == "skipped"

    @property
    def artifact_uri(self) -> str | None:
        """Where its first artifact was stored; None if it has none, or only in memory."""
        return next((uri for uri in self.artifacts.values() if uri is not None), None)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the output and the exception object, as plain JSON values."""
        trace = None if self.exception is None else "".join(traceback.format_exception(self.exception))
        return {
            "step_name": self.step_name,
            "state": self.state,
            "success": self.success,
            "cached": self.cached,
            "skipped": self.skipped,
            "error": self.error,
            "traceback": trace,
            "reason": self.reason,
            "duration_seconds": self.duration_seconds,
            "retries": self.retries,
            "fallback_used": self.fallback_used,
            "resumed": self.resumed,
            "artifacts": dict(self.artifacts),
            "events": list(self.events),
            "artifact_uri": self.artifact_uri,
            "timestamp": self.timestamp.isoformat(),
            "sources": dict(self.sources),
        }


@attrs.frozen
class Origin:
    """Where one asset came from.

    Attributes:
        digest: The digest of its content, 64 hexadecimal digits; None where it has no stable one.
        step: The step that made it; None for an input of the run.
        code: The digest of the step's code with all that it reaches; None where it has none.
        parameters: Where each parameter of the step came from, in words.
        inputs: The digests of the assets that the step took, by asset.

    """

    digest: str | None
    step: str | None = None
    code: str | None = None
    parameters: Mapping[str, str] = attrs.field(factory=dict)
    inputs: Mapping[str, str | None] = attrs.field(factory=dict)


Lineage = Mapping[str, Origin]
"""Where each asset came from, by its name."""


class Outputs(Mapping[str, Any]):
    """What the steps made, by the name of the output; what a step returned as a whole, by the name of the step."""

    def __init__(self, assets: Mapping[str, Any], returned: Mapping[str, Any]) -> None:
        self._assets = dict(assets)
        self._all = {**returned, **assets}

    def __getitem__(self, name: str) -> Any:
        if name not in self._all:
            message = f"the run made no {name!r}; {did_you_mean(str(name), self._all, listing='it made')}"
            raise KeyError(message)
        return loaded(self._all[name])

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._assets)

    def __len__(self) -> int:
        return len(self._assets)

    def __repr__(self) -> str:
        return f"Outputs({', '.join(self._assets)})"


@attrs.frozen(repr=False, str=False, eq=False)
class PipelineResult:
    """What a pipeline came to.

    Attributes:
        pipeline_name: The name of the pipeline.
        run_id: The id of the run, with which it can be resumed.
        outputs: What the steps made, by name.
        step_results: What became of each step, in the order in which they ran.
        duration_seconds: Seconds.
        context: The parameters of the run; secrets are masked wherever they are shown.
        record: The result as that of an experiment with one cell: metrics, artifacts, the record of the run.
        lineage: Where each asset came from.
        error: What ended the run beside its steps, such as a plugin that failed; None if nothing did.

    """

    pipeline_name: str
    run_id: str
    outputs: Outputs
    step_results: Mapping[str, StepResult]
    duration_seconds: float
    context: Mapping[str, Any]
    record: Result
    lineage: Lineage
    error: CrystallizeError | None
    _drawing: Drawing

    @property
    def success(self) -> bool:
        """Whether no step failed."""
        return self.error is None and all(result.success for result in self.step_results.values())

    @property
    def state(self) -> Literal["completed", "failed"]:
        """`completed` or `failed`."""
        return "completed" if self.success else "failed"

    @property
    def metrics(self) -> dict[str, list[Any]]:
        """The recorded values by metric."""
        found = self.record.metrics.baseline
        return {
            name: [row.value for row in found.rows() if row.metric == name]
            for name in dict.fromkeys(r.metric for r in found.rows())
        }

    def __getitem__(self, name: str) -> Any:
        return self.outputs[name]

    def __contains__(self, name: object) -> bool:
        return name in self.outputs

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def raise_for_status(self) -> PipelineResult:
        """Raise what went wrong, if anything did; otherwise return the result itself.

        Raises:
            CrystallizeError: A step or a plugin failed; `.result` is this result.

        """
        if self.error is not None:
            self.error.result = self  # type: ignore[attr-defined]  # nothing that was finished is lost
            raise self.error
        return self

    # As text ----------------------------------------------------------------------------------------

    def visualize(self, form: Literal["text", "mermaid", "svg"] = "text") -> str:
        """A picture of the graph with what became of each step: text, Mermaid or SVG."""
        return picture(self._drawing, form)

    def summary(self) -> str:
        """A table of the steps with what became of each."""
        head = f"pipeline {self.pipeline_name!r}: {self.state} in {self.duration_seconds:.2f} s, run {self.run_id}"
        width = max((len(name) for name in self.step_results), default=0)
        lines = [head]
        for name, found in self.step_results.items():
            notes = [f"{found.retries} retries"] if found.retries else []
            notes += ["fallback"] if found.fallback_used else []
            notes += ["from an earlier run"] if found.resumed else []
            notes += [text for text in (found.error, found.reason) if text]
            lines.append(
                f"  {name:<{width}}  {found.state:<8} {found.duration_seconds:8.3f} s  {'; '.join(notes)}".rstrip()
            )
        if self.error is not None and not isinstance(self.error, StepError):  # that of a step stands beside it
            lines.append(f"  error: {self.error}")
        lines += [f"  warning: {text}" for text in self.record.warnings]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the outputs themselves, as plain JSON values; secrets are masked."""
        return {
            "pipeline_name": self.pipeline_name,
            "run_id": self.run_id,
            "state": self.state,
            "success": self.success,
            "duration_seconds": self.duration_seconds,
            "context": {name: encode(masked(name, value)) for name, value in self.context.items()},
            "outputs": {name: shown(name, value) for name, value in self.outputs.items()},
            "step_results": {name: found.to_dict() for name, found in self.step_results.items()},
            "metrics": {name: [encode(value) for value in values] for name, values in self.metrics.items()},
            "lineage": {name: attrs.asdict(origin) for name, origin in self.lineage.items()},
            "error": None if self.error is None else str(self.error),
            "warnings": list(self.record.warnings),
        }

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return f"<PipelineResult of {self.pipeline_name!r}: {self.state}, {len(self.step_results)} steps>"


def picture(drawing: Drawing, form: str) -> str:
    """A drawing in one of its forms.

    Raises:
        ValueError: There is no such form.

    """
    forms = {"text": as_text, "mermaid": as_mermaid, "svg": as_svg}
    if form not in forms:
        message = f"unknown form {form!r}; {did_you_mean(str(form), forms, listing='the forms are')}"
        raise ValueError(message)
    return forms[form](drawing)
