"""`timeout`: end an attempt of a step when its time is over.

Three ways, because Python has no single one:

* in the main thread of a process on Unix, an alarm signal: it ends Python code, sleeps and most waiting;
* elsewhere, a thread for the attempt: Python code in it is ended, and a call that does not return to
  Python is left behind in its thread, which the error then says;
* for `async def`, cancellation at the next `await`.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final

from crystallize_retries.alarm import alarm_is_free, run_with_alarm
from crystallize_retries.backoff import LONGEST
from crystallize_retries.errors import expired
from crystallize_retries.interrupt import interrupt_thread

__all__ = ["timed", "timed_async"]

Call = Callable[[Any, Any], Any]
AsyncCall = Callable[[Any, Any], Awaitable[Any]]

GRACE: Final = 0.2
"""Seconds that an attempt gets to end after it was told to, before it is left behind."""


def timed(call: Call, step: str, seconds: float) -> Call:
    """`call`, ended after `seconds` with `StepTimeout`."""
    limit = min(seconds, LONGEST)

    def limited(data: Any, ctx: Any) -> Any:
        if alarm_is_free():
            return run_with_alarm(call, data, ctx, limit, expired(step, seconds))
        return _Attempt(call, step, seconds).run(data, ctx, limit)

    return limited


def timed_async(call: AsyncCall, step: str, seconds: float) -> AsyncCall:
    """The same for a step that is `async def`."""
    limit = min(seconds, LONGEST)

    async def limited(data: Any, ctx: Any) -> Any:
        import asyncio  # noqa: PLC0415 - only async steps need it

        task = asyncio.ensure_future(call(data, ctx))
        try:
            done, _ = await asyncio.wait({task}, timeout=limit)
        except BaseException:
            task.cancel()
            raise
        if done:
            return task.result()
        error = expired(step, seconds)
        ctx.abandon(error)
        task.add_done_callback(lambda ended: None if ended.cancelled() else ended.exception())  # asyncio wants it read
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=GRACE)
        raise error if done else expired(step, seconds, still_runs_in="a task of the event loop")

    return limited


class _Attempt:
    """One attempt in a thread of its own."""

    def __init__(self, call: Call, step: str, seconds: float) -> None:
        self._call, self._step, self._seconds = call, step, seconds
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._over = False
        self._output: Any = None
        self._error: BaseException | None = None

    def run(self, data: Any, ctx: Any, limit: float) -> Any:
        """Run the attempt and wait for it at most `limit` seconds."""
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._body, data, ctx), name=f"step-{self._step}", daemon=True
        )
        thread.start()
        try:
            in_time = self._ended.wait(limit)
        except BaseException as error:  # Ctrl-C, or the alarm of a step around this one
            self._give_up(thread, ctx, error)
            raise
        if in_time or not self._give_up(thread, ctx, expired(self._step, self._seconds)):
            return self._result()
        stopped = self._ended.wait(GRACE)
        raise expired(self._step, self._seconds, still_runs_in=None if stopped else "a thread")

    def _body(self, data: Any, ctx: Any) -> None:
        try:
            try:
                self._output = self._call(data, ctx)
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
                self._error = error
            with self._lock:
                self._over = True
        except BaseException:  # noqa: BLE001, S110 - the interruption arrived after the end; nobody waits any more
            pass
        self._ended.set()

    def _give_up(self, thread: threading.Thread, ctx: Any, error: BaseException) -> bool:
        """Disown the attempt and try to end it; False if it has ended just now."""
        with self._lock:
            if self._over:
                return False
            try:
                ctx.abandon(error)
            finally:
                interrupt_thread(thread)
        return True

    def _result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._output
