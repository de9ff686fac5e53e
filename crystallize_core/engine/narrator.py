"""Says aloud what the steps of a pipeline do: a line of progress, a log record, or everything for debugging."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crystallize_core.parameters import is_secret, shown

if TYPE_CHECKING:
    from crystallize_core.engine.plan import PlannedStep
    from crystallize_core.engine.step_run import StepRun
    from crystallize_core.pipeline_result import PipelineResult, StepResult

__all__ = ["Debugger", "Narrator", "post_mortem"]


class Narrator:
    """Tells of each step as it ends, where that was asked for.

    Args:
        steps: How many there are.
        verbose: Whether to log each of them.
        progress: Whether to show a line of progress on standard error.
        logger: Where they are logged; default the logger named `crystallize`.

    """

    def __init__(self, steps: int, *, verbose: bool, progress: bool, logger: Any = None) -> None:
        self._steps, self._verbose, self._progress = steps, verbose, progress
        self._logger = logger or logging.getLogger("crystallize")
        self._count = 0

    def tell(
        self,
        planned: PlannedStep,
        done: StepRun | None,  # noqa: ARG002 - as the debugger's
        result: StepResult,
        given: Mapping[str, Any],  # noqa: ARG002 - the same
    ) -> None:
        """A step has ended."""
        self._count += 1
        if self._verbose:
            found = {"cached": "from the cache", "ok": f"in {result.duration_seconds:.3f} s"}.get(result.state)
            text = result.error or result.reason or ""
            self._logger.info("step %s %s", planned.name, f"finished {found}" if found else f"{result.state}: {text}")
        if self._progress:
            end = "\n" if self._count == self._steps or not sys.stderr.isatty() else "\r"
            sys.stderr.write(f"{self._count}/{self._steps} {planned.name}{end}")
            sys.stderr.flush()


class Debugger:
    """Says on standard error what each step got, from where, what it made, and what the cache knew.

    Args:
        narrator: Who tells of the steps besides.

    """

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator

    def tell(self, planned: PlannedStep, done: StepRun | None, result: StepResult, given: Mapping[str, Any]) -> None:
        """A step has ended."""
        self._narrator.tell(planned, done, result, given)
        values = _values(planned, done, result, given)
        lines = [f"step {planned.name}: {result.state} in {result.duration_seconds:.3f} s"]
        for fill in planned.wired.fills:
            source = result.sources[fill.parameter]
            value = f" = {_shown(fill.parameter, fill.place, values)}" if fill.parameter in values else ""
            lines.append(f"  {fill.parameter} ← {source}{value}")
        if done is not None and done.why is not None:
            lines.append(f"  cache: {done.why.words}")
        if result.state in ("ok", "cached"):
            secret = next(filter(is_secret, planned.wired.outputs), "")
            lines.append(f"  returns {shown(secret, result.output)}")
        lines += [f"  {text}" for text in (result.error, result.reason) if text]
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()


def _values(
    planned: PlannedStep, done: StepRun | None, result: StepResult, given: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What the parameters of a step were given, as far as that is known."""
    values = dict(given)
    if done is None:
        return values
    there = done.ctx._state.values  # noqa: SLF001 - the engine is who looks behind the view
    for fill in planned.wired.fills:
        if result.sources[fill.parameter] in ("default", "bound"):
            values[fill.parameter] = fill.value
        elif fill.source == "context" and fill.place in there:
            values[fill.parameter] = there[fill.place]
    return values


def _shown(parameter: str, place: str, values: Mapping[str, Any]) -> str:
    """The value of a parameter in a line of text; a secret where the parameter or what fills it is called so."""
    return shown(place if is_secret(place) else parameter, values[parameter])


def post_mortem(result: PipelineResult) -> None:
    """Open the debugger where the first step that failed raised, if a person is there to use it."""
    failed = [found.exception for found in result.step_results.values() if found.exception is not None]
    if not failed or failed[0].__traceback__ is None:
        return
    if all(map(_is_terminal, (sys.stdin, sys.stdout))):  # where the debugger reads and writes
        import pdb  # noqa: PLC0415, T100 - that is what a person at a terminal asked for with debug=True

        pdb.post_mortem(failed[0].__traceback__)


def _is_terminal(stream: Any) -> bool:
    return stream is not None and not stream.closed and bool(stream.isatty())
