"""`retry`: call a step again after it failed.

No library here, though stamina and tenacity are good ones: neither lets a successful first attempt
through for less than ten microseconds, stamina's clock cannot be replaced, and the jitter of both draws
from the random stream of the user.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from crystallize_core.clock import clock
from crystallize_core.errors import add_note
from crystallize_retries.backoff import Backoff, Waits
from crystallize_retries.errors import NOT_THE_STEP, CircuitOpenError

__all__ = ["RetryRule", "retried", "retried_async"]

Call = Callable[[Any, Any], Any]
AsyncCall = Callable[[Any, Any], Awaitable[Any]]


@attrs.frozen
class RetryRule:
    """How often a step is called, and after which errors.

    Attributes:
        max_attempts: Calls in all.
        backoff: How long to wait between them.
        on: After which errors it is called again.
        not_on: After which of those it is not.

    """

    max_attempts: int
    backoff: Backoff
    on: tuple[type[Exception], ...] = (Exception,)
    not_on: tuple[type[Exception], ...] = ()

    def covers(self, error: Exception) -> bool:
        """Whether a call may succeed after this error."""
        if isinstance(error, (*NOT_THE_STEP, CircuitOpenError)):
            return False
        return isinstance(error, self.on) and not isinstance(error, self.not_on)


def retried(call: Call, rule: RetryRule) -> Call:
    """`call`, as often as the rule says; the error of the last attempt is raised as it is."""

    def attempts(data: Any, ctx: Any) -> Any:
        try:
            return call(data, ctx)
        except Exception as error:
            progress = _Progress(rule)
            if not progress.goes_on(error):
                raise
        while True:
            clock.sleep(progress.waits.next())
            try:
                return call(data, ctx)
            except Exception as error:
                if not progress.goes_on(error):
                    raise

    return attempts


def retried_async(call: AsyncCall, rule: RetryRule) -> AsyncCall:
    """The same for a step that is `async def`."""

    async def attempts(data: Any, ctx: Any) -> Any:
        try:
            return await call(data, ctx)
        except Exception as error:
            progress = _Progress(rule)
            if not progress.goes_on(error):
                raise
        while True:
            await clock.asleep(progress.waits.next())
            try:
                return await call(data, ctx)
            except Exception as error:
                if not progress.goes_on(error):
                    raise

    return attempts


class _Progress:
    """How far an execution got whose first attempt failed."""

    def __init__(self, rule: RetryRule) -> None:
        self._rule = rule
        self._failures = 0
        self._last: Exception | None = None
        self.waits = Waits(rule.backoff)

    def goes_on(self, error: Exception) -> bool:
        """Whether to try again; if not, a note on the error says how often that was done."""
        if isinstance(error, CircuitOpenError):  # no attempt, and what it hides is the error before
            if self._last is not None and error.__cause__ is None:
                error.__cause__ = self._last
        else:
            self._failures += 1
        if self._failures < self._rule.max_attempts and self._rule.covers(error):
            self._last = error
            return True
        note = f"after {self._failures} attempts"
        # One exception object may be raised by many replicates.
        if self._failures > 1 and not isinstance(error, NOT_THE_STEP) and note not in getattr(error, "__notes__", ()):
            add_note(error, note)
        return False
