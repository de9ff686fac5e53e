"""The checks of the options of `RayExecution`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["at_least_one", "is_address", "is_environment", "positive_seconds", "true_or_false"]

_HOST_AND_PORT: Final = re.compile(r"(?:ray://)?(?:\[[^\[\]]+\]|[^\s:/\[\]]+):\d{1,5}")


def at_least_one(_instance: Any, field: Any, value: Any) -> None:
    """A validator: an int of at least 1, or None where the default of the field is None.

    Raises:
        ValueError: It is something else.

    """
    if value is None and field.default is None:
        return
    if type(value) is not int or value < 1:
        expected = "an int of at least 1" + (", or None to choose by the cluster" if field.default is None else "")
        raise ValueError(f"{field.name} must be {expected}; found {value!r}")


def positive_seconds(_instance: Any, field: Any, value: Any) -> None:
    """A validator: a number of seconds above 0.

    Raises:
        ValueError: It is something else.

    """
    if type(value) not in {int, float} or not 0 < value < float("inf"):
        raise ValueError(f"{field.name} must be a number of seconds above 0; found {value!r}")


def true_or_false(_instance: Any, field: Any, value: Any) -> None:
    """A validator: a bool.

    Raises:
        ValueError: It is something else.

    """
    if type(value) is not bool:
        raise ValueError(f"{field.name} must be True or False; found {value!r}")


def is_address(_instance: Any, field: Any, value: Any) -> None:
    """A validator: an address of a Ray cluster, or None.

    Raises:
        ValueError: It is something else.

    """
    if value is None or value == "auto" or (isinstance(value, str) and _HOST_AND_PORT.fullmatch(value)):
        return
    expected = '"auto", "host:port", "ray://host:port", or None for a Ray on this machine'
    raise ValueError(f"{field.name} must be {expected}; found {value!r}")


def is_environment(_instance: Any, field: Any, value: Any) -> None:
    """A validator: a runtime environment of Ray, or None.

    Raises:
        ValueError: It is something else.

    """
    if value is not None and not (isinstance(value, Mapping) and all(isinstance(key, str) for key in value)):
        expected = 'a mapping such as {"working_dir": "."}, or None'
        raise ValueError(f"{field.name} must be {expected}; found {value!r}")
