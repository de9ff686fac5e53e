"""How long to wait between attempts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final, Protocol, runtime_checkable

import attrs

from crystallize_core.errors import DefinitionError

__all__ = ["LONGEST", "Backoff", "Exponential", "Waits", "as_backoff"]

LONGEST: Final = 1e8
"""Three years in seconds: more than that overflows timers."""


@runtime_checkable
class Backoff(Protocol):
    """How long to wait before each further attempt."""

    def delays(self) -> Iterator[float]:
        """Seconds before the second attempt, before the third, and so on.

        Called once per execution, after its first failure, so that each execution starts afresh. Where
        the iterator ends, every further wait is as long as the last.
        """


@attrs.frozen
class Exponential:
    """`first`, `first * factor`, `first * factor**2`, …, at most `cap` seconds.

    There is no jitter, because it would either change the user's random numbers or the timing from run to run.
    """

    first: float = 1.0
    factor: float = 2.0
    cap: float = LONGEST

    def delays(self) -> Iterator[float]:
        """The waits, without end."""
        failures = 0
        while True:
            try:
                yield min(self.cap, self.first * self.factor**failures)
            except OverflowError:
                yield self.cap
            failures += 1


class Waits:
    """The waits of one execution."""

    def __init__(self, backoff: Backoff) -> None:
        self._delays = iter(backoff.delays())
        self._last = 0.0

    def next(self) -> float:
        """Seconds until the next attempt.

        Raises:
            DefinitionError: The backoff gave something else.

        """
        delay: Any = next(self._delays, self._last)
        if not _is_number(delay):
            message = f"delays() of a backoff must give finite numbers of seconds, at least 0; found {delay!r}"
            raise DefinitionError(message)
        self._last = delay
        return self._last


def as_backoff(value: Any) -> Backoff:
    """An object with `delays()`; a number `b` stands for waits of `b**0`, `b**1`, `b**2`, … seconds.

    Raises:
        DefinitionError: It is neither a number nor an object with `delays()`.

    """
    if _is_number(value):
        return Exponential(factor=value)
    if not isinstance(value, type) and isinstance(value, Backoff):
        return value
    message = f"backoff must be a finite number of at least 0 or an object with delays(); found {value!r}"
    raise DefinitionError(message)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
