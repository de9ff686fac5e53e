"""Checks of the step options."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from crystallize_core.errors import DefinitionError
from crystallize_retries.circuit import BreakerRule
from crystallize_retries.decorators import OnFailure, error_types
from crystallize_retries.fallback import checked_fallback
from crystallize_retries.retrying import RetryRule

__all__ = [
    "check_circuit_breaker",
    "check_fallback",
    "check_fallback_on",
    "check_on_failure",
    "check_retry",
    "check_timeout",
]


def check_retry(value: Any) -> int | RetryRule:
    """The number of further attempts after the first, or what `retry(...)` makes.

    Raises:
        ValueError: It is neither.

    """
    if isinstance(value, RetryRule):
        return value
    if type(value) is not int or value < 0:
        raise ValueError("expected an int of at least 0, the number of further attempts, or retry(...)")
    return value


def check_timeout(value: Any) -> float | None:
    """The seconds that one attempt may take; None for no limit.

    Raises:
        ValueError: It is no positive, finite number.

    """
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
        raise ValueError("expected a positive number of seconds for each attempt")
    return float(value)


def check_circuit_breaker(value: Any) -> BreakerRule | None:
    """What `CircuitBreaker(...)` makes; None for none.

    Raises:
        ValueError: It is something else.

    """
    if value is not None and not isinstance(value, BreakerRule):
        raise ValueError("expected CircuitBreaker(failure_threshold=..., timeout=...)")
    return value


def check_fallback(value: Any) -> Callable[..., Any] | None:
    """A function that takes nothing, or the error; None for none.

    Raises:
        ValueError: It is no such function.

    """
    if value is None:
        return None
    try:
        return checked_fallback(value)
    except DefinitionError:
        raise ValueError(
            "expected a function that takes nothing, or the error; for a fixed value, lambda: value"
        ) from None


def check_fallback_on(value: Any) -> tuple[type[Exception], ...] | None:
    """Exception types; None for all.

    Raises:
        ValueError: Something else.

    """
    if value is None:
        return None
    try:
        return error_types(value, "fallback_on")
    except DefinitionError:
        raise ValueError("expected exception types, such as [ConnectionError, TimeoutError]") from None


def check_on_failure(value: Any) -> OnFailure | None:
    """What `on_failure(...)` makes; None for none.

    Raises:
        ValueError: It is something else.

    """
    if value is not None and not isinstance(value, OnFailure):
        raise ValueError("expected on_failure(action=..., recipients=...); a fallback is given by fallback=function")
    return value
