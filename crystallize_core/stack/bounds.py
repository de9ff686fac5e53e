"""Whether this core is one that a distribution says it needs.

Every run asks, and importing `packaging` would take longer than all of the answer; `crystallize plugins doctor` asks that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

__all__ = ["bounds", "unmet"]

_Release = tuple[int, ...]
_REQUIREMENT: Final = re.compile(
    r"crystallize[-_.]core\s*(?:\[[^\]]*\])?\s*\(?(?P<bounds>(?:[~=!<>][^;()@]*)?)\)?\s*(;.*)?", re.IGNORECASE
)
_BOUND: Final = re.compile(r"(?P<operator>~=|===|==|!=|<=|>=|<|>)\s*(?P<version>[^\s,]+)")


def bounds(requirements: Iterable[str]) -> list[str]:
    """What requirements say about the version of the core, such as `>=0.3,<1`; those of extras are left out."""
    found = []
    for requirement in requirements:
        matched = _REQUIREMENT.fullmatch(requirement.strip())
        if matched is not None and "extra" not in requirement.partition(";")[2]:
            found.append(re.sub(r"\s+", "", matched["bounds"]))
    return found


def unmet(requirements: Iterable[str], version: str) -> str | None:
    """The requirement on the core that this version of it does not meet, or None.

    Only the numbers of releases are compared; what is written in another way counts as met, because whoever installed
    the distribution has compared it with more care.

    """
    here = None if version.endswith("unknown") else _release(version)
    for found in bounds(requirements):
        if here is not None and not all(_is_met(bound, here) for bound in _BOUND.finditer(found)):
            return f"crystallize-core{found}"
    return None


def _release(version: str) -> _Release | None:
    matched = re.match(r"\s*v?(\d+(?:\.\d+)*)", version)
    return None if matched is None else tuple(map(int, matched[1].split(".")))


def _is_met(bound: re.Match[str], here: _Release) -> bool:
    is_prefix = bound["version"].endswith(".*")
    there = _release(bound["version"].removesuffix(".*"))
    compare = _OPERATORS.get(bound["operator"])
    if there is None or compare is None:
        return True
    if is_prefix:
        here = here[: len(there)]
    length = max(len(here), len(there))
    return compare(_filled(here, length), _filled(there, length), len(there))


def _filled(release: _Release, length: int) -> _Release:
    return release + (0,) * (length - len(release))


def _is_compatible(here: _Release, there: _Release, length: int) -> bool:
    return here >= there and here[: length - 1] == there[: length - 1]


_OPERATORS: Final[Mapping[str, Callable[[Any, Any, int], bool]]] = {
    "~=": _is_compatible,
    "==": lambda here, there, _: here == there,
    "!=": lambda here, there, _: here != there,
    "<=": lambda here, there, _: here <= there,
    ">=": lambda here, there, _: here >= there,
    "<": lambda here, there, _: here < there,
    ">": lambda here, there, _: here > there,
}
