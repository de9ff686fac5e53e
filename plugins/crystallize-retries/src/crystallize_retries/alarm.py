"""Limit a call in the main thread by the alarm signal of Unix."""

from __future__ import annotations

import signal
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from crystallize_core.clock import manual_clock
from crystallize_retries.errors import AttemptExpired, StepTimeout, take_notes

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["alarm_is_free", "run_with_alarm"]

AGAIN: Final = 1.5
"""Seconds until the alarm rings again, for code that lost the first one, as an `except BaseException` in a loop does.

Longer than what winds up when it is interrupted takes for that; `parallel_map` gives its threads a second.
"""
SOON: Final = 0.01
"""Seconds until the alarm rings again where it would be lost at once."""
MOST_DELAYS: Final = 100
"""How often that may happen; then it rings all the same."""
WEAK_REFERENCES: Final = frozenset({weakref.__file__, WeakSet.add.__code__.co_filename})
"""The files of the standard library whose callbacks of weak references swallow exceptions."""


def alarm_is_free() -> bool:
    """Whether the alarm can be used: this is the main thread, on Unix, and nobody else uses it."""
    return (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
        and signal.getitimer(signal.ITIMER_REAL)[0] == 0.0
    )


def run_with_alarm(call: Callable[[Any, Any], Any], data: Any, ctx: Any, seconds: float, error: StepTimeout) -> Any:
    """`call(data, ctx)`; raises `error` if that takes longer than `seconds`, whatever it came to then."""
    alarm = _Alarm(lambda: ctx.condemn(error))
    cause: BaseException | None = None
    try:
        try:
            alarm.start(seconds)
            output = call(data, ctx)
        finally:
            # Python looks for signals where functions begin and end, so that none comes between the end of
            # the call and this line without being caught below, and none after it does anything.
            alarm.active = False
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as caught:
        if not alarm.rang:
            raise
        # What the interruption was turned into on its way out, as in an exception group, is still the timeout.
        if isinstance(caught, AttemptExpired):
            take_notes(error, caught)
        else:
            cause = caught
    else:
        if not alarm.rang:
            return output
    finally:
        alarm.stop()
    ctx.abandon(error)
    raise error from cause


def _swallows(frame: FrameType | None) -> bool:
    """Whether Python prints an exception raised here and goes on, as it does in `__del__` and weak references."""
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or code.co_filename in WEAK_REFERENCES:
            return True
        frame = frame.f_back
    return False


class _Alarm:
    """Interrupts the main thread once the time is over, while it is active."""

    def __init__(self, condemn: Callable[[], None]) -> None:
        self._condemn = condemn
        self._forget: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._patience = MOST_DELAYS
        self.active = False
        self.rang = False

    def start(self, seconds: float) -> None:
        """Begin to count."""
        signal.signal(signal.SIGALRM, self._ring)
        self.active = True
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
        manual = manual_clock()
        if manual is not None:
            self._forget = manual.call_at(manual.monotonic() + seconds, self._ring_now)

    def stop(self) -> None:
        """Give the alarm back."""
        if self._forget is not None:
            self._forget()
            with self._lock:  # whoever is about to ring has done so after this
                pass
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        # To ignore a signal discards one that is on its way, which would be the end of the process otherwise.
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def _ring(self, _signal: int, frame: FrameType | None) -> None:
        if not self.active:
            return
        self.rang = True
        self._condemn()
        if self._patience and _swallows(frame):
            self._patience -= 1
            signal.setitimer(signal.ITIMER_REAL, SOON, AGAIN)
            return
        raise AttemptExpired

    def _ring_now(self) -> None:
        """Ring the alarm from whatever thread moved the time; in the main thread this raises."""
        with self._lock:
            if not self.active:
                return
            self.rang = True  # from here on, whatever the main thread comes to is too late
            self._condemn()
            signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)  # rings again if this is lost
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGALRM)
