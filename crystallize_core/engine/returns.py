"""What a step may return: a value, `(value, {"metric": number})`, an asset, or something to await."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from crystallize_core.state import SHARED_TYPES, Metric, checked_metric

__all__ = ["AWAITABLE", "PAIR", "PLAIN", "PLAIN_TYPES", "is_awaitable", "kind_of", "split_metrics"]

PLAIN: Final = 0
PAIR: Final = 1
AWAITABLE: Final = 2
_kinds: dict[type, int] = {}
"""What to do with an output, by its type."""
PLAIN_TYPES: Final[set[type]] = set()
"""The types of outputs with which there is nothing to do, which is asked for every step."""
MOST_TYPES: Final = 10_000
"""Types that are made in a loop must not fill the memory."""
METRICS_PAIR: Final = 2


def kind_of(kind: type) -> int:
    """What to do with an output of this type."""
    found = _kinds.get(kind)
    if found is not None:
        return found
    if issubclass(kind, tuple) and not hasattr(kind, "_fields"):
        found = PAIR
    elif hasattr(kind, "__await__") or issubclass(kind, type(_generator_coroutine())):
        found = AWAITABLE
    else:
        found = PLAIN
    if len(_kinds) < MOST_TYPES:
        _kinds[kind] = found
        if found == PLAIN:
            PLAIN_TYPES.add(kind)
    return found


def is_awaitable(value: Any) -> bool:
    """Whether it is something to await, by its type."""
    return kind_of(type(value)) == AWAITABLE


def _generator_coroutine() -> Any:
    coroutine = _nothing()
    coroutine.close()
    return coroutine


async def _nothing() -> None:
    """Gives its type to the table above."""


def split_metrics(output: Any) -> tuple[Any, list[Metric] | None]:
    """The output and None; of `(output, {"metric": value})` the first half and the metrics."""
    if type(output) is not tuple or len(output) != METRICS_PAIR or not isinstance(output[1], Mapping):
        return output, None
    return output[0], [
        (name, value, None)
        if type(value) in SHARED_TYPES and type(name) is str and name
        else checked_metric(name, value)
        for name, value in output[1].items()
    ]
