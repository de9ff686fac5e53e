"""The drawing as text for the terminal: one entry per box in running order, with what it gets from where.

A listing and not a rail like that of `git log --graph`: with thirty steps of several inputs a rail is wider
than the names beside it, and its crossings have to be followed with a finger; a reference names its step.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, get_args

import attrs

from crystallize_core.drawing.graph import Arrow, Box, Drawing, Status
from crystallize_core.drawing.labels import columns, short_names, shortened, wrapped

__all__ = ["as_text"]

LINE: Final = 100
NAME_COLUMN: Final = 28
"""A longer name has a line of its own, so that one of them does not push everything to the right."""
LONGEST_NAME: Final = 48  # also in a reference, on a line that begins right of the widest margin
LONGEST_ASSET: Final = 40
LONGEST_NOTE: Final = 240


@attrs.frozen
class _Margin:
    """What stands left of the name of a box: on a line above it, before the name, and before what follows."""

    above: str
    name: str
    below: str


def as_text(drawing: Drawing) -> str:
    """The drawing in lines of at most 100 columns, without colours and without blanks at their ends.

    ::

        churn: 4 steps (2 ok, 1 failed, 1 not run)

          input      data
          ok         load    <- data  -> rows, columns  · 1.2 s
          ok         clean   <- rows (load)  · conditional
                   ┌ group fit
          failed   │ train   <- clean, columns (load)  -> model  · 2 retries
          not run  └ report  <- model (train)

    """
    names = short_names((box.name for box in drawing.boxes), LONGEST_NAME)
    incoming: dict[str, list[Arrow]] = {}
    for arrow in drawing.arrows:
        incoming.setdefault(arrow.target, []).append(arrow)
    width = max((w for w in map(columns, names.values()) if w <= NAME_COLUMN), default=0)
    lines = [_heading(drawing), ""]
    for box, margin in zip(drawing.boxes, _margins(drawing.boxes), strict=True):
        lines += [margin.above] if margin.above else []
        lines += _entry(names[box.name], margin, width, _wiring(box, incoming.get(box.name, ()), names))
    return "\n".join(line.rstrip() for line in lines).rstrip()


def _heading(drawing: Drawing) -> str:
    steps = [box for box in drawing.boxes if box.kind == "step"]
    found = Counter(box.status for box in steps)
    statuses = ", ".join(f"{found[status]} {status}" for status in get_args(Status) if found[status])
    title = f"{shortened(drawing.title, LONGEST_NAME)}: " if drawing.title else ""
    return f"{title}{len(steps)} {'step' if len(steps) == 1 else 'steps'}" + (f" ({statuses})" if statuses else "")


def _margins(boxes: Sequence[Box]) -> Iterator[_Margin]:
    """The state of each box, and the rails that hold the boxes of a group together."""
    states = [(box.status or "") if box.kind == "step" else box.kind for box in boxes]
    width = max(map(len, states), default=0)
    start = "  " + (" " * (width + 2) if width else "")
    has_groups = any(box.group for box in boxes)
    state = (f"  {word:<{width}}".ljust(len(start)) for word in states)
    for group, together in itertools.groupby(boxes, key=lambda box: box.group):
        last = len(list(together)) - 1
        for at in range(last + 1):
            if group:
                above = f"{start}┌ group {shortened(group, LONGEST_NAME)}" if at == 0 else ""
                yield _Margin(
                    above, next(state) + ("└ " if at == last else "│ "), start + ("  " if at == last else "│ ")
                )
            else:
                rail = "  " if has_groups else ""
                yield _Margin("", next(state) + rail, start + rail)


def _wiring(box: Box, incoming: Sequence[Arrow], names: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """What is said about a box: the sign before it, and words between which a line may end."""
    sources = [
        [names[arrow.source]]
        if arrow.label in ("", arrow.source)
        else [shortened(arrow.label, LONGEST_ASSET), f"({names[arrow.source]})"]
        for arrow in incoming
    ]
    outputs = [[shortened(asset, LONGEST_ASSET)] for asset in box.outputs if (asset,) != (box.name,)]
    facts = [["conditional"]] if box.is_conditional else []
    facts += [[shortened(word, LONGEST_NAME) for word in shortened(box.note, LONGEST_NOTE).split()]] if box.note else []
    parts = (("<- ", sources), ("-> ", outputs), ("· ", facts))
    return [(sign, _with_commas(told)) for sign, told in parts if told]


def _with_commas(told: Sequence[Sequence[str]]) -> list[str]:
    words: list[str] = []
    for one in told:
        if words:
            words[-1] += ","
        words += one
    return words


def _entry(name: str, margin: _Margin, width: int, wiring: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    """The lines of one box: on one line what fits on one, otherwise what it gets, gives and more below each other."""
    room = LINE - columns(margin.name) - width - 2
    told = ["  ".join(sign + " ".join(words) for sign, words in wiring)]
    if columns(told[0]) > room:
        told = [
            (sign if at == 0 else " " * len(sign)) + line
            for sign, words in wiring
            for at, line in enumerate(wrapped(words, room - len(sign)))
        ]
    if columns(name) > width:
        yield margin.name + name
    else:
        yield f"{margin.name}{name}{' ' * (width - columns(name))}  {told.pop(0)}"
    for line in filter(None, told):
        yield f"{margin.below}{' ' * width}  {line}"
