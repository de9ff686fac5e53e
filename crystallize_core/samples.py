"""The recorded values of an experiment: columns with replicate and tags, and the views over them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from crystallize_core.hypothesis import HypothesisResult
from crystallize_core.state import Metric

__all__ = ["Column", "ConditionMetrics", "ExperimentMetrics", "Row"]

# Columns instead of an object per value: what is kept per value is 8 bytes for its replicate and 8 for the
# reference, and the garbage collector has nothing to walk over, which is what makes the cost of a replicate
# grow with their number elsewhere.


@attrs.frozen
class Row:
    """One recorded value with where it came from."""

    condition: str
    replicate: int
    metric: str
    value: Any
    tags: Mapping[str, Any] = attrs.field(factory=dict)
    failed: bool = False


class Column:
    """All values of one metric under one condition, in the order of replicates and of recording."""

    __slots__ = ("replicates", "tags", "values")

    def __init__(self) -> None:
        self.replicates: array[int] = array("q")
        self.values: list[Any] = []
        self.tags: dict[int, Mapping[str, Any]] = {}

    def append(self, replicate: int, value: Any, tags: Mapping[str, Any] | None) -> None:
        """Add one value."""
        if tags is not None:
            self.tags[len(self.values)] = tags
        self.replicates.append(replicate)
        self.values.append(value)

    def rows(self, condition: str, metric: str, *, failed: bool) -> Iterator[Row]:
        """The values one by one."""
        for at, (replicate, value) in enumerate(zip(self.replicates, self.values, strict=True)):
            yield Row(condition, replicate, metric, value, self.tags.get(at, {}), failed)

    def __len__(self) -> int:
        return len(self.values)


class ConditionMetrics:
    """What was recorded under one condition."""

    def __init__(self, condition: str) -> None:
        self.condition = condition
        self._columns: dict[str, Column] = {}
        self._failed_columns: dict[str, Column] = {}
        self._failed: array[int] = array("q")

    def record(self, replicate: int, metrics: Sequence[Metric], *, failed: bool) -> None:
        """Add what one cell recorded; replicates come in increasing order."""
        columns = self._columns
        if failed:
            self._failed.append(replicate)
            columns = self._failed_columns
        for name, value, tags in metrics:
            column = columns.get(name)
            if column is None:
                column = columns[name] = Column()
            # Column.append written out: this is the one loop that runs for every value of an experiment.
            if tags is not None:
                column.tags[len(column.values)] = tags
            column.replicates.append(replicate)
            column.values.append(value)

    def restore(self, replicate: int, metric: str, value: Any, tags: Mapping[str, Any] | None, *, failed: bool) -> None:
        """Add one value that was read back."""
        columns = self._failed_columns if failed else self._columns
        columns.setdefault(metric, Column()).append(replicate, value, tags)

    def restore_failed(self, replicates: Sequence[int]) -> None:
        """Note the replicates that failed, as they were read back."""
        self._failed = array("q", replicates)

    @property
    def metrics(self) -> dict[str, list[Any]]:
        """The values of each metric as flat lists, in replicate order; cells that failed are left out."""
        return {name: list(column.values) for name, column in self._columns.items()}

    @property
    def failed(self) -> tuple[int, ...]:
        """The replicates that failed under this condition."""
        return tuple(self._failed)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the metrics, in the order in which they were first recorded."""
        return tuple(self._columns)

    def column(self, metric: str) -> Column:
        """One metric with its replicates and tags.

        Raises:
            KeyError: It was not recorded in any cell that succeeded.

        """
        return self._columns[metric]

    def rows(self) -> Iterator[Row]:
        """Every value with replicate and tags; those of failed cells come last, marked as failed."""
        for failed, columns in ((False, self._columns), (True, self._failed_columns)):
            for name, column in columns.items():
                yield from column.rows(self.condition, name, failed=failed)

    def without(self, dropped: set[int]) -> dict[str, list[Any]]:
        """The flat lists without the replicates in `dropped`."""
        if not dropped:
            return self.metrics
        return {
            name: [v for r, v in zip(column.replicates, column.values, strict=True) if r not in dropped]
            for name, column in self._columns.items()
        }

    def counts(self, metric: str, dropped: set[int]) -> Counter[int]:
        """How many values of a metric each replicate recorded, without those in `dropped`."""
        return Counter(replicate for replicate in self._columns[metric].replicates if replicate not in dropped)

    def __getitem__(self, metric: str) -> list[Any]:
        return list(self._columns[metric].values)

    def __contains__(self, metric: object) -> bool:
        return metric in self._columns

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}: {len(column)}" for name, column in self._columns.items())
        return f"ConditionMetrics({self.condition!r}, {counts or 'nothing recorded'})"


@attrs.define
class ExperimentMetrics:
    """`result.metrics`: what was recorded, by condition, and the verdicts."""

    baseline: ConditionMetrics
    treatments: dict[str, ConditionMetrics] = attrs.field(factory=dict)
    hypotheses: list[HypothesisResult] = attrs.field(factory=list)

    @property
    def conditions(self) -> dict[str, ConditionMetrics]:
        """The baseline and the treatments by name, the baseline first."""
        return {self.baseline.condition: self.baseline, **self.treatments}

    def paired(self, treatment: str) -> tuple[dict[str, list[Any]], dict[str, list[Any]], int]:
        """The samples of the baseline and of a treatment from the replicates where both succeeded.

        A metric that a replicate recorded under one of the two only, or not equally often, is left out
        for that replicate, so that the k-th value of one belongs to the k-th value of the other.

        Returns:
            The flat lists of both, aligned by replicate, and the number of replicates where one failed.

        """
        other = self.treatments[treatment]
        dropped = {*self.baseline.failed, *other.failed}
        ours, theirs = self.baseline.without(dropped), other.without(dropped)
        for metric in ours.keys() & theirs.keys():
            unpaired = self.baseline.counts(metric, dropped).items() ^ other.counts(metric, dropped).items()
            if unpaired:  # recorded more often in one of the two: those replicates have no partner
                alone = dropped | {replicate for replicate, _ in unpaired}
                ours[metric] = self.baseline.without(alone).get(metric, [])
                theirs[metric] = other.without(alone).get(metric, [])
        return ours, theirs, len(dropped)
