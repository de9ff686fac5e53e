"""The plan of a pipeline, kept between its runs for as long as it would be made again in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from crystallize_core.engine.plan import Plan
from crystallize_core.fingerprint.unchanged import CodeStamp, cannot_change
from crystallize_core.step import FunctionStep, PipelineStep

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["KeptPlan"]


class KeptPlan:
    """A plan, and what it was made of.

    The code that steps reach may change between two runs, and a kept plan knows digests of it. So it counts only where it
    is certain, and cheap to see, that everything is as it was.
    """

    __slots__ = ("_caches", "_settings", "_stamps", "_steps", "plan")

    def __init__(self, plan: Plan, settings: Hashable, stamps: Sequence[CodeStamp]) -> None:
        self.plan = plan
        self._settings, self._stamps = settings, stamps
        self._steps = [planned.step for planned in plan.steps]
        self._caches = [planned.cache for planned in plan.steps if planned.cache is not None]

    @classmethod
    def of(cls, plan: Plan, settings: Hashable) -> KeptPlan | None:
        """A plan that was just made; None where something that it was made of can change unnoticed.

        Args:
            plan: The plan.
            settings: Everything else that it was made of.

        """
        if plan.hooks.has("cache_store"):  # it is asked for at each run
            return None
        stamps = []
        for planned in plan.steps:
            # Policies may count attempts, and conditions are code of their own.
            is_plain = planned.policy is None and not planned.wired.guards
            stamp = _stamp_of(planned.step) if is_plain else None
            if stamp is None:
                return None
            stamps.append(stamp)
        return cls(plan, settings, stamps)

    def stands_for(self, steps: Sequence[PipelineStep], settings: Hashable) -> bool:
        """Whether the plan would be made again as it is."""
        if settings != self._settings or steps != self._steps:
            return False
        for stamp in self._stamps:
            if not stamp.holds():
                return False
        return not [cache for cache in self._caches if cache.has_failed]


def _stamp_of(step: Any) -> CodeStamp | None:
    # A step of a class may be changed in every way; one made of a function says what it is once and for all.
    if type(step) is not FunctionStep or not all(map(cannot_change, step.params.values())):
        return None
    return CodeStamp.of(step.function)
