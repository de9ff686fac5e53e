"""Which boxes stand side by side, and in which order: layers with few crossings between them.

A long arrow gets a *bend* in every layer that it passes, so that it has a way of its own between the boxes.
All arrows of a source share their bends: they carry its values, and one line that branches is easier to
follow than many that run beside each other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

import attrs

__all__ = ["Layers", "in_layers"]

SWEEPS: Final = 8
MOST_BENDS: Final = 8_000
"""Beyond this the longest arrows get no bends: they go straight, and below the boxes, but the layout stays fast."""
MOST_SWAPPED: Final = 400
"""So many points are worth trying each pair of neighbours; it is what takes time in a large graph."""


@attrs.frozen
class Layers:
    """Points in layers: first the boxes by their numbers, then the bends.

    Args:
        boxes: How many points are boxes.
        layers: The points of each layer in their order.
        above: For every point those of the layer above that lead to it.
        below: For every point those of the layer below that it leads to.
        routes: For every arrow, as the numbers of source and target, the points on its way. It begins where
            it leaves the way of another arrow from the same source.

    """

    boxes: int
    layers: list[list[int]]
    above: list[list[int]]
    below: list[list[int]]
    routes: dict[tuple[int, int], list[int]]


def in_layers(boxes: int, arrows: Iterable[tuple[int, int]]) -> Layers:
    """Put the boxes 0 to `boxes` - 1 into layers, so that every arrow goes to a lower one.

    Args:
        boxes: How many there are.
        arrows: The numbers of source and target, each pair once; the source has the smaller number.

    """
    pairs = sorted(arrows)
    depths = _depths(boxes, pairs)
    found = Layers(boxes, [], [[] for _ in range(boxes)], [[] for _ in range(boxes)], {})
    _add_bends(found, pairs, depths)
    _fill_in_order_of_visits(found, depths)
    _reduce_crossings(found)
    return found


def _depths(boxes: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """The length of the longest way to each box; what nothing leads to stands right above the first that needs it."""
    depths = [0] * boxes
    nearest = [boxes] * boxes
    for source, target in sorted(pairs, key=lambda pair: pair[1]):
        depths[target] = max(depths[target], depths[source] + 1)
    for source, target in pairs:
        nearest[source] = min(nearest[source], depths[target])
    led_to = {target for _, target in pairs}
    for box in range(boxes):
        if box not in led_to and nearest[box] < boxes:
            depths[box] = nearest[box] - 1
    return depths


def _add_bends(found: Layers, pairs: Sequence[tuple[int, int]], depths: list[int]) -> None:
    """Connect the points; `depths` grows by those of the bends."""
    shared: dict[tuple[int, int], int] = {}  # by source and depth
    for source, target in sorted(pairs, key=lambda pair: (depths[pair[1]] - depths[pair[0]], pair)):
        last = source
        way = [source]
        needed = [(source, depth) for depth in range(depths[source] + 1, depths[target])]
        known = sum(bend in shared for bend in needed)
        if len(shared) + len(needed) - known > MOST_BENDS:
            found.routes[source, target] = [source, target]
            continue
        for bend in needed:
            if bend in shared:
                last = shared[bend]
                way = [last]
                continue
            point = len(depths)
            shared[bend] = point
            depths.append(bend[1])
            found.above.append([])
            found.below.append([])
            _connect(found, last, point)
            way.append(point)
            last = point
        _connect(found, last, target)
        found.routes[source, target] = [*way, target]


def _connect(found: Layers, upper: int, lower: int) -> None:
    found.below[upper].append(lower)
    found.above[lower].append(upper)


def _fill_in_order_of_visits(found: Layers, depths: Sequence[int]) -> None:
    """Put what belongs together next to each other: a point is visited right after the one that leads to it."""
    found.layers.extend([] for _ in range(max(depths, default=-1) + 1))
    seen = [False] * len(depths)
    for root in range(found.boxes):
        waiting = [] if found.above[root] else [root]
        while waiting:
            point = waiting.pop()
            if not seen[point]:
                seen[point] = True
                found.layers[depths[point]].append(point)
                waiting += reversed(found.below[point])


def _reduce_crossings(found: Layers) -> None:
    """Move every point to the middle of what it is connected to, down and up in turns, and keep the best order."""
    layers = found.layers
    best, fewest = [list(layer) for layer in layers], _crossings(found)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        downwards = sweep % 2 == 0
        neighbours = found.above if downwards else found.below
        steps = range(1, len(layers)) if downwards else range(len(layers) - 2, -1, -1)
        for at in steps:
            _sort_by_middle(layers[at], layers[at - 1 if downwards else at + 1], neighbours)
        if len(found.above) <= MOST_SWAPPED:
            _swap_neighbours(found)
        crossings = _crossings(found)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    layers[:] = best


def _sort_by_middle(layer: list[int], fixed: Sequence[int], neighbours: Sequence[Sequence[int]]) -> None:
    places = {point: at for at, point in enumerate(fixed)}
    middles = {
        point: sum(places[other] for other in neighbours[point]) / len(neighbours[point])
        for point in layer
        if neighbours[point]
    }
    moved = iter(sorted(middles, key=middles.__getitem__))
    layer[:] = [next(moved) if point in middles else point for point in layer]


def _swap_neighbours(found: Layers) -> None:
    """Swap two points beside each other wherever that saves a crossing, until nothing is saved any more."""
    places = {point: at for layer in found.layers for at, point in enumerate(layer)}
    for _ in range(SWEEPS):
        improved = False
        for layer in found.layers:
            for at in range(len(layer) - 1):
                left, right = layer[at], layer[at + 1]
                now = saved = 0
                for sides in (found.above, found.below):
                    for one in sides[left]:
                        for other in sides[right]:
                            now += places[one] > places[other]
                            saved += places[one] < places[other]
                if saved < now:
                    layer[at], layer[at + 1] = right, left
                    places[left], places[right] = at + 1, at
                    improved = True
        if not improved:
            break


def _crossings(found: Layers) -> int:
    """How many pairs of lines cross between all neighbouring layers."""
    count = 0
    for upper, lower in zip(found.layers, found.layers[1:], strict=False):
        places = {point: at for at, point in enumerate(lower)}
        passed: list[int] = []
        for point in upper:
            ends = sorted(places[other] for other in found.below[point])
            for end in ends:
                count += len(passed) - bisect_right(passed, end)
            for end in ends:
                passed.insert(bisect_right(passed, end), end)
    return count
