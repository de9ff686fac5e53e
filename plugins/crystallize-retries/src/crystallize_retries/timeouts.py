"""`timeout`: end an attempt of a step when its time is over.

Three ways, because Python has no single one:

* in the main thread of a process on Unix, an alarm signal: it ends Python code, sleeps and most waiting;
* elsewhere, a thread for the attempt: Python code in it is ended, and a call that does not return to
  Python is left behind in its thread, which the error then says;
* for `async def`, cancellation at the next `await`.

None of them ends C code that keeps the interpreter to itself. So each attempt is announced to the watchdog
of this process, if somebody outside watches over it and can end it; see `crystallize_core.watchdog`.

All three go by the time of the system. Where the clock in use is one whose time somebody moves, they ask
it to call them as well, and the limit is over by whichever time is over first: a test need not wait for a
long limit, and a step that hangs under a clock that nobody moves still ends.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.clock import manual_clock
from crystallize_core.watchdog import announce
from crystallize_retries.alarm import alarm_is_free, run_with_alarm
from crystallize_retries.backoff import LONGEST
from crystallize_retries.errors import AttemptExpired, expired, take_notes
from crystallize_retries.interrupt import interrupt_thread

if TYPE_CHECKING:
    import asyncio

__all__ = ["timed", "timed_async"]

Call = Callable[[Any, Any], Any]
AsyncCall = Callable[[Any, Any], Awaitable[Any]]

GRACE: Final = 0.2
"""Seconds that an attempt gets to end after it was told to, before it is left behind."""
WORKER: Final = "its worker process"
"""What somebody outside ends where none of the ways here can."""


def timed(call: Call, step: str, seconds: float) -> Call:
    """`call`, ended after `seconds` with `StepTimeout`."""
    limit = min(seconds, LONGEST)
    ended = functools.partial(expired, step, seconds, ended_with=WORKER)

    def limited(data: Any, ctx: Any) -> Any:
        with announce(step, limit, ctx, ended):
            if alarm_is_free():
                return run_with_alarm(call, data, ctx, limit, expired(step, seconds))
            return _Attempt(call, data, ctx, step, seconds).run(limit)

    return limited


def timed_async(call: AsyncCall, step: str, seconds: float) -> AsyncCall:
    """The same for a step that is `async def`."""
    limit = min(seconds, LONGEST)
    ended = functools.partial(expired, step, seconds, ended_with=WORKER)

    async def limited(data: Any, ctx: Any) -> Any:
        import asyncio  # noqa: PLC0415 - only async steps need it

        error = expired(step, seconds)
        with announce(step, limit, ctx, ended):
            task = asyncio.ensure_future(call(data, ctx))
            try:
                if await _ended_in_time(task, limit, lambda: ctx.condemn(error)):
                    return task.result()
            except BaseException:
                task.cancel()
                raise
            ctx.abandon(error)
            task.add_done_callback(_read)
            done, _ = await asyncio.wait({task}, timeout=GRACE)
        raise error if done else expired(step, seconds, still_runs_in="a task of the event loop")

    return limited


async def _ended_in_time(task: asyncio.Future[Any], limit: float, condemn: Callable[[], None]) -> bool:
    """Wait for the end of the attempt, or of its time; it is then told to end."""
    import asyncio  # noqa: PLC0415 - only async steps need it

    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def expire() -> None:
        if not task.done() and not over.done():
            over.set_result(None)
            condemn()
            task.cancel()

    def expire_soon() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and so nobody waits any more
            loop.call_soon_threadsafe(expire)

    manual = manual_clock()
    if manual is None:
        await asyncio.wait({task}, timeout=limit)
    else:
        forget = manual.call_at(manual.monotonic() + limit, expire_soon)
        try:
            await asyncio.wait({task, over}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            forget()
    expire()
    return not over.done()


def _read(ended: asyncio.Future[Any]) -> None:
    """Look at the error of a task that nobody waits for, which asyncio wants."""
    if not ended.cancelled():
        ended.exception()


class _Attempt:
    """One attempt in a thread of its own."""

    def __init__(self, call: Call, data: Any, ctx: Any, step: str, seconds: float) -> None:
        self._call, self._data, self._ctx = call, data, ctx
        self._step, self._seconds = step, seconds
        self._lock = threading.RLock()  # a hook that is told of the end may move the time, which rings here
        self._ended = threading.Event()
        self._rang = self._ended
        """Set when the waiting is over; where somebody moves the clock, that may be before the attempt ends."""
        self._over = False
        self._late = False
        self._output: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._body,), name=f"step-{step}", daemon=True
        )

    def run(self, limit: float) -> Any:
        """Run the attempt and wait for it at most `limit` seconds."""
        manual = manual_clock()
        forget = None
        if manual is not None:
            self._rang = threading.Event()
            forget = manual.call_at(manual.monotonic() + limit, self._ring)
        self._thread.start()
        try:
            in_time = self._rang.wait(limit) and not self._late
        except BaseException as error:  # Ctrl-C, or the alarm of a step around this one
            self._give_up(error)
            raise
        finally:
            if forget is not None:
                forget()
        if in_time or not self._give_up(expired(self._step, self._seconds)):
            return self._result()
        stopped = self._ended.wait(GRACE)
        timeout = expired(self._step, self._seconds, still_runs_in=None if stopped else "a thread")
        if isinstance(self._error, AttemptExpired):
            take_notes(timeout, self._error)
        raise timeout

    def _ring(self) -> None:
        """The time is over; called in the thread that moved it, which may be that of the attempt."""
        with self._lock:
            if self._over:
                return
            self._late = True  # from here on, whatever the attempt comes to is too late
            self._ctx.condemn(expired(self._step, self._seconds))
        self._rang.set()
        if threading.current_thread() is self._thread:
            raise AttemptExpired

    def _body(self) -> None:
        try:
            try:
                self._output = self._call(self._data, self._ctx)
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
                self._error = error
            with self._lock:
                self._over = True
        except BaseException:  # noqa: BLE001, S110 - the interruption arrived after the end; nobody waits any more
            pass
        self._ended.set()
        self._rang.set()

    def _give_up(self, error: BaseException) -> bool:
        """Disown the attempt and try to end it; False if it has ended just now, and in time."""
        with self._lock:
            if self._over and not self._late:
                return False
            try:
                self._ctx.abandon(error)
            finally:
                if not self._over:
                    interrupt_thread(self._thread)
        return True

    def _result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._output
