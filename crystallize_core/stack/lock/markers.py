"""What a distribution says that it needs: `name[extra]>=1; marker`, as in `Requires-Dist`.

Only names, extras and markers count here, because what is installed has been chosen already. `packaging` would read
this as well, but the core must not depend on whether somebody has it: with it and without it the lock has to be the same.
"""

from __future__ import annotations

import ast
import functools
import os
import platform
import re
import sys
from typing import Final

import attrs

__all__ = ["Needed", "holds", "normalized", "parse"]

_REQUIREMENT: Final = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[([^\]]*)\])?(.*)", re.DOTALL)
_OF_PLATFORM: Final = re.compile(r"\b(?:os_name|sys_platform|platform_\w+|implementation_\w+)\b")
_VERSIONS: Final = ("python_version", "python_full_version", "implementation_version")


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
    return re.sub(r"[-_.]+", "-", name).lower()


def parse(text: str) -> Needed | None:
    """A requirement; None where it cannot be read."""
    found = _REQUIREMENT.match(text)
    if found is None:
        return None
    name, extras, rest = found.groups()
    # In a URL a semicolon is part of the address unless a space stands before it.
    _, _, marker = rest.partition(" ;" if rest.lstrip().startswith("@") else ";")
    wanted = sorted(normalized(extra.strip()) for extra in (extras or "").split(",") if extra.strip())
    return Needed(normalized(name), tuple(wanted), marker.strip())


def holds(marker: str, extra: str = "") -> bool:
    """Whether a marker is true here; one that cannot be read is."""
    if not marker:
        return True
    try:
        tree = ast.parse(marker.replace("===", "==").strip(), mode="eval")
    except SyntaxError:  # such as `~=`: what is not installed is left out in any case
        return True
    return _truth(tree.body, extra)


def _truth(node: ast.expr, extra: str) -> bool:
    if isinstance(node, ast.BoolOp):
        values = (_truth(value, extra) for value in node.values)
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return True
    names = [side.id for side in (node.left, node.comparators[0]) if isinstance(side, ast.Name)]
    left, right = (_text(side, extra) for side in (node.left, node.comparators[0]))
    if left is None or right is None:
        return True
    if "extra" in names:
        left, right = normalized(left), normalized(right)
    return _compared(node.ops[0], left, right, as_versions=any(name in _VERSIONS for name in names))


def _text(node: ast.expr, extra: str) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        return extra if node.id == "extra" else _environment().get(node.id)
    return None


def _compared(operator: ast.cmpop, left: str, right: str, *, as_versions: bool) -> bool:
    if isinstance(operator, ast.In):
        return left in right
    if isinstance(operator, ast.NotIn):
        return left not in right
    order = _order(_version(left), _version(right)) if as_versions else _order(left, right)
    wanted: dict[type[ast.cmpop], bool] = {
        ast.Eq: order == 0,
        ast.NotEq: order != 0,
        ast.Lt: order < 0,
        ast.LtE: order <= 0,
        ast.Gt: order > 0,
        ast.GtE: order >= 0,
    }
    return wanted.get(type(operator), True)


def _order(left: str | tuple[int, ...], right: str | tuple[int, ...]) -> int:
    return (left > right) - (left < right)  # type: ignore[operator]  # both are of one type


def _version(text: str) -> tuple[int, ...]:
    """The numbers of a version, so that 3.9 comes before 3.10, and 3.11 is 3.11.0."""
    numbers = [int(number) for number in re.findall(r"\d+", re.split(r"[a-z+]", text, maxsplit=1)[0])]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


@functools.cache
def _environment() -> dict[str, str]:
    version = sys.implementation.version
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": ".".join(map(str, version[:3])),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": ".".join(map(str, sys.version_info[:2])),
        "sys_platform": sys.platform,
    }
