"""A run without running: what the cache would answer, what would run, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from crystallize_core.engine.drive import drive
from crystallize_core.engine.preview import StepPreview, foresee
from crystallize_core.result_text import table

if TYPE_CHECKING:
    from crystallize_core.engine.condition import Condition
    from crystallize_core.engine.run import Run

__all__ = ["MOST_REPLICATES", "DryRun", "look_ahead"]

MOST_REPLICATES: Final = 20
"""So many replicates are looked at: the data of each is fetched, and what the cache has of it is loaded."""
_STATES: Final = ("cached", "would run", "unknown", "skipped")


@attrs.frozen
class DryRun:
    """What a run would do.

    Attributes:
        name: The experiment or pipeline.
        replicates: How many replicates a run would have; no more than the first 20 are looked at.
        conditions: The conditions, the baseline first.
        steps: One entry for each step of each cell that was looked at, in the order of the plan.
        errors: Why nothing can be said of a cell, by replicate and condition: its data could not be fetched.

    """

    name: str
    replicates: int
    conditions: tuple[str, ...]
    steps: tuple[StepPreview, ...]
    errors: Mapping[tuple[int, str], Exception] = attrs.field(factory=dict)

    def __getitem__(self, step: str) -> StepPreview:
        """What would become of a step in the first cell that was looked at."""
        for found in self.steps:
            if found.step == step:
                return found
        raise KeyError(step)

    def of(self, condition: str, replicate: int = 0) -> list[StepPreview]:
        """The steps of one cell."""
        return [found for found in self.steps if (found.condition, found.replicate) == (condition, replicate)]

    def counts(self) -> dict[str, int]:
        """How many steps of all cells would be what."""
        counted = Counter(found.state for found in self.steps)
        return {state: counted[state] for state in _STATES}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they are in JSON."""
        errors = [{"replicate": r, "condition": c, "error": str(error)} for (r, c), error in self.errors.items()]
        return {
            "name": self.name,
            "replicates": self.replicates,
            "conditions": list(self.conditions),
            "counts": self.counts(),
            "steps": [found.to_dict() for found in self.steps],
            "errors": errors,
        }

    def __str__(self) -> str:
        parts = [[f"{self.name}: dry run, no step has run"], self._table(), self._reasons(), self._totals()]
        parts.append([f"error: {error}" for error in self.errors.values()])
        return "\n\n".join("\n".join(lines) for lines in parts if lines)

    def _first(self) -> list[StepPreview]:
        """The steps of the first replicate."""
        return [found for found in self.steps if found.replicate == self.steps[0].replicate]

    def _table(self) -> list[str]:
        found = {(step.step, step.condition): step.state for step in self._first()}
        names = dict.fromkeys(step for step, _ in found)
        rows = [(name, *(found.get((name, condition), "-") for condition in self.conditions)) for name in names]
        several = len(self.conditions) > 1
        return table(("step", *(self.conditions if several else ["state"])), rows, words=True)

    def _reasons(self) -> list[str]:
        """One line for each reason, with the conditions that it holds for where these differ."""
        conditions: dict[tuple[str, str, str], list[str]] = {}
        for found in self._first():
            if found.state != "cached":
                conditions.setdefault((found.step, found.state, found.reason), []).append(found.condition)
        return [
            f"{step}{_where(named, self.conditions)} {'is ' * (state in ('unknown', 'skipped'))}{state}: {reason}"
            for (step, state, reason), named in conditions.items()
        ]

    def _totals(self) -> list[str]:
        looked_at = len({found.replicate for found in self.steps})
        if self.replicates == 1:
            return []
        counts = ", ".join(f"{number} {state}" for state, number in self.counts().items() if number)
        which = f"all {looked_at}" if looked_at == self.replicates else f"the first {looked_at} of {self.replicates}"
        return [f"the table shows replicate 0; in {which} replicates: {counts}"] if counts else []


def _where(named: Iterable[str], conditions: Iterable[str]) -> str:
    return "" if list(named) == list(conditions) else f" ({', '.join(named)})"


def look_ahead(
    run: Run, replicates: Iterable[int], *, condition: str | None = None, data: Any = None, name: str | None = None
) -> DryRun:
    """Look at cells without running a step; plugins see a run whose `trial` is true.

    Args:
        run: A run that has not begun.
        replicates: The replicates to look at.
        condition: Only this condition; default all.
        data: The inputs of the run as `Assets`; default what the datasource gives.
        name: What the result is called; default as the experiment.

    Raises:
        HookError: An essential plugin failed before or after the run.

    """
    session = run.session
    conditions = [c for c in session.conditions if condition in (None, c.name)]
    found: list[StepPreview] = []
    errors: dict[tuple[int, str], Exception] = {}
    try:
        run.start()
        for replicate in replicates:
            for one in conditions:
                error = _cell(run, one, replicate, data, found)
                if error is not None:
                    errors[replicate, one.name] = error
    except BaseException as failure:
        run.finish(failure)
        raise
    run.finish()
    names = tuple(c.name for c in conditions)
    return DryRun(name or run.experiment.name, run.info.replicates, names, tuple(found), errors)


def _cell(run: Run, condition: Condition, replicate: int, data: Any, found: list[StepPreview]) -> Exception | None:
    def tell(step: str, state: Any, reason: str, **more: Any) -> None:
        found.append(StepPreview(step, condition.name, replicate, state, reason, **more))

    work = run.session.cell(
        condition, replicate, data=data, walk=lambda plan, state, given: foresee(plan, state, given, tell)
    )
    error: Exception | None = drive(work, run.session.loops).error
    return error
