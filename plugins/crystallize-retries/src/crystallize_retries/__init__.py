"""Retries, timeouts, circuit breakers and fallbacks, for the steps of Crystallize and for plain functions."""

from __future__ import annotations

from crystallize_core.clock import Clock, FakeClock, SystemClock, clock, use_clock
from crystallize_retries.backoff import Backoff, Exponential
from crystallize_retries.circuit import Circuit
from crystallize_retries.decorators import CircuitBreaker, OnFailure, Retry, on_failure, retry
from crystallize_retries.errors import CircuitOpenError, StepTimeout
from crystallize_retries.plugin import RetryPlugin

__all__ = [
    "Backoff",
    "Circuit",
    "CircuitBreaker",
    "CircuitOpenError",
    "Clock",
    "Exponential",
    "FakeClock",
    "OnFailure",
    "Retry",
    "RetryPlugin",
    "StepTimeout",
    "SystemClock",
    "clock",
    "on_failure",
    "retry",
    "use_clock",
]
