"""What a log line may hold: plain values, without secrets."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

__all__ = ["MASK", "plain"]

MASK: Final = "***"

# `tokens=512` counts what a model read and `token="hf_…"` opens a door, so that the plural is shown.
_SECRET: Final = re.compile(
    r"passw(or)?d|passphrase|secret|credential|api_?key|private_?key|access_?key|authorization|token(?!s|_count|izer)",
    re.IGNORECASE,
)
_DEEPEST: Final = 6
_LONGEST: Final = 10_000


def plain(name: object, value: Any, depth: int = 0) -> Any:
    """The value as something that JSON has, or its `repr`; masked where its name says that it is a secret.

    Never raises, whatever the value is.
    """
    if isinstance(name, str) and value is not None and not isinstance(value, bool) and _SECRET.search(name):
        return MASK
    if value is None or isinstance(value, (bool, str)):
        return value[:_LONGEST] if isinstance(value, str) else value
    if isinstance(value, numbers.Real):
        return _number(value)
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {_text(key): plain(key, item, depth + 1) for key, item in value.items()}
    if depth < _DEEPEST and isinstance(value, (list, tuple, AbstractSet)):
        return [plain(name, item, depth + 1) for item in value]
    return _text(value)


def _number(value: numbers.Real) -> Any:
    if isinstance(value, numbers.Integral):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else str(number)  # JSON has no word for these


def _text(value: object) -> str:
    try:
        return (value if isinstance(value, str) else repr(value))[:_LONGEST]
    except Exception as error:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"<{type(value).__qualname__} that cannot be shown: {type(error).__qualname__}>"
