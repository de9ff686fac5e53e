"""`retry`: call a step again after it failed.

No library here, though stamina and tenacity are good ones: neither lets a successful first attempt
through for less than ten microseconds, stamina's clock cannot be replaced, and the jitter of both draws
from the random stream of the user.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from crystallize_core.errors import DefinitionError, HookError
from crystallize_retries.timing import clock

__all__ = ["Backoff", "retried", "retried_async"]

Call = Callable[[Any, Any], Any]
AsyncCall = Callable[[Any, Any], Awaitable[Any]]


@attrs.frozen
class Backoff:
    """How long to wait before each further attempt: `first`, `first * factor`, `first * factor**2`, …, at most `cap`.

    There is no jitter, because it would either change the user's random numbers or the timing from run to run.
    """

    first: float
    factor: float
    cap: float

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failed attempts in a row (at least one)."""
        try:
            return min(self.cap, self.first * self.factor ** (failures - 1))
        except OverflowError:
            return self.cap


def retried(call: Call, retry: int, backoff: Backoff) -> Call:
    """`call`, with up to `retry` further attempts; the error of the last one is raised as it is."""

    def attempts(data: Any, ctx: Any) -> Any:
        failures = 0
        while True:
            try:
                return call(data, ctx)
            except Exception as error:
                failures += 1
                if not _worth_another(error, failures, retry):
                    raise
            clock.sleep(backoff.delay(failures))

    return attempts


def retried_async(call: AsyncCall, retry: int, backoff: Backoff) -> AsyncCall:
    """The same for a step that is `async def`."""

    async def attempts(data: Any, ctx: Any) -> Any:
        failures = 0
        while True:
            try:
                return await call(data, ctx)
            except Exception as error:
                failures += 1
                if not _worth_another(error, failures, retry):
                    raise
            await clock.asleep(backoff.delay(failures))

    return attempts


def _worth_another(error: Exception, failures: int, retry: int) -> bool:
    """Whether to try again; if not, a note on the error says how often that was done."""
    if isinstance(error, (DefinitionError, HookError)):  # not the step, and no better the next time
        return False
    if failures <= retry:
        return True
    note = f"after {failures} attempts"
    # One exception object may be raised by many replicates.
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
    return False
