"""What the options of all executors have in common: their checks, and how many workers None stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crystallize_executors.budget import budget

__all__ = ["at_least_one", "one_of", "true_or_false", "worker_count"]

Validator = Callable[[Any, Any, Any], None]


def at_least_one(_instance: Any, field: Any, value: Any) -> None:
    """A validator: an int of at least 1, or None where the default of the field is None.

    Raises:
        ValueError: It is something else.

    """
    if value is None and field.default is None:
        return
    if type(value) is not int or value < 1:
        expected = "an int of at least 1" + (", or None to choose by the machine" if field.default is None else "")
        raise ValueError(f"{field.name} must be {expected}; found {value!r}")


def true_or_false(_instance: Any, field: Any, value: Any) -> None:
    """A validator: a bool.

    Raises:
        ValueError: It is something else.

    """
    if type(value) is not bool:
        raise ValueError(f"{field.name} must be True or False; found {value!r}")


def one_of(*choices: str) -> Validator:
    """A validator that raises `ValueError` for everything but these words."""

    def check(_instance: Any, field: Any, value: Any) -> None:
        if value not in choices:
            raise ValueError(f"{field.name} must be {' or '.join(map(repr, choices))}; found {value!r}")

    return check


def worker_count(max_workers: int | None, pending: int) -> int:
    """How many workers to use for so many replicates; None stands for this process's share of the cores."""
    return max(1, min(budget() if max_workers is None else max_workers, pending))
