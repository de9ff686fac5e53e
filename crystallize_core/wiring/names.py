"""The names of the steps of one pipeline."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["unique_names"]


def unique_names(names: Iterable[str]) -> list[str]:
    """The names, with `_2`, `_3`, … behind those that were there before."""
    taken: set[str] = set()
    counts: dict[str, int] = {}
    found = []
    for name in names:
        candidate, count = name, counts.get(name, 1)
        while candidate in taken:
            count += 1
            candidate = f"{name}_{count}"
        counts[name] = count
        taken.add(candidate)
        found.append(candidate)
    return found
