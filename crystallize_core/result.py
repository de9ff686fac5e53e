"""What an experiment came to: values, verdicts, errors, artifacts, and the record of the run."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from crystallize_core.artifact import ArtifactList
from crystallize_core.errors import ArtifactError, CrystallizeError
from crystallize_core.fingerprint import content_digest
from crystallize_core.hypothesis import HypothesisResult
from crystallize_core.outcome import Note
from crystallize_core.record import RunRecord
from crystallize_core.result_json import result_parts, result_to_dict
from crystallize_core.result_text import provenance_tree, summary
from crystallize_core.samples import ExperimentMetrics, Row
from crystallize_core.values import value_digest

__all__ = ["Result"]


@attrs.define(repr=False, str=False)
class Result:
    """What an experiment came to.

    Attributes:
        metrics: `metrics.baseline.metrics` and `metrics.treatments[name].metrics` are flat lists by metric;
            `metrics.hypotheses` are the verdicts.
        run: The record of the run.
        errors: Why cells failed, by `<condition>_rep_<replicate>`.
        artifacts: What the steps wrote.
        provenance: The records of the steps of the observed cells, by condition and replicate.
        seeds: The seed of each cell, by condition and replicate, where a plugin set one.

    """

    metrics: ExperimentMetrics
    run: RunRecord
    errors: Mapping[str, Exception] = attrs.field(factory=dict)
    artifacts: ArtifactList = attrs.field(factory=ArtifactList)
    provenance: Mapping[str, Mapping[int, tuple[Mapping[str, Any], ...]]] = attrs.field(factory=dict)
    seeds: Mapping[str, Mapping[int, Any]] = attrs.field(factory=dict)
    _digest: str | None = attrs.field(default=None, init=False, eq=False)

    # Looking things up ------------------------------------------------------------------------------

    def get_hypothesis(self, name: str) -> HypothesisResult | None:
        """What became of the hypothesis of that name, or None."""
        return next((h for h in self.metrics.hypotheses if h.name == name), None)

    def get_artifact(self, name: str, *, condition: str = "baseline", replicate: int = 0) -> bytes | None:
        """The content of an artifact, or None if that cell wrote none of that name."""
        try:
            return self.artifacts.find(name, condition=condition, replicate=replicate).read()
        except ArtifactError as error:
            if "was written" in error.message:
                return None
            raise

    def rows(self) -> Iterator[Row]:
        """Every recorded value with condition, replicate, metric, tags and whether its cell failed."""
        for condition in self.metrics.conditions.values():
            yield from condition.rows()

    def to_frame(self) -> Any:
        """One row per recorded value, as a pandas frame.

        Columns: `condition`, `replicate`, `metric`, `value`, `failed`, and one `tag_<name>` per tag.

        Raises:
            CrystallizeError: pandas is not installed.

        """
        try:
            import pandas as pd  # noqa: PLC0415 - only for those who ask for a frame
        except ImportError as error:
            message = "to_frame() needs pandas: pip install pandas; result.rows() gives the same without it"
            raise CrystallizeError(message) from error
        records = [
            {
                "condition": r.condition,
                "replicate": r.replicate,
                "metric": r.metric,
                "value": r.value,
                "failed": r.failed,
            }
            | {f"tag_{key}": value for key, value in r.tags.items()}
            for r in self.rows()
        ]
        return (
            pd.DataFrame.from_records(records)
            if records
            else pd.DataFrame(columns=["condition", "replicate", "metric", "value", "failed"])
        )

    @property
    def warnings(self) -> list[str]:
        """What the result should say although nothing failed, in words."""
        return [note.text for note in self.run.notes]

    def add_warning(self, text: str, *, plugin: str | None = None) -> None:
        """Say something in the result; for plugins, in `after_run`."""
        self.run.notes.append(Note("warning", text, plugin))

    # The digest -------------------------------------------------------------------------------------

    @property
    def digest(self) -> str:
        """One digest over metrics, artifacts, verdicts and which cells failed; 64 hexadecimal digits.

        Two runs with the same seed, code, data and stack have the same digest, whatever ran them.
        Durations, paths and dates have no part in it.
        """
        if self._digest is None:
            self._digest = content_digest(("crystallize result 1", *self._digested()))
        return self._digest

    def _digested(self) -> Iterator[Any]:
        for name, condition in sorted(self.metrics.conditions.items()):
            columns = {
                (metric, failed): [
                    (row.replicate, value_digest(row.value), {k: value_digest(v) for k, v in row.tags.items()})
                    for row in rows
                ]
                for (metric, failed), rows in _grouped(condition.rows()).items()
            }
            yield "condition", name, columns, list(condition.failed)
        for hypothesis in self.metrics.hypotheses:
            results = {treatment: value_digest(found) for treatment, found in hypothesis.results.items()}
            yield (
                "hypothesis",
                hypothesis.name,
                results,
                value_digest(dict(hypothesis.ranking)),
                sorted(hypothesis.errors),
            )
        for artifact in self.artifacts:
            yield "artifact", artifact.replicate, artifact.condition, artifact.step, artifact.name, artifact.digest

    # As text ------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return summary(self)

    def __repr__(self) -> str:
        conditions = ", ".join(self.metrics.conditions)
        return f"<Result of {self.run.info.experiment!r}: {conditions}; {len(self.errors)} errors; {self.digest[:12]}>"

    def print_tree(self, fmt: str = "treatment > replicate > step") -> None:
        """Print the provenance as a tree.

        Args:
            fmt: The levels of the tree, of `treatment`, `replicate`, `step` and, as the last, `action`.

        Raises:
            ValueError: An unknown level, or `action` before the end.

        """
        print(provenance_tree(self.provenance, fmt))  # noqa: T201 - that is what it is for

    # As JSON ------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return result_to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Result:
        """The result that `to_dict` wrote.

        Raises:
            CrystallizeError: It is not such a dictionary, or of a newer format.

        """
        return cls(**result_parts(data))

    def to_json(self, path: str | Path | None = None, *, indent: int | None = 2) -> str | None:
        """Everything as JSON text; with a path, written there as a whole file."""
        text = json.dumps(self.to_dict(), indent=indent, allow_nan=False)
        if path is None:
            return text
        temporary = Path(f"{path}.{os.getpid()}-{threading.get_ident()}.writing")
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return None

    @classmethod
    def from_json(cls, source: str | Path) -> Result:
        """The result that `to_json` wrote, from its text or its path.

        Raises:
            CrystallizeError: There is no such file, or it is no result.

        """
        text = source if isinstance(source, str) and source.lstrip().startswith("{") else None
        try:
            data = json.loads(text if text is not None else Path(source).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            message = f"no result can be read from {source if text is None else 'this text'}: {error}"
            raise CrystallizeError(message) from error
        return cls.from_dict(data)


def _grouped(rows: Iterator[Row]) -> dict[tuple[str, bool], list[Row]]:
    found: dict[tuple[str, bool], list[Row]] = {}
    for row in rows:
        found.setdefault((row.metric, row.failed), []).append(row)
    return found
