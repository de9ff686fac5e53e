"""All policies of one function, in the one order that makes sense: fallback(retry(breaker(timeout(body)))).

The other way round, a fallback inside would hide the failures from the retrying, and a breaker outside
would count all attempts as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from crystallize_core.errors import DefinitionError
from crystallize_retries.backoff import Backoff, Exponential
from crystallize_retries.circuit import BreakerRule, circuit_for, guarded, guarded_async
from crystallize_retries.fallback import FailureRule, backed, backed_async, checked_fallback
from crystallize_retries.retrying import RetryRule, retried, retried_async
from crystallize_retries.timeouts import timed, timed_async

__all__ = ["Policies"]

WAITS: Final = Exponential(cap=60.0)
"""The waits of `retry=N` where no plugin decides about them."""


@attrs.frozen
class Policies:
    """What is done around the calls of one function.

    Attributes:
        timeout: Seconds that each attempt may take.
        breaker: When the function is left alone.
        retry: How often it is called.
        failure: What happens when that did not help.

    """

    timeout: float | None = None
    breaker: BreakerRule | None = None
    retry: RetryRule | None = None
    failure: FailureRule | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any], name: str, *, is_async: bool, waits: Backoff = WAITS) -> Policies:
        """The policies that checked options ask for.

        Args:
            options: The step options.
            name: What messages call the step.
            is_async: Whether it must be awaited.
            waits: The waits of `retry=N`.

        Raises:
            DefinitionError: Options that do not fit each other.

        """
        retry = options.get("retry")
        if isinstance(retry, int):
            retry = RetryRule(retry + 1, waits)
        if retry is not None and retry.max_attempts == 1:
            retry = None
        failure = _failure(options, name)
        if failure is not None and failure.is_async and not is_async:
            message = f"{name!r} is a plain function, and so must be its fallback and its on_failure action"
            raise DefinitionError(message)
        return cls(options.get("timeout"), options.get("circuit_breaker"), retry, failure)

    def around(self, call: Callable[[Any, Any], Any], function: Any, name: str, *, is_async: bool) -> Any:
        """`call(data, ctx)` with the policies around it; `call` itself if there are none.

        Without `retry` it says that it calls `call` at most once, so that nobody keeps the input for a second time.

        Args:
            call: One attempt; a coroutine function if `is_async`.
            function: What it calls in the end, which the circuit breaker belongs to.
            name: What messages call it.
            is_async: Whether `call` must be awaited.

        """
        given = call
        if self.timeout is not None:
            call = (timed_async if is_async else timed)(call, name, self.timeout)
        if self.breaker is not None:
            call = (guarded_async if is_async else guarded)(call, name, circuit_for(function, self.breaker))
        if self.retry is not None:
            call = (retried_async if is_async else retried)(call, self.retry)
        if self.failure is not None:
            call = (backed_async if is_async else backed)(call, name, self.failure)
        if call is not given and self.retry is None:
            vars(call)["single_attempt"] = True
        return call


def _failure(options: Mapping[str, Any], name: str) -> FailureRule | None:
    """`fallback=`, `fallback_on=` and `on_failure=` as one rule."""
    told = options.get("on_failure") or FailureRule()
    fallback, on = options.get("fallback"), options.get("fallback_on")
    if fallback is not None and told.fallback not in (None, fallback):
        message = f"step {name!r} has two fallbacks, fallback={fallback!r} and that of {told!r}; keep one"
        raise DefinitionError(message)
    if on is not None and told.fallback is not None and told.on not in ((Exception,), on):
        message = f"step {name!r} says twice after which errors its fallback is used, in fallback_on and in on_failure"
        raise DefinitionError(message)
    fallback = fallback or told.fallback
    if on is not None and fallback is None:
        message = f"step {name!r} has fallback_on={on!r} but no fallback; give fallback=function"
        raise DefinitionError(message)
    if fallback is None and told.action is None:
        return None
    if fallback is not None:
        checked_fallback(fallback)
    return FailureRule(fallback, on or told.on, told.action, told.recipients)
