"""For authors of plugins: validators of attrs fields, for the options that many plugins have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["at_least_one", "one_of", "positive_seconds", "true_or_false"]

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


def positive_seconds(_instance: Any, field: Any, value: Any) -> None:
    """A validator: a number of seconds above 0.

    Raises:
        ValueError: It is something else.

    """
    if type(value) not in (int, float) or not 0 < value < float("inf"):
        raise ValueError(f"{field.name} must be a number of seconds above 0; found {value!r}")


def true_or_false(_instance: Any, field: Any, value: Any) -> None:
    """A validator: a bool.

    Raises:
        ValueError: It is something else.

    """
    if type(value) is not bool:
        raise ValueError(f"{field.name} must be True or False; found {value!r}")


def one_of(*choices: str | None) -> Validator:
    """A validator that raises `ValueError` for everything but these."""

    def check(_instance: Any, field: Any, value: Any) -> None:
        if value not in choices:
            raise ValueError(f"{field.name} must be {' or '.join(map(repr, choices))}; found {value!r}")

    return check
