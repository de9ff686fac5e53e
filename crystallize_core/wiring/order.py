"""The order of steps: each after those whose outputs it takes, otherwise as they were added."""

from __future__ import annotations

import functools
import heapq
import operator
from collections.abc import Collection, Mapping, Sequence

__all__ = ["Cycle", "cycles_of", "in_order", "units_of"]


class Cycle(Exception):  # noqa: N818 - it is caught and put into words at once
    """Steps that wait for each other; `steps` goes round once, with the first one at the end again."""

    def __init__(self, steps: list[int]) -> None:
        super().__init__(steps)
        self.steps = steps


def in_order(waits_for: Sequence[set[int]], late: Collection[int] = ()) -> list[int]:
    """The numbers of the steps in the order in which they run; of those that may run, the one added first.

    Args:
        waits_for: For each step, the numbers of those that come before it.
        late: Those that run only when no others may run.

    Raises:
        Cycle: Some wait for each other.

    """
    followers: list[list[int]] = [[] for _ in waits_for]
    open_count = [len(before) for before in waits_for]
    for number, before in enumerate(waits_for):
        for other in before:
            followers[other].append(number)
    ready = [(number in late, number) for number, count in enumerate(open_count) if not count]
    heapq.heapify(ready)
    found: list[int] = []
    while ready:
        _, number = heapq.heappop(ready)
        found.append(number)
        for follower in followers[number]:
            open_count[follower] -= 1
            if not open_count[follower]:
                heapq.heappush(ready, (follower in late, follower))
    if len(found) < len(waits_for):
        raise Cycle(_one_cycle(waits_for, set(range(len(waits_for))) - set(found)))
    return found


def cycles_of(waits_for: Sequence[set[int]]) -> list[list[int]]:
    """Cycles, each with its first step at the end again, so that no step is in two; none if there is an order.

    Args:
        waits_for: As for `in_order`.

    """
    left, found = list(waits_for), []
    while True:
        try:
            in_order(left)
        except Cycle as cycle:
            found.append(cycle.steps)
            for number in cycle.steps:  # as if it had been mended
                left[number] = set()
        else:
            return found


def _one_cycle(waits_for: Sequence[set[int]], left: set[int]) -> list[int]:
    """Some cycle among the steps that could not be put in order, from maker to taker."""
    # Each of them waits for another of them, so that walking on must come back to where it was before.
    walked = [min(left)]
    while True:
        before = min(waits_for[walked[-1]] & left)
        if before in walked:
            return [before, *reversed(walked[walked.index(before) :])]
        walked.append(before)


def units_of(waits_for: Sequence[set[int]], groups: Mapping[int, str], late: Collection[int] = ()) -> list[list[int]]:
    """The steps as units that run in one go: those of an execution group together, as far as nothing comes between.

    A step joins the first unit of its group that it can join without making units wait for each other; where it
    can join none, the group goes on in another unit.

    Args:
        waits_for: For each step, the numbers of those that come before it; without cycles.
        groups: The execution group of those steps that have one.
        late: The steps that run only when no others may run, and units with one of them.

    Returns:
        The units in the order in which they run, each with its steps in their order.

    """
    order = in_order(waits_for, late)
    unit_of = _joined(waits_for, groups, order)
    members: dict[int, list[int]] = {}
    for number in order:
        members.setdefault(unit_of[number], []).append(number)
    numbers = {unit: at for at, unit in enumerate(sorted(members, key=lambda unit: min(members[unit])))}
    units = sorted(members, key=lambda unit: numbers[unit])
    late_units = {numbers[unit_of[number]] for number in late}
    between = _between(waits_for, [numbers[unit] for unit in unit_of])
    return [members[units[at]] for at in in_order(between, late_units)]


def _joined(waits_for: Sequence[set[int]], groups: Mapping[int, str], order: Sequence[int]) -> list[int]:
    """The unit of each step, which is the number of the first step of that unit."""
    unit_of = list(range(len(waits_for)))
    before = [0] * len(waits_for)  # for each unit, those that come before it, as bits
    of_group: dict[str, list[int]] = {}
    for number in order:
        makers = {unit_of[other] for other in waits_for[number]}
        earlier = functools.reduce(operator.or_, (before[maker] for maker in makers), 0)
        needed = functools.reduce(operator.or_, (1 << maker for maker in makers), earlier)
        units = of_group.setdefault(groups[number], []) if number in groups else []
        # Had it joined a unit that comes before one of which it takes something, both would wait for each other.
        unit = next((candidate for candidate in units if not earlier >> candidate & 1), None)
        if unit is None:
            before[number] = needed
            units.append(number)
            continue
        unit_of[number] = unit
        needed = (needed | before[unit]) & ~(1 << unit)
        for other in {unit, *(other for other in unit_of if before[other] >> unit & 1)}:
            before[other] |= needed
    return unit_of


def _between(waits_for: Sequence[set[int]], unit_of: Sequence[int]) -> list[set[int]]:
    """What units wait for, where units are numbered like steps."""
    found: list[set[int]] = [set() for _ in range(max(unit_of, default=-1) + 1)]
    for number, before in enumerate(waits_for):
        found[unit_of[number]] |= {unit_of[other] for other in before} - {unit_of[number]}
    return found
