"""`@retry`, `@on_failure` and `@CircuitBreaker`: decorators that are step options as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from crystallize_core.errors import DefinitionError
from crystallize_retries.backoff import Backoff, as_backoff
from crystallize_retries.circuit import BreakerRule, Circuit, circuit_for
from crystallize_retries.direct import Decorator
from crystallize_retries.fallback import FailureRule, checked_action, checked_fallback
from crystallize_retries.retrying import RetryRule

__all__ = ["CircuitBreaker", "OnFailure", "Retry", "error_types", "on_failure", "retry"]


@attrs.frozen
class Retry(Decorator, RetryRule):
    """What `retry(...)` makes."""

    def options(self) -> Mapping[str, Any]:
        """The step options that mean the same."""
        return {"retry": self}


def retry(max_attempts: int = 3, backoff: float | Backoff = 2.0, on: Any = None, not_on: Any = ()) -> Retry:
    """Call a function again after it failed; also a value of the step option `retry`.

    Args:
        max_attempts: Calls in all, the first one included.
        backoff: A number `b` waits `b**0`, `b**1`, `b**2`, … seconds; an object with `delays()` decides itself.
        on: The exception types after which it is called again; default all.
        not_on: The exception types among those after which it is not.

    Raises:
        DefinitionError: An argument is none of these.

    """
    if callable(max_attempts):
        message = "use the decorator with parentheses: @retry()"
        raise DefinitionError(message)
    if type(max_attempts) is not int or max_attempts < 1:
        message = f"retry: max_attempts must be an int of at least 1, counting the first call; found {max_attempts!r}"
        raise DefinitionError(message)
    types = (Exception,) if on is None else error_types(on, "retry: on")
    return Retry(max_attempts, as_backoff(backoff), types, error_types(not_on, "retry: not_on"))


@attrs.frozen
class OnFailure(Decorator, FailureRule):
    """What `on_failure(...)` makes."""

    def options(self) -> Mapping[str, Any]:
        """The step options that mean the same."""
        options: dict[str, Any] = {}
        if self.fallback is not None:
            options["fallback"] = self.fallback
        if self.on != (Exception,):
            options["fallback_on"] = self.on
        if self.action is not None:
            options["on_failure"] = OnFailure(action=self.action, recipients=self.recipients)
        return options


def on_failure(
    fallback: Callable[..., Any] | None = None,
    *,
    on: Any = None,
    action: Callable[..., Any] | None = None,
    recipients: Any = None,
) -> OnFailure:
    """Say what happens when a function failed for good; also a value of the step option `on_failure`.

    Args:
        fallback: Called for the value to use instead: as `fallback(error)` if it needs an argument, or has one
            named `error`, `exc` or the like, and as `fallback()` otherwise.
        on: The exception types after which the fallback is used; default all.
        action: Called as `action(error)` on each final failure, before the fallback. What it returns is
            ignored, and what it raises is noted on the error and logged.
        recipients: What the action is told beside the error, as in `action(error, recipients)`: a tuple of these.

    Raises:
        DefinitionError: An argument is none of these, or neither a fallback nor an action is given.

    """
    if fallback is None and action is None:
        message = "on_failure needs a fallback, on_failure(function), or an action, on_failure(action=function)"
        raise DefinitionError(message)
    if recipients is not None:
        recipients = (recipients,) if isinstance(recipients, str) else tuple(recipients)
        if action is None:
            message = "on_failure: recipients are passed to the action, and there is none; give action=function"
            raise DefinitionError(message)
    if fallback is not None:
        checked_fallback(fallback)
    elif on is not None:
        message = "on_failure: `on` says when the fallback is used, and there is none; give fallback=function"
        raise DefinitionError(message)
    if action is not None:
        checked_action(action, recipients)
    types = (Exception,) if on is None else error_types(on, "on_failure: on")
    return OnFailure(fallback, types, action, recipients)


def _threshold(_instance: Any, _field: Any, value: Any) -> None:
    if callable(value):
        message = "use the decorator with parentheses: @CircuitBreaker()"
        raise DefinitionError(message)
    if type(value) is not int or value < 1:
        message = f"CircuitBreaker: failure_threshold must be an int of at least 1; found {value!r}"
        raise DefinitionError(message)


def _timeout(_instance: Any, _field: Any, value: Any) -> None:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        message = f"CircuitBreaker: timeout must be a number of seconds, at least 0; found {value!r}"
        raise DefinitionError(message)


@attrs.frozen
class CircuitBreaker(Decorator, BreakerRule):
    """Leave a function alone that keeps failing; also a value of the step option `circuit_breaker`.

    Each function that it decorates has a circuit of its own, one for the life of the process; a worker
    process has others. `CircuitBreaker.of(function)` shows it.

    Args:
        failure_threshold: After so many failures one after the other calls fail at once with `CircuitOpenError`.
        timeout: After so many seconds one call is let through: its success ends this, its failure starts it again.

    Raises:
        DefinitionError: An argument is none of these.

    """

    failure_threshold: int = attrs.field(default=5, validator=_threshold)
    timeout: float = attrs.field(default=60.0, validator=_timeout)

    def options(self) -> Mapping[str, Any]:
        """The step options that mean the same."""
        return {"circuit_breaker": self}

    @staticmethod
    def of(function: Any) -> Circuit:
        """The circuit of a decorated function or of a step, in this process.

        Raises:
            DefinitionError: It has none.

        """
        options = getattr(function, "options", None) or getattr(function, "__crystallize_options__", {})
        rule = options.get("circuit_breaker") if isinstance(options, Mapping) else None
        if not isinstance(rule, BreakerRule):
            message = f"{function!r} has no circuit breaker"
            raise DefinitionError(message)
        return circuit_for(getattr(function, "function", function), rule)


def error_types(value: Any, what: str) -> tuple[type[Exception], ...]:
    """One exception type or several, as a tuple.

    Raises:
        DefinitionError: It is something else, or a type that never means a failure, such as `KeyboardInterrupt`.

    """
    types = value if isinstance(value, (list, tuple, set, frozenset)) else (value,)
    for kind in types:
        if not isinstance(kind, type) or not issubclass(kind, Exception):
            message = f"{what} must be exception types, such as [ConnectionError, TimeoutError]; found {kind!r}"
            raise DefinitionError(message)
    return tuple(sorted(types, key=repr)) if isinstance(value, (set, frozenset)) else tuple(types)
