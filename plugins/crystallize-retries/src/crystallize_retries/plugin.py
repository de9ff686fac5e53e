"""`RetryPlugin`: claims the step options `retry` and `timeout` and puts them around the calls of a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import attrs

from crystallize_core import BasePlugin
from crystallize_retries.options import check_retry, check_timeout
from crystallize_retries.retrying import Backoff, retried, retried_async
from crystallize_retries.timeouts import timed, timed_async

__all__ = ["RetryPlugin"]


def _seconds(_instance: Any, field: Any, value: Any) -> None:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{field.name} must be a number of at least 0; found {value!r}")


@attrs.frozen
class RetryPlugin(BasePlugin):
    """Retries and timeouts for steps that ask for them; every other step costs nothing.

    `retry=N` allows N further attempts after the first. `timeout=T` limits each attempt to T seconds, and
    what takes longer fails with `StepTimeout`, which is then retried like any other failure.

    Args:
        first_delay: Seconds to wait before the second attempt.
        backoff: Each further wait is this many times as long as the one before.
        max_delay: No wait is longer than this many seconds.

    Raises:
        ValueError: An option is no finite number of at least 0.

    """

    plugin_name: ClassVar[str | None] = "retries"

    first_delay: float = attrs.field(default=1.0, validator=_seconds)
    backoff: float = attrs.field(default=2.0, validator=_seconds)
    max_delay: float = attrs.field(default=60.0, validator=_seconds)

    def step_options(self) -> Mapping[str, Any]:
        """`retry` and `timeout` with their checks."""
        return {"retry": check_retry, "timeout": check_timeout}

    def wrap_step(self, experiment: Any, step: Any, call: Callable[[Any, Any], Any]) -> Any:  # noqa: ARG002 - the hook's name
        """The call with its time limit inside and its further attempts outside; None if it has neither."""
        retry = check_retry(step.options.get("retry", 0))
        timeout = check_timeout(step.options.get("timeout"))
        if not retry and timeout is None:
            return None
        if timeout is not None:
            call = (timed_async if step.is_async else timed)(call, step.name, timeout)
        if retry:
            delays = Backoff(self.first_delay, self.backoff, self.max_delay)
            call = (retried_async if step.is_async else retried)(call, retry, delays)
        return call
