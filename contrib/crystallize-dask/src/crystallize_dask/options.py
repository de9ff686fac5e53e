"""What an address is, and what it means."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from crystallize_core.errors import WorkerError, describe

__all__ = ["is_address", "scheduler_address"]

FORMS: Final = '"tcp://host:port", "tls://host:port", "dask://host:port", "host:port" or the path of a scheduler file'
_HOST_AND_PORT: Final = re.compile(r"(?:(?P<scheme>[a-z+]+)://)?(?P<place>(?:\[[^\]]+\]|[^\s:/\[\]]+):\d{1,5})/?")
_SCHEMES: Final = {None: "tcp", "dask": "tcp"}
"""What a scheme is in the words of Dask, where that differs."""


def is_address(_instance: Any, field: Any, value: Any) -> None:
    """A validator: an address of a scheduler, the path of a scheduler file, or None.

    Raises:
        ValueError: It is something else.

    """
    looks_right = isinstance(value, str) and (
        _HOST_AND_PORT.fullmatch(value) is not None or (bool(value.strip()) and "://" not in value and not _bare(value))
    )
    if value is not None and not looks_right:
        raise ValueError(f"{field.name} must be {FORMS}, or None for a cluster on this machine; found {value!r}")


def _bare(value: str) -> bool:
    """Whether it is a host without its port, and no file."""
    return re.fullmatch(r"[\w-]+:?", value) is not None and not Path(value).exists()


def scheduler_address(address: str) -> str:
    """The address in the words of Dask.

    Raises:
        WorkerError: It is a scheduler file that cannot be read.

    """
    found = _HOST_AND_PORT.fullmatch(address)
    if found is not None:
        scheme = found["scheme"]
        return f"{_SCHEMES.get(scheme, scheme)}://{found['place']}"
    try:
        return str(json.loads(Path(address).expanduser().read_text(encoding="utf-8"))["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = (
            f"the scheduler file {address} cannot be read: {describe(error)}\n"
            f"  `dask scheduler --scheduler-file {address}` writes it; a scheduler without one is reached by host:port"
        )
        raise WorkerError(message) from error
