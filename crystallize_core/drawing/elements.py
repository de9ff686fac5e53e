"""The elements of an SVG: frames of groups, arrows, boxes and labels, each as the text of one element."""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from typing import Final

from crystallize_core.drawing.contents import PADDING, Content, status_class
from crystallize_core.drawing.graph import Box
from crystallize_core.drawing.labels import printable, shortened
from crystallize_core.drawing.places import Place

__all__ = ["arrow_element", "box_element", "frame_element", "label_element", "number", "shown", "title_element"]

LONGEST_TIP: Final = 400
HEAD_LENGTH: Final = 8.0
HEAD_WIDTH: Final = 7.0
CORNER: Final = 5.0
ROUND_CORNER: Final = 18.0
BAR: Final = 4.0
BELOW_BASELINE: Final = 3.5


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")  # + 0.0 makes 0 of -0


def shown(text: str) -> str:
    """Text between tags; what XML cannot hold is made printable."""
    return html.escape(printable(text), quote=False)


def title_element(text: str) -> str:
    """What is shown where the pointer rests, and read aloud."""
    return f"<title>{shown(shortened(text, LONGEST_TIP))}</title>"


def frame_element(place: Place, colour: int) -> str:
    """The frame behind a group."""
    return f'<rect class="frame g{colour}" {_rectangle(place)} rx="10"/>'


def label_element(text: str, place: Place) -> str:
    """The label of an arrow."""
    return f'<text class="label" x="{number(place.x)}" y="{number(place.bottom - BELOW_BASELINE)}">{shown(text)}</text>'


def box_element(box: Box, name: str, content: Content, place: Place, colour: int | None) -> str:
    """One box.

    Args:
        box: What is drawn.
        name: What tells it apart from others.
        content: The lines in it.
        place: Where it is.
        colour: The number of the colour of its group.

    """
    classes = ["box", box.kind, status_class(box), "conditional" if box.is_conditional else ""]
    corner = CORNER if box.kind == "step" else min(place.height / 2, ROUND_CORNER)
    parts = [
        f'<g class="{" ".join(filter(None, classes))}" data-name={_quoted(name)}>',
        title_element("; ".join(filter(None, [box.name, ", ".join(box.outputs), box.note]))),
        f'<rect class="edge" {_rectangle(place)} rx="{number(corner)}"/>',
    ]
    if colour is not None:
        bar = Place(place.x, place.y + BAR, BAR, place.height - 2 * BAR)
        parts.append(f'<rect class="g{colour}" {_rectangle(bar)} rx="2"/>')
    parts += [
        f'<text class="{kind}" x="{number(place.x + PADDING)}" y="{number(place.y + y)}">{shown(text)}</text>'
        for (kind, text), y in zip(content.lines, content.baselines(), strict=True)
    ]
    return "".join([*parts, "</g>"])


def arrow_element(
    source: str, target: str, label: str, points: Sequence[tuple[float, float]], *, is_sideways: bool
) -> str:
    """One arrow: its line, in turns straight and curved, and its head."""
    (x, y), (x0, y0) = points[-1], points[-2]
    back = HEAD_LENGTH - 1  # the line ends within the head, so that its end does not show at the tip
    if is_sideways:
        ends = [(min(x0, x - back), y0), (x - back, y)]
        head = f"M{number(x)} {number(y)}l{number(-HEAD_LENGTH)} {number(-HEAD_WIDTH / 2)}v{number(HEAD_WIDTH)}z"
    else:
        ends = [(x0, min(y0, y - back)), (x, y - back)]
        head = f"M{number(x)} {number(y)}l{number(-HEAD_WIDTH / 2)} {number(-HEAD_LENGTH)}h{number(HEAD_WIDTH)}z"
    tip = f"{label}: {source} → {target}" if label else f"{source} → {target}"
    line = _path([*points[:-2], *ends], is_sideways=is_sideways)
    return (
        f'<g class="arrow" data-source={_quoted(source)} data-target={_quoted(target)}>{title_element(tip)}'
        f'<path d="{line}"/><path class="head" d="{head}"/></g>'
    )


def _path(points: Sequence[tuple[float, float]], *, is_sideways: bool) -> str:
    parts = [f"M{number(points[0][0])} {number(points[0][1])}"]
    for at, ((x0, y0), (x1, y1)) in enumerate(itertools.pairwise(points)):
        end = f"{number(x1)} {number(y1)}"
        if (x0, y0) == (x1, y1):
            continue
        if at % 2 == 0 or (y0 == y1 if is_sideways else x0 == x1):
            parts.append(f"L{end}")
        elif is_sideways:
            parts.append(f"C{number((x0 + x1) / 2)} {number(y0)} {number((x0 + x1) / 2)} {number(y1)} {end}")
        else:
            parts.append(f"C{number(x0)} {number((y0 + y1) / 2)} {number(x1)} {number((y0 + y1) / 2)} {end}")
    return "".join(parts)


def _rectangle(place: Place) -> str:
    sides = {"x": place.x, "y": place.y, "width": place.width, "height": place.height}
    return " ".join(f'{side}="{number(value)}"' for side, value in sides.items())


def _quoted(text: str) -> str:
    return f'"{html.escape(printable(text))}"'
