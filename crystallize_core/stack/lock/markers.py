"""What a distribution says that it needs: `name[extra]>=1; marker`, as in `Requires-Dist`.

Only names, extras and markers count here, because what is installed has been chosen already.
"""

from __future__ import annotations

import re
from typing import Final

import attrs
from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

__all__ = ["Needed", "holds", "normalized", "parse"]

_OF_PLATFORM: Final = re.compile(r"\b(?:os_name|sys_platform|platform_\w+|implementation_\w+)\b")


@attrs.frozen
class Needed:
    """One requirement.

    Attributes:
        name: The normalized name of the distribution.
        extras: The normalized extras of it that are asked for.
        marker: When it is needed; empty where always.

    """

    name: str
    extras: tuple[str, ...]
    marker: str

    @property
    def of_platform(self) -> bool:
        """Whether it is needed on some machines only."""
        return _OF_PLATFORM.search(self.marker) is not None


def normalized(name: str) -> str:
    """The name under which an index knows a distribution or an extra."""
    return str(canonicalize_name(name))


def parse(text: str) -> Needed | None:
    """A requirement; None where it cannot be read."""
    try:
        found = Requirement(text)
    except InvalidRequirement:
        return None
    marker = "" if found.marker is None else str(found.marker)
    return Needed(normalized(found.name), tuple(sorted(map(normalized, found.extras))), marker)


def holds(marker: str, extra: str = "") -> bool:
    """Whether a marker is true here; one that cannot be read is: what is not installed is left out in any case."""
    if not marker:
        return True
    try:
        return Marker(marker).evaluate({"extra": extra})
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName):
        return True
