"""`RetryPlugin`: claims the step options of this distribution and puts them around the calls of a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import attrs

from crystallize_core import BasePlugin
from crystallize_retries.backoff import Exponential
from crystallize_retries.direct import has_own_policies, standing_aside
from crystallize_retries.options import (
    check_circuit_breaker,
    check_fallback,
    check_fallback_on,
    check_on_failure,
    check_retry,
    check_timeout,
)
from crystallize_retries.policies import Policies

__all__ = ["RetryPlugin"]

CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "circuit_breaker": check_circuit_breaker,
    "fallback": check_fallback,
    "fallback_on": check_fallback_on,
    "on_failure": check_on_failure,
    "retry": check_retry,
    "timeout": check_timeout,
}


def _seconds(_instance: Any, field: Any, value: Any) -> None:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{field.name} must be a number of at least 0; found {value!r}")


@attrs.frozen
class RetryPlugin(BasePlugin):
    """Retries, timeouts, circuit breakers and fallbacks for steps that ask for them; others cost nothing.

    Whatever the order in which a step asks for them, they are nested as fallback(retry(breaker(timeout(step)))).

    Args:
        first_delay: Seconds to wait before the second attempt of a step with `retry=N`.
        backoff: Each further wait is this many times as long as the one before.
        max_delay: No such wait is longer than this many seconds.

    Raises:
        ValueError: An option is no finite number of at least 0.

    """

    plugin_name: ClassVar[str | None] = "retries"

    first_delay: float = attrs.field(default=1.0, validator=_seconds)
    backoff: float = attrs.field(default=2.0, validator=_seconds)
    max_delay: float = attrs.field(default=60.0, validator=_seconds)

    def step_options(self) -> Mapping[str, Any]:
        """The options with their checks."""
        return dict(CHECKS)

    def wrap_step(self, experiment: Any, step: Any, call: Callable[[Any, Any], Any]) -> Any:  # noqa: ARG002 - the hook's name
        """The call with the policies around it; None for a step that asks for none."""
        options = {name: check(step.options[name]) for name, check in CHECKS.items() if name in step.options}
        waits = Exponential(self.first_delay, self.backoff, self.max_delay)
        policies = Policies.of(options, step.name, is_async=step.is_async, waits=waits)
        if policies == Policies():
            return None
        function = step.function
        if has_own_policies(function):
            call = standing_aside(call, function, is_async=step.is_async)
        return policies.around(call, function, step.name, is_async=step.is_async)
