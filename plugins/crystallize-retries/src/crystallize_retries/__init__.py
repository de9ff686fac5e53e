"""Retries and timeouts for the steps of Crystallize: the step options `retry` and `timeout`."""

from __future__ import annotations

from crystallize_retries.errors import StepTimeout
from crystallize_retries.plugin import RetryPlugin
from crystallize_retries.timing import Clock, FakeClock, SystemClock, clock, use_clock

__all__ = [
    "Clock",
    "FakeClock",
    "RetryPlugin",
    "StepTimeout",
    "SystemClock",
    "clock",
    "use_clock",
]
