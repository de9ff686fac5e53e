"""How old and how large a cache may be: what a pipeline says, else what the environment says."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from crystallize_core.errors import DefinitionError
from crystallize_core.quantities import seconds, size

__all__ = ["MAX_BYTES_VARIABLE", "TTL_VARIABLE", "VARIABLES", "max_bytes", "ttl"]

TTL_VARIABLE: Final = "CRYSTALLIZE_CACHE_TTL"
MAX_BYTES_VARIABLE: Final = "CRYSTALLIZE_CACHE_MAX_BYTES"
VARIABLES: Final = ("CRYSTALLIZE_CACHE_DIR", TTL_VARIABLE, MAX_BYTES_VARIABLE)
"""The variables of the environment that say where outputs are cached, and how many of them."""


def ttl(said: float | None = None) -> float | None:
    """Seconds after which an entry counts no more; None for never.

    Args:
        said: What the pipeline says; None asks `CRYSTALLIZE_CACHE_TTL`, such as `30d`.

    Raises:
        DefinitionError: The variable holds no time span.

    """
    found: float | None = _from_environment(TTL_VARIABLE, seconds) if said is None else said
    return found


def max_bytes(said: int | None = None) -> int | None:
    """So many bytes may be cached; None for any number.

    Args:
        said: What the pipeline says; None asks `CRYSTALLIZE_CACHE_MAX_BYTES`, such as `5GB`.

    Raises:
        DefinitionError: The variable holds no number of bytes.

    """
    found: int | None = _from_environment(MAX_BYTES_VARIABLE, size) if said is None else said
    return found


def _from_environment(variable: str, read: Callable[[Any], Any]) -> Any:
    text = os.environ.get(variable)
    if not text or not text.strip():
        return None
    try:
        return read(text)
    except ValueError as error:
        message = f"environment variable {variable} {error}"
        raise DefinitionError(message) from None
