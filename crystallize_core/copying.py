"""Copies of what one step made for another, so that neither can change what the other sees."""

from __future__ import annotations

import copy
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from crystallize_core.errors import WiringError
from crystallize_core.state import SHARED_TYPES

__all__ = ["hand_out", "hand_to_each"]

_IMMUTABLE_MODULES: Final = ("polars.", "pyarrow.")
"""Libraries whose values cannot be changed by whoever gets them."""
_FLAT: Final = frozenset({dict, frozenset, list, set, tuple})


def hand_out(value: Any) -> Any:
    """The value itself where it cannot change, else a copy; what cannot be copied is handed out as it is.

    Generators, connections and locks cannot be copied and have to flow all the same; whoever makes them
    for several steps makes them once for all of them.
    """
    kind = type(value)
    if kind in SHARED_TYPES:
        return value
    if kind in _FLAT and _is_flat(value):  # most small values, for which this is ten times as fast
        return value if kind in (tuple, frozenset) else value.copy()
    module = f"{kind.__module__}."
    if module.startswith(_IMMUTABLE_MODULES):
        return value
    try:
        if module.startswith("pandas.") and hasattr(value, "copy"):
            return value.copy(deep=not _copies_on_write())
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - foreign objects may raise anything when copied
        return value


def hand_to_each(value: Any, name: object) -> Any:
    """The same for what several steps take, each of which is to get all of it.

    Raises:
        WiringError: It is a generator or the like, and those who come later would find it empty.

    """
    found = hand_out(value)
    if found is value and isinstance(value, (Iterator, AsyncIterator)):
        kind = type(value).__qualname__
        message = f"{name!r} is a {kind}, which can be read only once, and several steps take it; make a list of it"
        raise WiringError(message)
    return found


def _is_flat(value: Any) -> bool:
    """Whether a container holds nothing that could be changed."""
    values = value.values() if type(value) is dict else ()
    return SHARED_TYPES.issuperset(map(type, value)) and SHARED_TYPES.issuperset(map(type, values))


def _copies_on_write() -> bool:
    """Whether pandas itself keeps a shallow copy apart from what it was made of, as it does since version 3."""
    pandas: Any = sys.modules["pandas"]
    return int(pandas.__version__.partition(".")[0]) >= 3  # noqa: PLR2004 - the version that the sentence above names
