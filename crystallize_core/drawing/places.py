"""Where boxes and lines are: layers with coordinates, from top to bottom or from left to right.

Everything is computed in two directions of its own: *along* the layers, in which the arrows go, and *across*
them. Only at the end it is decided which of the two is x.

No line crosses a box: a bend is a straight piece along the whole layer, between the boxes, with room beside
it like a box has; and where a line moves across, it is between two layers, where no boxes are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs

from crystallize_core.drawing.layers import Layers

__all__ = ["Place", "Plan", "placed"]

SWEEPS: Final = 10
LEAST_SWEEPS: Final = 3
MOST_POINTS: Final = 1_500
"""Where there are more, fewer sweeps have to do: nobody looks at all of it at once."""
ROOM: Final = {False: 28.0, True: 16.0}
"""Between two boxes side by side; less where they lie below each other."""
ROOM_OF_LINE: Final = 14.0
PORTS: Final = 16.0
"""Between the ends of two arrows at one box, where it is wide enough."""
STRAIGHT: Final = (1.0, 2.0, 12.0)
"""How much a line wants to be straight that connects two boxes, a box and a bend, or two bends."""
BRANCH: Final = 0.1
"""The same where a line leaves one that goes on: a source that all steps use must not draw all of them aside."""
UNTIED: Final = 0.1
"""How much a point wants to stay where it is that nothing pulls."""
ALMOST: Final = 24.0
"""A line that misses being straight by less than this is made straight, where there is room."""
GAP: Final = 40.0
"""Between two layers."""
SLOPE: Final = 0.1
MOST_SLOPE: Final = {False: 60.0, True: 160.0}
"""What is added to the gap for lines that go far across: this part of how far, and at most so much."""


@attrs.frozen
class Place:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Where it ends."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Where it ends."""
        return self.y + self.height

    def touches(self, other: Place) -> bool:
        """Whether the two have more in common than an edge."""
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom


@attrs.frozen
class Plan:
    """Where everything is.

    Args:
        width, height: Of the whole.
        is_sideways: Whether the layers follow each other from left to right.
        places: Of the boxes, in their order.
        lines: Of the arrows, as pairs of points: straight from the first to the second, then a curve to the
            first of the next pair, and so on.

    """

    width: float
    height: float
    is_sideways: bool
    places: list[Place]
    lines: dict[tuple[int, int], list[tuple[float, float]]]


def placed(
    found: Layers,
    sizes: Sequence[tuple[float, float]],
    runs: Sequence[tuple[float, float]] | None = None,
    *,
    is_sideways: bool,
) -> Plan:
    """Find a place for everything.

    Args:
        found: The points in layers.
        sizes: Width and height of the boxes.
        runs: How long the straight ends of lines are before each layer and behind it, for their labels; none
            by default.
        is_sideways: Whether layers follow each other from left to right, and not from top to bottom.

    """
    bends = [0.0] * (len(found.above) - found.boxes)
    across = [size[1 if is_sideways else 0] for size in sizes] + bends
    along = [size[0 if is_sideways else 1] for size in sizes] + bends
    ports = _ports(found, across)
    middles = _middles(found, across, ports, ROOM[is_sideways])
    spans = _spans(found, along, runs or [(0.0, 0.0)] * len(found.layers), middles, MOST_SLOPE[is_sideways])
    width = max((middle + wide / 2 for middle, wide in zip(middles, across, strict=True)), default=0.0)
    height = spans[-1][2] if spans else 0.0
    depths = {point: at for at, layer in enumerate(found.layers) for point in layer}
    places = [
        (middles[box] - across[box] / 2, spans[depths[box]][1], across[box], along[box]) for box in range(found.boxes)
    ]
    lines = {
        arrow: list(_line(route, found.boxes, middles, along, [spans[depths[p]] for p in route], ports))
        for arrow, route in found.routes.items()
    }
    if not is_sideways:
        return Plan(width, height, is_sideways, [Place(*place) for place in places], lines)
    return Plan(
        height,
        width,
        is_sideways,
        [Place(y, x, h, w) for x, y, w, h in places],
        {arrow: [(y, x) for x, y in line] for arrow, line in lines.items()},
    )


def _ports(found: Layers, across: Sequence[float]) -> dict[tuple[int, int], float]:
    """How far from the middle of its target each line ends, where several end at the same box."""
    order = {point: at for layer in found.layers for at, point in enumerate(layer)}
    ports: dict[tuple[int, int], float] = {}
    for box in range(found.boxes):
        sources = sorted(found.above[box], key=order.__getitem__)
        distance = min(PORTS, 0.8 * across[box] / max(len(sources), 1))
        for at, source in enumerate(sources):
            ports[source, box] = (at - (len(sources) - 1) / 2) * distance
    return ports


