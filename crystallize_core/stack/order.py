"""The order of a stack: the project's list under the plugins' own constraints, and why each plugin stands where it does.

`ordered` and `places` are one algorithm: the second also keeps what the first decided by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final

import attrs

from crystallize_core.errors import PluginOrderError

__all__ = ["Constraint", "Place", "Reason", "Wish", "ordered", "places", "sentences", "turn"]

EVERYONE: Final = "*"


@attrs.frozen
class Constraint:
    """What a plugin says about its place: names that it comes before or after; `*` stands for all others."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@attrs.frozen
class Wish:
    """One name in the constraint of a plugin.

    Attributes:
        plugin: Who says it.
        word: `before` or `after`.
        other: The name that it says; `*` for all others.

    """

    plugin: str
    word: str
    other: str

    def __str__(self) -> str:
        return f"{self.plugin!r} says {self.word} = ({self.other!r},)"


@attrs.frozen
class Reason:
    """Why two plugins stand in another order than that of the list.

    Attributes:
        is_ahead: Whether the plugin that this is a reason for is the one that comes first.
        other: The other plugin.
        wish: What decided it.
        third: What the one that comes later has to wait for by that wish, where it is not the one that comes first.

    """

    is_ahead: bool
    other: str
    wish: Wish
    third: str | None = None


def sentences(reasons: Sequence[Reason]) -> list[str]:
    """Reasons in words; what was decided by the same wish is one sentence."""
    together: dict[tuple[bool, Wish, str | None], list[str]] = {}
    for reason in reasons:
        together.setdefault((reason.is_ahead, reason.wish, reason.third), []).append(repr(reason.other))
    found = []
    for (is_ahead, wish, third), others in together.items():
        named = " and ".join([", ".join(others[:-1]), others[-1]] if others[1:] else others)
        if is_ahead:
            waits = "" if third is None else f", which {'waits' if len(others) == 1 else 'wait'} for {third!r}"
            found.append(f"ahead of {named}{waits}, because {wish}")
        else:
            waits = "" if third is None else f"it waits for {third!r}, and "
            found.append(f"behind {named}, because {waits}{wish}")
    return found


@attrs.frozen
class Place:
    """Where a plugin stands.

    Attributes:
        name: The plugin.
        listed: Its place in the list, from 0.
        reasons: One for each plugin that the list has on the other side of it; none where the list decided.

    """

    name: str
    listed: int
    reasons: tuple[Reason, ...] = ()


def ordered(names: Sequence[str], constraints: Mapping[str, Constraint]) -> list[str]:
    """The names in the order of the list, changed only where a constraint says so.

    A name counts more than `*`, which means all others that the names leave free to be moved. Where two plugins
    both want to be before all others, the order of the list holds between them.
    Names that are not there are ignored: a constraint speaks of plugins that may be installed.

    Raises:
        PluginOrderError: The constraints contradict each other; the message shows the circle.

    """
    return _earliest_first(names, _wishes(names, constraints))


def places(names: Sequence[str], constraints: Mapping[str, Constraint]) -> list[Place]:
    """The same order, with the reasons for it.

    Raises:
        PluginOrderError: As above.

    """
    earlier = _wishes(names, constraints)
    order = _earliest_first(names, earlier)
    listed = {name: at for at, name in enumerate(names)}
    reasons: dict[str, list[Reason]] = {name: [] for name in order}
    for at, name in enumerate(order):
        for other in order[at + 1 :]:
            if listed[other] < listed[name]:
                wish, third = _held_back(other, name, earlier, order[at:])
                reasons[name].append(Reason(is_ahead=True, other=other, wish=wish, third=third))
                reasons[other].append(Reason(is_ahead=False, other=name, wish=wish, third=third))
    return [Place(name, listed[name], tuple(reasons[name])) for name in order]


def turn(place: int, *, first: bool, last: bool, unwinds: bool) -> tuple[int, int]:
    """What the implementations of a hook are sorted by.

    Args:
        place: The place of the plugin in the stack.
        first, last: Whether the implementation is marked `tryfirst` or `trylast`.
        unwinds: Whether the hook is called in the reverse order of the stack.

    """
    return last - first, -place if unwinds else place


_Earlier = dict[str, dict[str, Wish]]
"""Name -> what comes before it, and who says so."""


def _held_back(other: str, name: str, earlier: _Earlier, left: Sequence[str]) -> tuple[Wish, str | None]:
    """Why `other`, which the list has first, was not ready when `name` was placed, and whom else it waited for."""
    if name in earlier[other]:
        return earlier[other][name], None
    third = next(waiting for waiting in left if waiting in earlier[other])
    return earlier[other][third], third


def _wishes(names: Sequence[str], constraints: Mapping[str, Constraint]) -> _Earlier:
    said = {name: constraints.get(name, Constraint()) for name in names}
    first = {name for name in names if EVERYONE in said[name].before}
    last = {name for name in names if EVERYONE in said[name].after}
    earlier: _Earlier = {name: {} for name in names}
    for name, constraint in said.items():
        for other in constraint.before:
            if other in earlier and other != name:
                earlier[other].setdefault(name, Wish(name, "before", other))
        for other in constraint.after:
            if other in earlier and other != name:
                earlier[name].setdefault(other, Wish(name, "after", other))
    ahead = {name: _all_ahead(name, earlier) for name in names}
    for name in names:
        if name in first:
            for other in names:
                if other not in first and other not in ahead[name]:
                    earlier[other].setdefault(name, Wish(name, "before", EVERYONE))
        if name in last:
            for other in names:
                if other not in last and other not in first and name not in ahead[other]:
                    earlier[name].setdefault(other, Wish(name, "after", EVERYONE))
    return earlier


def _all_ahead(name: str, earlier: _Earlier) -> set[str]:
    """Everything that comes before it, directly or not."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = earlier[waiting.pop()].keys() - found
        found |= new
        waiting += new
    return found


def _earliest_first(names: Sequence[str], earlier: _Earlier) -> list[str]:
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
        refused = PluginOrderError(message)
        refused.names = tuple(error.args[1])  # type: ignore[attr-defined]  # of those in the circle
        raise refused from error
    place = {name: at for at, name in enumerate(names)}
    ready, found = list(sorter.get_ready()), []
    while ready:
        name = min(ready, key=place.__getitem__)
        ready.remove(name)
        found.append(name)
        sorter.done(name)
        ready += sorter.get_ready()
    return found
