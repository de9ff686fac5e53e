"""For executors: which replicates a worker gets next, and what becomes of those whose worker died."""

from __future__ import annotations

import collections
import itertools
import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Schedule"]

AHEAD_SECONDS: Final = 0.1
"""Where nothing else is said, a worker is given about this much work in advance, so that it never waits for the coordinator."""
MOST_AHEAD: Final = 2048
"""A worker is never given more replicates than this in advance, which bounds the memory of outcomes in flight."""


class Schedule:
    """Hands out chunks of replicate numbers whose size follows the measured time of a replicate.

    A replicate whose worker died is run again. Nobody can tell which replicate of a chunk killed the
    process, so each of them runs *alone* from then on, which costs little and names the guilty one the
    next time. One that killed `max_deaths` workers alone is given up.

    Args:
        numbers: The replicates to run, each once.
        workers: How many workers share them.
        max_deaths: How many workers a replicate may kill.
        ahead_seconds: How much work a worker is given in advance; more where sending takes longer.

    Attributes:
        workers: How many workers share what is left; to be set anew where workers join and leave.

    """

    def __init__(
        self, numbers: Sequence[int], workers: int, max_deaths: int, *, ahead_seconds: float = AHEAD_SECONDS
    ) -> None:
        self._fresh: Iterator[int] = iter(numbers)
        self._fresh_left = len(numbers)
        self._alone: collections.deque[int] = collections.deque()
        self._suspects: set[int] = set()
        self._deaths: collections.Counter[int] = collections.Counter()
        self.workers = workers
        self._ahead_seconds = ahead_seconds
        self._max_deaths = max_deaths
        self._seconds: float | None = None

    @property
    def left(self) -> int:
        """How many replicates are waiting to be handed out."""
        return self._fresh_left + len(self._alone)

    def measured(self, count: int, seconds: float) -> None:
        """Note how long so many replicates took."""
        mean = seconds / max(1, count)
        self._seconds = mean if self._seconds is None else 0.7 * self._seconds + 0.3 * mean

    def next_chunk(self, in_flight: Iterable[int]) -> list[int]:
        """The numbers to send to a worker that has those of `in_flight` and not answered; often none."""
        waiting = list(in_flight)
        if any(number in self._suspects for number in waiting):
            return []
        if self._alone:
            return [] if waiting else [self._alone.popleft()]
        wanted = self._ahead()
        if len(waiting) > wanted // 2:
            return []
        # Two chunks, so that the worker has the second while the outcomes of the first are on their way.
        size = min(wanted - len(waiting), max(1, wanted // 2))
        chunk = [number for _, number in zip(range(size), self._fresh, strict=False)]
        self._fresh_left -= len(chunk)
        return chunk

    def _ahead(self) -> int:
        """How many replicates a worker should have; towards the end fewer, so that all end at one time."""
        if self._seconds is None:
            return 1
        # Rounded up: where it is a little less than two, the worker would have to wait after each of them.
        by_time = math.ceil(round(self._ahead_seconds / max(self._seconds, 1e-9), 6))
        by_share = -(-self._fresh_left // (2 * self.workers))
        return max(1, min(by_time, by_share, MOST_AHEAD))

    def give_back(self, numbers: Sequence[int]) -> None:
        """Hand these out once more: their worker was ended, and none of them is to blame.

        One that was to run alone still is.
        """
        others = [number for number in numbers if number not in self._suspects]
        self._alone.extend(number for number in numbers if number in self._suspects)
        self._fresh = itertools.chain(others, self._fresh)
        self._fresh_left += len(others)

    def run_alone(self, numbers: Iterable[int]) -> None:
        """Run these again, each as the only one of its worker."""
        for number in numbers:
            self._suspects.add(number)
            self._alone.append(number)

    def died(self, numbers: Sequence[int]) -> list[int]:
        """Decide about the replicates that a dead worker had; returns those that are given up."""
        if len(numbers) == 1:
            (number,) = numbers
            self._deaths[number] += 1
            if self._deaths[number] >= self._max_deaths:
                return [number]
        self.run_alone(numbers)
        return []

    def deaths(self, number: int) -> int:
        """How many workers this replicate has killed while it ran alone."""
        return self._deaths[number]
