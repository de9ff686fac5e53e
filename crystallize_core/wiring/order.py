"""The order of steps: each after those whose outputs it takes, otherwise as they were added."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

__all__ = ["Cycle", "cycles_of", "in_order", "units_of"]


class Cycle(Exception):  # noqa: N818 - it is caught and put into words at once
    """Steps that wait for each other; `steps` goes round once, with the first one at the end again."""

    def __init__(self, steps: list[int]) -> None:
        super().__init__(steps)
        self.steps = steps


def in_order(waits_for: Sequence[set[int]]) -> list[int]:
    """The numbers of the steps in the order in which they run; of those that may run, the one added first.

    Args:
        waits_for: For each step, the numbers of those that come before it.

    Raises:
        Cycle: Some wait for each other.

    """
    followers: list[list[int]] = [[] for _ in waits_for]
    open_count = [len(before) for before in waits_for]
    for number, before in enumerate(waits_for):
        for other in before:
            followers[other].append(number)
    ready = [number for number, count in enumerate(open_count) if not count]
    heapq.heapify(ready)
    found: list[int] = []
    while ready:
        number = heapq.heappop(ready)
        found.append(number)
        for follower in followers[number]:
            open_count[follower] -= 1
            if not open_count[follower]:
                heapq.heappush(ready, follower)
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


def units_of(waits_for: Sequence[set[int]], groups: Mapping[int, str]) -> list[list[int]]:
    """The steps as units that run in one go: those of an execution group together, as far as nothing comes between.

    A step joins the first unit of its group that it can join without making units wait for each other; where it
    can join none, the group goes on in another unit.

    Args:
        waits_for: For each step, the numbers of those that come before it; without cycles.
        groups: The execution group of those steps that have one.

    Returns:
        The units in the order in which they run, each with its steps in their order.

    """
    unit_of = list(range(len(waits_for)))
    of_group: dict[str, list[int]] = {}
    for number in in_order(waits_for):
        group = groups.get(number)
        if group is None:
            continue
        for unit in of_group.setdefault(group, []):
            before = unit_of[number]
            unit_of[number] = unit
            if _can_be_ordered(waits_for, unit_of):
                break
            unit_of[number] = before
        else:
            of_group[group].append(unit_of[number])
    order = in_order(waits_for)
    if not of_group:
        return [[number] for number in order]
    members: dict[int, list[int]] = {}
    for number in order:
        members.setdefault(unit_of[number], []).append(number)
    numbers = {unit: at for at, unit in enumerate(sorted(members, key=lambda unit: min(members[unit])))}
    units = sorted(members, key=lambda unit: numbers[unit])
    return [members[units[at]] for at in in_order(_between(waits_for, [numbers[unit] for unit in unit_of]))]


def _can_be_ordered(waits_for: Sequence[set[int]], unit_of: Sequence[int]) -> bool:
    try:
        in_order(_between(waits_for, unit_of))
    except Cycle:
        return False
    return True


def _between(waits_for: Sequence[set[int]], unit_of: Sequence[int]) -> list[set[int]]:
    """What units wait for, where units are numbered like steps."""
    found: list[set[int]] = [set() for _ in range(max(unit_of, default=-1) + 1)]
    for number, before in enumerate(waits_for):
        found[unit_of[number]] |= {unit_of[other] for other in before} - {unit_of[number]}
    return found
