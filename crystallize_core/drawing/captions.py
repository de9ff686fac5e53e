"""Where the labels of arrows go: beside their line, where they cover no box, no other label and few other lines."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from crystallize_core.drawing.places import Place, Plan

__all__ = ["caption_places", "curve_point"]

HEIGHT: Final = 14.0
BESIDE: Final = 5.0
CELL: Final = 40.0
DOT: Final = 4.0  # less than a label keeps away from its own line, which must not count as covered
SAMPLE: Final = 8.0
MOST_SAMPLES: Final = 100_000
"""Of all lines together; in a large picture they are farther apart."""
MOST_CANDIDATES: Final = 24
MOST_COVERED: Final = 6
"""Dots of lines that a label may lie on; beyond that nobody could tell whose label it is."""
Line = Sequence[tuple[float, float]]


class _Board:
    """What has been put where, in cells, so that looking up is quick however large the picture is."""

    def __init__(self) -> None:
        self._places: dict[tuple[int, int], list[Place]] = {}
        self._dots: Counter[tuple[int, int]] = Counter()

    def put(self, place: Place) -> None:
        for cell in _cells(place, CELL):
            self._places.setdefault(cell, []).append(place)

    def draw(self, x: float, y: float) -> None:
        self._dots[int(x // DOT), int(y // DOT)] += 1

    def is_taken(self, place: Place) -> bool:
        return any(other.touches(place) for cell in _cells(place, CELL) for other in self._places.get(cell, ()))

    def covered(self, place: Place) -> int:
        """How many dots of lines are below the letters of a label there."""
        letters = Place(place.x, place.y + DOT, place.width, place.height - 2 * DOT)
        return sum(self._dots[cell] for cell in _cells(letters, DOT) if cell in self._dots)


def _cells(place: Place, size: float) -> Iterator[tuple[int, int]]:
    columns = range(int(place.x // size), int(place.right // size) + 1)
    return itertools.product(columns, range(int(place.y // size), int(place.bottom // size) + 1))


def curve_point(
    start: tuple[float, float], end: tuple[float, float], at: float, *, is_sideways: bool
) -> tuple[float, float]:
    """A point on the curve between two layers, `at` from 0 to 1."""
    bent, even = at * at * (3 - 2 * at), at * (1.5 - 1.5 * at + at * at)
    x, y = (even, bent) if is_sideways else (bent, even)
    return start[0] + (end[0] - start[0]) * x, start[1] + (end[1] - start[1]) * y


def caption_places(plan: Plan, widths: Mapping[tuple[int, int], float]) -> dict[tuple[int, int], Place]:
    """A place for the label of each arrow; none where there is no room.

    Args:
        plan: Where boxes and lines are.
        widths: How wide the label of each arrow is.

    """
    board = _Board()
    for place in plan.places:
        board.put(place)
    if widths:
        _draw(board, plan)
    found: dict[tuple[int, int], Place] = {}
    for arrow, width in widths.items():
        fewest = MOST_COVERED + 1
        for place in itertools.islice(_candidates(plan, plan.lines[arrow], width), MOST_CANDIDATES):
            if fewest and not board.is_taken(place) and (covered := board.covered(place)) < fewest:
                found[arrow], fewest = place, covered
        if arrow in found:
            board.put(found[arrow])
    return found


def _draw(board: _Board, plan: Plan) -> None:
    """Dots along all lines, close enough to each other that no label falls between two."""
    most = MOST_SAMPLES // sum(map(len, plan.lines.values()))
    for line in plan.lines.values():
        for at, (start, end) in enumerate(itertools.pairwise(line)):
            length = abs(end[0] - start[0]) + abs(end[1] - start[1])
            parts = max(1, min(int(length / SAMPLE), most))
            for part in range(parts):
                if at % 2:
                    board.draw(*curve_point(start, end, part / parts, is_sideways=plan.is_sideways))
                else:
                    share = part / parts
                    board.draw(start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)


def _candidates(plan: Plan, line: Line, width: float) -> Iterator[Place]:
    """Places on both sides of the line: near its end, then at its start, then on its way."""
    for start, end in (line[-2:], line[:2]):
        if plan.is_sideways and end[0] - start[0] >= width:
            yield from _beside((start[0] + end[0]) / 2 - BESIDE, start[1], width, is_sideways=True)
    curves = range(1, len(line) - 1, 2)
    for at in dict.fromkeys([curves[-1], curves[0], *reversed(curves)]):
        for part in (0.75, 0.5, 0.25):
            x, y = curve_point(line[at], line[at + 1], part, is_sideways=plan.is_sideways)
            yield from _beside(x, y, width, is_sideways=plan.is_sideways)
    for at in range(2, len(line) - 2, 2):
        x, y = (line[at][0] + line[at + 1][0]) / 2, (line[at][1] + line[at + 1][1]) / 2
        yield from _beside(x, y, width, is_sideways=plan.is_sideways)


def _beside(x: float, y: float, width: float, *, is_sideways: bool) -> Iterator[Place]:
    if is_sideways:
        yield Place(x - width / 2, y - HEIGHT - 1, width, HEIGHT)
        yield Place(x - width / 2, y + 1, width, HEIGHT)
    else:
        yield Place(x + BESIDE, y - HEIGHT / 2, width, HEIGHT)
        yield Place(x - BESIDE - width, y - HEIGHT / 2, width, HEIGHT)
