"""The checks of those options that only `RayExecution` has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["is_address", "is_environment"]

_HOST_AND_PORT: Final = re.compile(r"(?:ray://)?(?:\[[^\[\]]+\]|[^\s:/\[\]]+):\d{1,5}")


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
