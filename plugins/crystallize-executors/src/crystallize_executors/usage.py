"""What the steps of a run used, put together in the coordinator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["Usage"]


@attrs.define
class Usage:
    """What one step used in all its calls.

    Attributes:
        calls: How often it ran; outputs from a cache do not count.
        peak_memory: The most bytes of any call.
        cpu_seconds, waited_seconds: Of all calls together, and of the longest; None where it could not be told.

    """

    calls: int = 0
    peak_memory: int | None = None
    cpu_seconds: dict[str, float] | None = None
    waited_seconds: dict[str, float] | None = None

    def add(self, payload: Mapping[str, Any]) -> None:
        """Count one more call."""
        self.calls += 1
        memory = payload["peak_memory"]
        if memory is not None:
            self.peak_memory = max(memory, self.peak_memory or 0)
        self.cpu_seconds = _with(self.cpu_seconds, payload["cpu_seconds"])
        self.waited_seconds = _with(self.waited_seconds, payload["waited_seconds"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the record of the run."""
        return attrs.asdict(self)


def _with(before: dict[str, float] | None, amount: float | None) -> dict[str, float] | None:
    if amount is None:
        return before
    if before is None:
        return {"total": amount, "max": amount}
    return {"total": before["total"] + amount, "max": max(before["max"], amount)}
