"""The workers of a run as its coordinator sees them: what each was sent, and what has become of that."""

from __future__ import annotations

import time
from typing import Any

import attrs

from crystallize_core.limits.board import Overdue

__all__ = ["Chunk", "Seat"]


@attrs.define(eq=False)
class Chunk:
    """Replicates that were sent together.

    Attributes:
        mark: Its key in the cluster.
        numbers: The replicates.
        future: What Dask knows it by; None until it is sent.
        started: Whether its worker has begun with it.
        done: Whether its worker has finished it; the answer may be on its way.
        sent: When it was sent, on the monotonic clock.

    """

    mark: str
    numbers: list[int]
    future: Any = None
    started: bool = False
    done: bool = False
    sent: float = attrs.field(factory=time.monotonic)

    def waits(self, seconds: float) -> bool:
        """Whether it has waited at its worker for so long, and still does."""
        return not (self.started or self.done) and time.monotonic() - self.sent > seconds


@attrs.define(eq=False)
class Seat:
    """One worker process.

    Attributes:
        address: Where it is.
        name: What it calls itself.
        takes: What each replicate takes of the resources that it declares.
        has_run: Whether it has begun with any.
        is_busy: Whether it did not come to what it was sent for long, and has not begun with anything since.
        chunks: What it was sent and has not answered, by their marks.
        overdue: The step because of which it is ended; None if it is not.

    """

    address: str
    name: str
    takes: dict[str, float]
    has_run: bool = False
    is_busy: bool = False
    chunks: dict[str, Chunk] = attrs.field(factory=dict)
    overdue: Overdue | None = None

    @property
    def in_flight(self) -> list[int]:
        """The replicates that it was sent and has not answered."""
        return [number for chunk in self.chunks.values() for number in chunk.numbers]