def _middles(
    found: Layers, across: Sequence[float], ports: Mapping[tuple[int, int], float], room: float
) -> list[float]:
    """The coordinate across the layers of every point: close to what it is connected to, in the given order."""
    middles = [0.0] * len(across)
    distances = {
        (left, right): (across[left] + across[right]) / 2 + (room if max(left, right) < found.boxes else ROOM_OF_LINE)
        for layer in found.layers
        for left, right in itertools.pairwise(layer)
    }
    pulls = _pulls(found, ports)
    for layer in found.layers:
        gaps = [distances[pair] for pair in itertools.pairwise(layer)]
        for point, middle in zip(layer, itertools.accumulate(gaps, initial=-sum(gaps) / 2), strict=True):
            middles[point] = middle
    both = [above + below for above, below in zip(*pulls, strict=True)]
    downwards, upwards = found.layers[1:], found.layers[-2::-1]
    sweeps = SWEEPS if len(middles) <= MOST_POINTS else LEAST_SWEEPS
    rounds = [(downwards, pulls[0]), (upwards, pulls[1])] * sweeps + [(found.layers, both), (upwards, both)] * 2
    for layers, pull in rounds:
        for layer in layers:
            _settle(layer, middles, distances, pull)
    for layers, pull in [(upwards, pulls[1]), (downwards, pulls[0])] * 2:
        for layer in layers:
            _straighten(layer, middles, distances, pull)
    left = min((middle - width / 2 for middle, width in zip(middles, across, strict=True)), default=0.0)
    return [middle - left for middle in middles]


def _pulls(
    found: Layers, ports: Mapping[tuple[int, int], float]
) -> tuple[list[list[tuple[int, float, float]]], list[list[tuple[int, float, float]]]]:
    """For every point what pulls it from above, and from below: another point, how far from there, and how much."""
    above: list[list[tuple[int, float, float]]] = [[] for _ in found.above]
    below: list[list[tuple[int, float, float]]] = [[] for _ in found.above]
    for upper, ends in enumerate(found.below):
        goes_on = upper >= found.boxes and any(lower >= found.boxes for lower in ends)
        for lower in ends:
            # Between two boxes it would move each step of a chain a little farther to the same side.
            port = 0.0 if max(upper, lower) < found.boxes else ports.get((upper, lower), 0.0)
            much = (
                BRANCH if goes_on and lower < found.boxes else STRAIGHT[(upper >= found.boxes) + (lower >= found.boxes)]
            )
            above[lower].append((upper, -port, much))
            below[upper].append((lower, port, much))
    return above, below


def _settle(
    layer: Sequence[int],
    middles: list[float],
    distances: Mapping[tuple[int, int], float],
    pulls: Sequence[Sequence[tuple[int, float, float]]],
) -> None:
    """Move the points of one layer as close as possible to where they are pulled, by the squares of the distances.

    Without the distances that they have to keep, each would go to the mean. With them it is a regression with
    values that never decrease: neighbours that would collide form a block that goes to its common mean.
    """
    blocks: list[tuple[float, float, int]] = []  # the sum of weights, of weighted places, and how many points
    shifts = list(itertools.accumulate((distances[pair] for pair in itertools.pairwise(layer)), initial=0.0))
    for point, shift in zip(layer, shifts, strict=True):
        weight = sum(much for _, _, much in pulls[point])
        wanted = sum(much * (middles[other] + far) for other, far, much in pulls[point])
        if not weight:
            weight, wanted = UNTIED, UNTIED * middles[point]
        block = weight, wanted - weight * shift, 1
        while blocks and blocks[-1][1] * block[0] >= block[1] * blocks[-1][0]:
            last = blocks.pop()
            block = last[0] + block[0], last[1] + block[1], last[2] + block[2]
        blocks.append(block)
    settled = itertools.chain.from_iterable(itertools.repeat(total / weight, n) for weight, total, n in blocks)
    for point, shift, place in zip(layer, shifts, settled, strict=True):
        middles[point] = place + shift


def _straighten(
    layer: Sequence[int],
    middles: list[float],
    distances: Mapping[tuple[int, int], float],
    pulls: Sequence[Sequence[tuple[int, float, float]]],
) -> None:
    """Remove small kinks: a point goes all the way to the one that pulls it most, if its neighbours allow it."""
    for at, point in enumerate(layer):
        if not pulls[point]:
            continue
        other, far, _ = max(pulls[point], key=lambda pull: pull[2])
        wanted = middles[other] + far
        least = middles[layer[at - 1]] + distances[layer[at - 1], point] if at else -math.inf
        most = middles[layer[at + 1]] - distances[point, layer[at + 1]] if at + 1 < len(layer) else math.inf
        if abs(wanted - middles[point]) < ALMOST and least <= wanted <= most:
            middles[point] = wanted


def _spans(
    found: Layers,
    along: Sequence[float],
    runs: Sequence[tuple[float, float]],
    middles: Sequence[float],
    most: float,
) -> list[tuple[float, float, float]]:
    """Where lines begin to be straight before each layer, where its boxes begin, and where lines may bend again.

    There is more room behind a layer from which lines go far across.
    """
    spans: list[tuple[float, float, float]] = []
    start = 0.0
    for layer, (before, behind) in zip(found.layers, runs, strict=True):
        begin = start + before
        end = begin + max(along[point] for point in layer) + behind
        spans.append((start, begin, end))
        farthest = max((abs(middles[p] - middles[other]) for p in layer for other in found.below[p]), default=0.0)
        start = end + GAP + min(farthest * SLOPE, most)
    return spans


def _line(
    route: Sequence[int],
    boxes: int,
    middles: Sequence[float],
    along: Sequence[float],
    spans: Sequence[tuple[float, float, float]],
    ports: Mapping[tuple[int, int], float],
) -> Iterator[tuple[float, float]]:
    first, last = route[0], route[-1]
    _, begin, end = spans[0]
    yield middles[first], begin + along[first] if first < boxes else end
    yield middles[first], end
    for bend, (start, _, end) in zip(route[1:-1], spans[1:-1], strict=True):
        yield middles[bend], start
        yield middles[bend], end
    port = middles[last] + ports.get((route[-2], last), 0.0)
    yield port, spans[-1][0]
    yield port, spans[-1][1]
