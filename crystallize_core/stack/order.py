"""The order of a stack: the project's list under the plugins' own constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final

import attrs

from crystallize_core.errors import PluginOrderError

__all__ = ["Constraint", "ordered"]

EVERYONE: Final = "*"


@attrs.frozen
class Constraint:
    """What a plugin says about its place: names that it comes before or after; `*` stands for all others."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def ordered(names: Sequence[str], constraints: Mapping[str, Constraint]) -> list[str]:
    """The names in the order of the list, changed only where a constraint says so.

    A name counts more than `*`, which means all others that the names leave free to be moved. Where two plugins
    both want to be before all others, the order of the list holds between them.
    Names that are not there are ignored: a constraint speaks of plugins that may be installed.

    Raises:
        PluginOrderError: The constraints contradict each other; the message shows the circle.

    """
    first = {name for name in names if EVERYONE in constraints.get(name, Constraint()).before}
    last = {name for name in names if EVERYONE in constraints.get(name, Constraint()).after}
    earlier: dict[str, set[str]] = {name: set() for name in names}  # name -> what comes before it
    for name in names:
        constraint = constraints.get(name, Constraint())
        for other in constraint.before:
            if other in earlier and other != name:
                earlier[other].add(name)
        earlier[name] |= {other for other in constraint.after if other in earlier and other != name}
    ahead = {name: _all_ahead(name, earlier) for name in names}
    for name in names:
        if name in first:
            for other in names:
                if other not in first and other not in ahead[name]:
                    earlier[other].add(name)
        if name in last:
            earlier[name] |= {o for o in names if o not in last and o not in first and name not in ahead[o]}
    return _earliest_first(names, earlier)


def _all_ahead(name: str, earlier: Mapping[str, set[str]]) -> set[str]:
    """Everything that comes before it, directly or not."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = earlier[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _earliest_first(names: Sequence[str], earlier: Mapping[str, set[str]]) -> list[str]:
    # sorted, so that of several circles every machine shows the same
    sorter = TopologicalSorter({name: sorted(others) for name, others in earlier.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        message = (
            f"these plugins cannot be ordered, because each must come before the next: {circle}; "
            f"change before/after of one of them, or leave one out with disable = [...]"
        )
        raise PluginOrderError(message) from error
    place = {name: at for at, name in enumerate(names)}
    ready, found = list(sorter.get_ready()), []
    while ready:
        name = min(ready, key=place.__getitem__)
        ready.remove(name)
        found.append(name)
        sorter.done(name)
        ready += sorter.get_ready()
    return found
