"""What one cell and one replicate came to: plain values that any process can send to any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from crystallize_core.artifact import ArtifactRecord
from crystallize_core.context import Event
from crystallize_core.errors import CrystallizeError
from crystallize_core.state import Metric

__all__ = ["CellOutcome", "Note", "ReplicateOutcome"]


@attrs.frozen
class Note:
    """Something that the result should say although nothing failed: a plugin that was switched off, a warning.

    Attributes:
        kind: `switched-off` or `warning`; on the way from a worker also `hook-times`, while a run is profiled.
        text: What happened, with its address.
        plugin: The plugin that it is about; None if it is about none.

    """

    kind: str
    text: str
    plugin: str | None = None


@attrs.define
class CellOutcome:
    """What one cell (replicate, condition) came to.

    Attributes:
        replicate: The number of the replicate.
        condition: The name of the condition.
        metrics: What was recorded, in order: name, value, tags or None.
        artifacts: What was written.
        events: What was emitted.
        error: Why the cell failed; None if it did not. Everything above is then what the steps
            before the failed one had committed.
        durations: Nanoseconds per step that ran, in the order of the plan.
        seed: The value of the context key `seed_used`, if a plugin set it.
        provenance: One record per step, if this cell was observed.
        output: What the last step returned, where the caller asked to keep it.

    """

    replicate: int
    condition: str
    metrics: list[Metric]
    artifacts: list[ArtifactRecord]
    events: list[Event]
    error: CrystallizeError | None = None
    durations: Sequence[int] = ()
    seed: Any = None
    provenance: Sequence[Mapping[str, Any]] | None = None
    output: Any = None

    @property
    def failed(self) -> bool:
        """Whether the cell failed."""
        return self.error is not None


@attrs.define
class ReplicateOutcome:
    """What one replicate came to under all conditions.

    Attributes:
        replicate: Its number, from 0.
        cells: One outcome per condition, in the order of the experiment, the baseline first.
        notes: What the result should say besides.

    """

    replicate: int
    cells: list[CellOutcome]
    notes: list[Note] = attrs.field(factory=list)

    def __getitem__(self, condition: str) -> CellOutcome:
        for cell in self.cells:
            if cell.condition == condition:
                return cell
        raise KeyError(condition)

    @property
    def metrics(self) -> dict[str, dict[str, list[Any]]]:
        """The recorded values by condition and metric."""
        found: dict[str, dict[str, list[Any]]] = {}
        for cell in self.cells:
            columns = found.setdefault(cell.condition, {})
            for name, value, _ in cell.metrics:
                columns.setdefault(name, []).append(value)
        return found

    @property
    def failed(self) -> bool:
        """Whether any of its cells failed."""
        return any(cell.error is not None for cell in self.cells)
