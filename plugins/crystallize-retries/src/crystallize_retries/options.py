"""Checks of the step options."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["check_retry", "check_timeout"]


def check_retry(value: Any) -> int:
    """The number of further attempts after the first.

    Raises:
        ValueError: It is no int of at least 0.

    """
    if type(value) is not int or value < 0:
        raise ValueError("expected an int of at least 0, the number of further attempts")
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
