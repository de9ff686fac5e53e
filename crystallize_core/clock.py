"""The clock that everything waits by, and the way to replace it in tests.

There are two kinds of clocks. The time of most of them passes by itself: who has to be done by some moment
looks at it, or sets a timer of the system. The time of a `ManualClock` passes only where somebody moves it,
so that no timer fits: who has to be done by some moment asks it to call.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol, TypeGuard, TypeVar

__all__ = ["Clock", "FakeClock", "ManualClock", "SystemClock", "clock", "manual_clock", "use_clock"]

ClockT = TypeVar("ClockT", bound="Clock")


class Clock(Protocol):
    """What tells the time and waits."""

    def monotonic(self) -> float:
        """Seconds from some fixed point."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    async def asleep(self, seconds: float) -> None:
        """Wait without keeping the event loop from its other tasks."""


class ManualClock(Clock, Protocol):
    """A clock whose time somebody moves."""

    def call_at(self, moment: float, action: Callable[[], None]) -> Callable[[], None]:
        """Have an action called once the time is `moment`.

        Args:
            moment: As `monotonic` tells it.
            action: Called once, in the thread that moves the time. What it raises ends the waiting of
                that thread, with the clock at `moment`.

        Returns:
            What takes it back; harmless where it was called already.

        """


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


class _Appointment:
    """One call that was asked for."""

    def __init__(self, moment: float, action: Callable[[], None]) -> None:
        self.moment, self.action = moment, action


class _Move:
    """A way from one moment to another that somebody is on."""

    def __init__(self, until: float) -> None:
        self.until, self.thread = until, threading.get_ident()


class FakeClock:
    """A clock for tests: waiting takes no time, is written down, and is what makes the time pass.

    Threads may share it. Where several of them wait, their waits add up, as if one came after the other.

    Args:
        now: What `monotonic` says at first.

    Attributes:
        slept: The waits so far, in seconds.

    """

    def __init__(self, now: float = 0.0) -> None:
        self.slept: list[float] = []
        self._now = now
        self._lock = threading.Lock()
        self._appointments: list[_Appointment] = []
        self._moves: list[_Move] = []

    @property
    def now(self) -> float:
        """What `monotonic` says. Assigning a later moment is the same as `advance`."""
        return self._now

    @now.setter
    def now(self, moment: float) -> None:
        self._move(lambda: moment)

    @property
    def deadlines(self) -> list[float]:
        """The moments that somebody waits for, the next one first."""
        with self._lock:
            return sorted(appointment.moment for appointment in self._appointments)

    def monotonic(self) -> float:
        """The time so far."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the time on, without a wait that is written down; what falls due is called in this thread.

        Raises:
            ValueError: The number is negative or infinite.

        """
        self._move(lambda: self._now + seconds)

    def sleep(self, seconds: float) -> None:
        """Move the time on and write that down.

        Raises:
            ValueError: The number is negative or infinite.

        """
        self.slept.append(seconds)
        self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        """Move the time on and write that down; other tasks run meanwhile, at each moment that somebody waits for.

        Raises:
            ValueError: The number is negative or infinite.

        """
        import asyncio  # noqa: PLC0415 - only async steps need it

        self.slept.append(seconds)
        with self._moving(lambda: self._now + seconds) as move:
            while due := self._next_due(move):
                _call_all(due)
                await asyncio.sleep(0)  # what was called may be about to end this very task
        await asyncio.sleep(0)

    def call_at(self, moment: float, action: Callable[[], None]) -> Callable[[], None]:
        """Have an action called once the time is `moment`, which takes it back; at once if it has passed."""
        appointment = _Appointment(moment, action)
        with self._lock:
            self._appointments.append(appointment)
            passed = moment <= self._now
        if passed:
            self.advance(0.0)
        return lambda: self._forget(appointment)

    def _forget(self, appointment: _Appointment) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._appointments.remove(appointment)

    def _move(self, target: Callable[[], float]) -> None:
        """Go to a moment, from one appointment to the next; where an action raises, the time stops there."""
        with self._moving(target) as move:
            while due := self._next_due(move):
                _call_all(due)

    @contextlib.contextmanager
    def _moving(self, target: Callable[[], float]) -> Iterator[_Move]:
        with self._lock:
            move = _Move(self._checked(target()))
            self._moves.append(move)
        try:
            yield move
        finally:
            with self._lock:
                self._moves.remove(move)

    def _checked(self, until: float) -> float:
        if math.isfinite(until) and until >= self._now:
            return until
        message = f"the time of a clock can only be moved forwards; it is {self._now:g}, and was moved to {until:g}"
        raise ValueError(message)

    def _next_due(self, move: _Move) -> list[_Appointment]:
        """Move to the next moment that somebody waits for, or to the end; returns whom to call then."""
        with self._lock:
            moments = [appointment.moment for appointment in self._appointments if appointment.moment <= move.until]
            # What this thread called may have moved the time further meanwhile, and it never goes back.
            self._arrive(max(self._now, min(moments, default=move.until)), move.thread)
            due = [appointment for appointment in self._appointments if moments and appointment.moment <= self._now]
            for appointment in due:
                self._appointments.remove(appointment)
        return due

    def _arrive(self, moment: float, thread: int) -> None:
        """Set the time, and put off what other threads are on their way to: the waits of threads add up."""
        passed, self._now = moment - self._now, moment
        for other in self._moves:
            if other.thread != thread:
                other.until += passed


def _call_all(due: list[_Appointment]) -> None:
    """Call those who waited for this moment, all of them, and raise what the first of them raised."""
    errors: list[BaseException] = []
    for appointment in due:
        try:
            appointment.action()
        except BaseException as error:  # noqa: BLE001 - raised once all were called
            errors.append(error)
    if errors:
        raise errors[0]


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


def manual_clock() -> ManualClock | None:
    """The clock in use if somebody moves its time; None where the seconds are those of the system."""
    current = _current.current
    return current if _is_manual(current) else None


def _is_manual(current: Clock) -> TypeGuard[ManualClock]:
    return hasattr(current, "call_at")


@contextlib.contextmanager
def use_clock(replacement: ClockT) -> Iterator[ClockT]:
    """While this is open, all of this process waits by `replacement`.

    It reaches every thread, and no other process.
    """
    before, _current.current = _current.current, replacement
    try:
        yield replacement
    finally:
        _current.current = before
