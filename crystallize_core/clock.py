"""The clock that everything waits by, and the way to replace it in tests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Final, Protocol

__all__ = ["Clock", "FakeClock", "SystemClock", "clock", "use_clock"]


class Clock(Protocol):
    """What tells the time and waits."""

    def monotonic(self) -> float:
        """Seconds from some fixed point."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    async def asleep(self, seconds: float) -> None:
        """Wait without keeping the event loop from its other tasks."""


class SystemClock:
    """The clock of the machine."""

    def monotonic(self) -> float:
        """Seconds from some fixed point."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Wait without keeping the event loop from its other tasks."""
        import asyncio  # noqa: PLC0415 - only async steps need it

        await asyncio.sleep(seconds)


class FakeClock:
    """A clock for tests: waiting takes no time and is written down.

    Attributes:
        now: What `monotonic` says; every wait moves it on.
        slept: The waits so far, in seconds.

    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """The time so far."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move the time on."""
        self.slept.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        """Move the time on, and let other tasks run."""
        self.sleep(seconds)
        import asyncio  # noqa: PLC0415 - only async steps need it

        await asyncio.sleep(0)


class _CurrentClock:
    """Passes everything on to the clock that is in use."""

    def __init__(self) -> None:
        self.current: Clock = SystemClock()

    def monotonic(self) -> float:
        return self.current.monotonic()

    def sleep(self, seconds: float) -> None:
        self.current.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        await self.current.asleep(seconds)

    def __crystallize_digest__(self) -> str:
        return "clock"  # no output depends on which one it is


_current: Final = _CurrentClock()
clock: Final[Clock] = _current
"""The clock that everything here uses; `use_clock` replaces what is behind it."""


@contextlib.contextmanager
def use_clock(replacement: Clock) -> Iterator[Clock]:
    """While this is open, all of this process waits by `replacement`.

    It reaches every thread, and no other process.
    """
    before, _current.current = _current.current, replacement
    try:
        yield replacement
    finally:
        _current.current = before
