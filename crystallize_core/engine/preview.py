"""What a run would do: which steps the cache would answer, and why the others would run. No step is called.

An output that is in the cache is handed on as in a run, so that what comes behind it can be looked up. What stands on
a step that would run is unknown: whether its output changes is seen only when it has run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs

from crystallize_core.additions import keys_added_by, looks_at_state
from crystallize_core.assets import Assets
from crystallize_core.context import StepContext
from crystallize_core.engine.step_run import Awaiting, refused
from crystallize_core.errors import describe
from crystallize_core.stored import Stored

if TYPE_CHECKING:
    from crystallize_core.cache import Lookup
    from crystallize_core.engine.plan import Plan, PlannedStep
    from crystallize_core.state import CellState

__all__ = ["Foreseen", "StepPreview", "foresee"]

Foreseen = Literal["cached", "would run", "unknown", "skipped"]


@attrs.frozen
class StepPreview:
    """What would become of a step in one cell.

    Attributes:
        step: The name of the step.
        condition, replicate: Which cell.
        state: `cached`: the cache answers; `would run`; `unknown`: it depends on what a step comes to that would run;
            `skipped`: a condition says no.
        reason: Why.
        changes: What has changed since the step ran last, one by one, where it would run for that.
        waits_for: The steps that would run or are unknown themselves, and on which it depends.

    """

    step: str
    condition: str
    replicate: int
    state: Foreseen
    reason: str
    changes: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they are in JSON."""
        return {**attrs.asdict(self), "changes": list(self.changes), "waits_for": list(self.waits_for)}


def foresee(plan: Plan, state: CellState, data: Any, tell: Callable[..., None]) -> Awaiting:
    """Go over the steps of one cell without calling them.

    Args:
        plan: The plan.
        state: The cell, as far as it is before the first step.
        data: The data of a chain, or the `Assets` of a graph, which get what is in the cache.
        tell: Is called for each step with its name, what would become of it, and the reason.

    """
    walk = _Walk(plan, state, data)
    for planned in plan.steps:
        found, reason, more = yield from walk.of(planned)
        walk.found[planned.name] = found
        tell(planned.name, found, reason, **more)


class _Walk:
    """How far it has come."""

    def __init__(self, plan: Plan, state: CellState, data: Any) -> None:
        self.plan, self.state, self.data = plan, state, data
        self.found: dict[str, Foreseen] = {}

    def of(self, planned: PlannedStep) -> Any:
        """What would become of the next step, why, and what else there is to say."""
        left_out = self._left_out(planned)
        if left_out is not None:
            return "skipped", left_out, {}
        waits_for = self._waits_for(planned)
        if waits_for:
            words = {"unknown": "is unknown itself"}
            first = waits_for[0]
            reason = f"it depends on step {first!r}, which {words.get(self.found[first], 'would run')}"
            return "unknown", reason, {"waits_for": waits_for}
        try:
            skipped = yield from refused(planned, self.state, self.data)
            if skipped is not None:
                return "skipped", skipped, {}
            return self._looked_up(planned)
        except Exception as error:  # noqa: BLE001 - conditions and key functions are the user's, and no step has failed yet
            return "unknown", f"whether it would run cannot be told: {describe(error)}", {}

    def _looked_up(self, planned: PlannedStep) -> tuple[Foreseen, str, Mapping[str, Any]]:
        if planned.cache is None:
            is_off = planned.step.cacheable
            return "would run", "the cache is switched off" if is_off else "it is not to be cached", {}
        lookup = planned.cache.look_up(self.data, self.state)
        if lookup.entry is None:
            return "would run", lookup.reason, {"changes": lookup.changes}
        self._hand_on(planned, lookup)
        return "cached", "nothing that it depends on has changed", {}

    def _hand_on(self, planned: PlannedStep, lookup: Lookup) -> None:
        """Let the steps behind it have what it came to, and see what it added to the context."""
        assert lookup.entry is not None
        ctx = StepContext(_state=self.state, step_name=planned.name)
        lookup.entry.replay(ctx)
        if ctx._stage is not None:  # noqa: SLF001 - the engine is who commits
            self.state.commit(ctx._stage)  # noqa: SLF001 - as above
        # Should it be damaged, nobody runs the step for it: what needs the value is then unknown.
        output, wired = Stored(lookup.entry.output.load, lookup.entry.digest), planned.wired
        if not isinstance(self.data, Assets):
            self.data = output
        elif wired.split is None:
            self.data.put(wired.single, output)
        else:
            self.data.update(wired.split(output.load()))
            if wired.keeps_return is not None:
                self.data.put(wired.keeps_return, output)

    def _left_out(self, planned: PlannedStep) -> str | None:
        """Why a step cannot run because of one that is skipped."""
        for fill in planned.wired.all_fills:
            if fill.is_required and fill.maker is not None and self.found[fill.maker] == "skipped":
                return f"it needs {fill.words}, which would be skipped"
        return None

    def _waits_for(self, planned: PlannedStep) -> tuple[str, ...]:
        """The steps before it whose outcome is not known and counts for it."""
        open_ones = [step for step in self.plan.steps if self.found.get(step.name) in ("would run", "unknown")]
        if self.plan.is_chain:
            return tuple(step.name for step in open_ones[-1:])
        return tuple(
            step.name for step in open_ones if step.name in planned.wired.waits_for or self._may_add(step, planned)
        )

    def _may_add(self, earlier: PlannedStep, planned: PlannedStep) -> bool:
        """Whether a step may see in the context what an earlier one adds while it runs."""
        keys = keys_added_by(earlier.step.function)
        if keys is not None and not keys:
            return False
        places = {fill.place for fill in planned.wired.all_fills if fill.source == "context"}
        missing = places - self.state.values.keys()
        if missing and (keys is None or missing & keys):
            return True
        name = planned.step.signature.ctx or planned.step.signature.maybe_ctx
        has_all = any(fill.source == "parameters" for fill in planned.wired.fills)
        return has_all or (name is not None and looks_at_state(planned.step.function, name))
