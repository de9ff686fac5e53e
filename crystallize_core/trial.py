"""One cell on its own: what `apply` and `debug` run, by the same engine as everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from crystallize_core.artifact import ArtifactRecord
from crystallize_core.engine.drive import drive
from crystallize_core.engine.observe import Observer
from crystallize_core.errors import CrystallizeError
from crystallize_core.state import Metric

if TYPE_CHECKING:
    from crystallize_core.engine.run import Run

__all__ = ["CellTrace", "run_cell"]

SHOWN = 200


@attrs.frozen
class CellTrace:
    """Everything about one cell.

    Attributes:
        condition, replicate: Which cell.
        output: What the last step returned; None if the cell failed.
        steps: One record per step that ran, with `input` and `output`.
        metrics: What was recorded: name, value, tags or None.
        artifacts: What was written, with the content.
        error: Why the cell failed, or None.

    """

    condition: str
    replicate: int
    output: Any
    steps: Sequence[Mapping[str, Any]]
    metrics: Sequence[Metric]
    artifacts: Sequence[ArtifactRecord]
    error: CrystallizeError | None

    def output_or_raise(self) -> Any:
        """The output.

        Raises:
            CrystallizeError: The cell failed.

        """
        if self.error is not None:
            raise self.error
        return self.output

    def __str__(self) -> str:
        lines = [f"condition {self.condition}, replicate {self.replicate}"]
        for record in self.steps:
            lines.append(f"step {record['step']}  input: {_short(record['input'])}")
            lines += [f"    {parameter} <- {source}" for parameter, source in record["filled"].items()]
            lines += [f"    reads {key} = {_short(value)}" for key, value in record["ctx_changes"]["reads"].items()]
            lines += [
                f"    records {name} = {_short(found['after'][-1])}"
                for name, found in record["ctx_changes"]["metrics"].items()
            ]
            lines.append(
                f"    failed: {record['error']}" if "error" in record else f"    output: {_short(record['output'])}"
            )
        if self.error is not None:
            lines.append(f"error: {self.error}")
        return "\n".join(lines)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"


def run_cell(run: Run, condition: str, replicate: int, data: Any) -> CellTrace:
    """Run one cell in this process; plugins see it begin and end as a run whose `trial` is true.

    Raises:
        HookError: An essential plugin failed before or after the run.

    """
    session = run.session
    chosen = next(c for c in session.conditions if c.name == condition)
    observer = Observer(values=True)
    try:
        run.start()
        session.set_up()
        given = None if data is None else (data,)
        work = session.cell(chosen, replicate, observer, data=given, keep=True)
        outcome = drive(work, session.loops)
    except BaseException as failure:
        run.finish(failure)
        raise
    run.finish()
    return CellTrace(
        condition, replicate, outcome.output, observer.records, outcome.metrics, outcome.artifacts, outcome.error
    )
