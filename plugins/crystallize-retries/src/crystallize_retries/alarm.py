"""Limit a call in the main thread by the alarm signal of Unix."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any, Final

from crystallize_core.clock import manual_clock
from crystallize_retries.errors import AttemptExpired, StepTimeout, take_notes

__all__ = ["alarm_is_free", "run_with_alarm"]

AGAIN: Final = 1.5
"""Seconds until the alarm rings again, for code that lost the first one, as a `__del__` method does.

Longer than what winds up when it is interrupted takes for that; `parallel_map` gives its threads a second.
"""


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


class _Alarm:
    """Interrupts the main thread once the time is over, while it is active."""

    def __init__(self, condemn: Callable[[], None]) -> None:
        self._condemn = condemn
        self._forget: Callable[[], None] | None = None
        self._lock = threading.Lock()
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

    def _ring(self, *_: object) -> None:
        if self.active:
            self.rang = True
            self._condemn()
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
