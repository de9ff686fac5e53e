"""Accelerators: what a step asks for, which family a type belongs to, and which of several types is the best.

People and machines write the same device in many ways (`nvidia-tesla-v100`, `Tesla V100-SXM2-16GB`), so that types are
compared by the family that stands somewhere in them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from crystallize_core.errors import DefinitionError
from crystallize_core.quantities import attempted, count, quoted, read, size, table_of, word

__all__ = ["FAMILIES", "GPUConfig", "best_type", "family_of", "gpu_of"]

KEYS: Final = ("type", "count", "memory")

FAMILIES: Final[tuple[tuple[str, ...], ...]] = (
    (
        "k80", "m60", "p4", "p40", "p100", "t4", "v100", "l4", "a10", "a10g", "a30", "a40", "l40", "l40s", "a100", "h100",
        "gh200", "h200", "b100", "b200", "gb200", "b300", "gb300",
    ),
    ("mi50", "mi60", "mi100", "mi210", "mi250", "mi250x", "mi300a", "mi300x", "mi325x", "mi350x", "mi355x"),
    ("1080", "2080", "2080ti", "3080", "3090", "4090", "5090"),
)  # fmt: skip
"""Families that can stand for each other, each line from the weakest to the best: NVIDIA for data centres, AMD, GeForce.

Families of different lines are not compared: what was built for one does not run on the other, or nobody can say which
is better.
"""

_PLACES: Final = {family: (line, place) for line, row in enumerate(FAMILIES) for place, family in enumerate(row)}


def family_of(kind: str | None) -> str | None:
    """The family that the name of a type contains; None where it is not known."""
    words = re.findall(r"[a-z0-9]+", (kind or "").lower())
    return next((word for word in words if word in _PLACES), None)


def best_type(found: Sequence[tuple[str | None, int | None]]) -> str | None:
    """The best of several types, each with the bytes of memory that were asked for beside it.

    That of the best family where all of them can be compared, the first of those that are equally good. Otherwise the
    one that was asked for with the most memory, and where that does not decide either, the first.
    """
    typed = [(kind, memory or 0) for kind, memory in found if kind is not None]
    if not typed:
        return None
    places = [_PLACES.get(family_of(kind) or "") for kind, _ in typed]
    ranks = [place[1] for place in places if place is not None]
    lines = {place[0] for place in places if place is not None}
    if len(ranks) < len(typed) or len(lines) > 1:
        ranks = [0] * len(typed)
    # max() keeps the first of equals.
    return max(zip(ranks, typed, strict=True), key=lambda pair: (pair[0], pair[1][1]))[1][0]


def _read_type(value: Any) -> str | None:
    found: str | None = read("gpu type", word, value)
    return found


def _read_count(value: Any) -> int:
    found: int = read("gpu count", count, value)
    if not found:
        message = f"gpu count must be at least 1; found {quoted(value)}"
        raise DefinitionError(message)
    return found


def _read_memory(value: Any) -> int | None:
    found: int | None = read("gpu memory", size, value)
    return found


@attrs.frozen
class GPUConfig:
    """The accelerators that a step needs.

    Args:
        type: Which kind, such as `nvidia-tesla-v100`; None for any.
        count: How many, at least 1.
        memory: Bytes that each of them must have, also written as `"16Gi"`; None for any.

    Raises:
        DefinitionError: One of them is something else.

    """

    type: str | None = attrs.field(default=None, converter=_read_type)
    count: int = attrs.field(default=1, converter=_read_count)
    memory: int | None = attrs.field(default=None, converter=_read_memory)

    def to_dict(self) -> dict[str, Any]:
        """What was asked for, as plain values that `as_request` reads."""
        return {name: value for name, value in attrs.asdict(self).items() if value is not None}


def gpu_of(value: Any, number: Any) -> GPUConfig | None:
    """What `gpu` and `gpu_count` mean together.

    Raises:
        DefinitionError: One of them cannot be read, or they contradict each other; the message has a line for each.

    """
    problems: list[str] = []
    wanted = attempted(problems, lambda held: read("gpu_count", count, held), number)
    parts = _gpu_parts(problems, value)
    asked = parts.get("count")
    if not problems and None not in (asked, wanted) and asked != wanted:
        problems.append(f"gpu asks for {asked} and gpu_count for {wanted}; keep one of them")
    if problems:
        raise DefinitionError("\n  ".join(problems))
    found = next((told for told in (asked, wanted) if told is not None), int(value is not None))
    return GPUConfig(parts.get("type"), found, parts.get("memory")) if found else None


def _gpu_parts(problems: list[str], value: Any) -> dict[str, Any]:
    """Type, count and memory, as far as `gpu` says them."""
    if isinstance(value, GPUConfig):
        return value.to_dict()
    if isinstance(value, Mapping):
        table, more = table_of(value, KEYS, "gpu")
        problems += more
        readers = {"type": _read_type, "count": lambda held: read("gpu count", count, held), "memory": _read_memory}
        return {name: attempted(problems, readers[name], held) for name, held in table.items()}
    if isinstance(value, str) and not value.strip().isdecimal():
        return {"type": attempted(problems, lambda held: read("gpu", word, held), value)}
    if value is not None:
        return {"count": attempted(problems, lambda held: read("gpu", _number_of_gpus, held), value)}
    return {}


def _number_of_gpus(value: Any) -> int:
    try:
        return count(value)
    except ValueError:
        expected = 'how many, a type such as "nvidia-tesla-v100", a mapping with type, count and memory, or a GPUConfig'
        raise ValueError(f"must be {expected}; found {quoted(value)}") from None
