"""The drawing as SVG that needs nothing else: no script, no font, no other file, and no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from crystallize_core.drawing.captions import caption_places
from crystallize_core.drawing.contents import Content, content_of
from crystallize_core.drawing.elements import (
    arrow_element,
    box_element,
    frame_element,
    label_element,
    number,
    shown,
    title_element,
)
from crystallize_core.drawing.graph import Box, Drawing, joined_labels
from crystallize_core.drawing.labels import columns, short_names, shortened
from crystallize_core.drawing.layers import Layers, in_layers
from crystallize_core.drawing.places import Place, Plan, placed
from crystallize_core.drawing.style import GROUP_COLOURS, HEADING_LETTER, PICTURE, SMALL_LETTER, style_sheet
from crystallize_core.drawing.text import as_text

__all__ = ["as_svg"]

LONGEST_NAME: Final = 36
LONGEST_LABEL: Final = 24
LONGEST_TITLE: Final = 60
LONGEST_REFERENCE: Final = 200  # names where nobody reads them: they only have to be told apart
MARGIN: Final = 20.0
HEADING: Final = 34.0
FRAME: Final = 7.0
LABEL_MARGIN: Final = 14.0
WIDEST: Final = 1100.0
"""A picture that is wider goes from left to right, if that makes it narrower: pages scroll downwards."""


def as_svg(drawing: Drawing) -> str:
    """The drawing as one `<svg>` element, for a file of its own or inside a page.

    It is light or dark as its reader prefers. What had to be shortened appears in full where the pointer
    rests, and the picture is described by the text of `as_text`. The same drawing is the same text, byte by
    byte.
    """
    names = short_names((box.name for box in drawing.boxes), LONGEST_NAME)
    contents = [content_of(box, names[box.name]) for box in drawing.boxes]
    labels = joined_labels(drawing)
    captions = {arrow: shortened(label, LONGEST_LABEL) for arrow, label in labels.items() if label}
    widths = {arrow: columns(caption) * SMALL_LETTER for arrow, caption in captions.items()}
    plan = _plan(in_layers(len(drawing.boxes), labels), contents, widths)
    places = caption_places(plan, widths)
    inside = [
        *_frames(drawing.boxes, plan),
        *_boxes_and_arrows(drawing, contents, labels, plan),
        *(label_element(captions[arrow], place) for arrow, place in places.items()),
    ]
    return _picture(drawing, inside, plan, list(places.values()))


def _plan(found: Layers, contents: Sequence[Content], widths: Mapping[tuple[int, int], float]) -> Plan:
    sizes = [content.size for content in contents]
    plan = placed(found, sizes, is_sideways=False)
    if plan.width <= WIDEST:
        return plan
    sideways = placed(found, sizes, _runs(found, widths), is_sideways=True)
    return sideways if sideways.width < plan.width else plan


def _runs(found: Layers, widths: Mapping[tuple[int, int], float]) -> list[tuple[float, float]]:
    """Straight ends for the labels of lines from left to right.

    They are where lines end, because those from one source have one beginning; only where many end at few
    boxes, too close to each other for labels, they are where the lines begin.
    """
    depths = {point: at for at, layer in enumerate(found.layers) for point in layer}
    arriving: dict[int, list[tuple[int, int]]] = {}
    for source, target in widths:
        arriving.setdefault(depths[target], []).append((source, target))
    runs = [[0.0, 0.0] for _ in found.layers]
    for depth, arrows in arriving.items():
        sources, targets = map(set, zip(*arrows, strict=True))
        widest = max(widths[arrow] for arrow in arrows) + LABEL_MARGIN
        if len(sources) > 2 * len(targets):
            runs[depth - 1][1] = widest
        else:
            runs[depth][0] = widest
    return [(before, behind) for before, behind in runs]


def _boxes_and_arrows(
    drawing: Drawing, contents: Sequence[Content], labels: Mapping[tuple[int, int], str], plan: Plan
) -> Iterator[str]:
    """Arrows before boxes: one that had to go straight passes below the boxes on its way."""
    names = list(short_names((box.name for box in drawing.boxes), LONGEST_REFERENCE).values())
    for (source, target), label in labels.items():
        line = plan.lines[source, target]
        yield arrow_element(names[source], names[target], label, line, is_sideways=plan.is_sideways)
    yield from map(box_element, drawing.boxes, names, contents, plan.places, _colours(drawing.boxes))


def _colours(boxes: Sequence[Box]) -> list[int | None]:
    """The number of the colour of each box's group; groups beyond the last colour begin with the first again."""
    numbers = {group: at for at, group in enumerate(dict.fromkeys(box.group for box in boxes if box.group))}
    return [numbers[box.group] % len(GROUP_COLOURS) if box.group else None for box in boxes]


def _frames(boxes: Sequence[Box], plan: Plan) -> Iterator[str]:
    """A frame behind each group that has a region of its own; the boxes name their group in any case."""
    members: dict[str, list[Place]] = {}
    for box, place in zip(boxes, plan.places, strict=True):
        if box.group:
            members.setdefault(box.group, []).append(place)
    for at, together in enumerate(members.values()):
        frame = _around(together, FRAME)
        if len(together) > 1 and sum(map(frame.touches, plan.places)) == len(together):
            yield frame_element(frame, at % len(GROUP_COLOURS))


def _around(places: Sequence[Place], margin: float) -> Place:
    x, y = min(place.x for place in places) - margin, min(place.y for place in places) - margin
    right, bottom = max(place.right for place in places) + margin, max(place.bottom for place in places) + margin
    return Place(x, y, right - x, bottom - y)


def _picture(drawing: Drawing, inside: Sequence[str], plan: Plan, captions: Sequence[Place]) -> str:
    """Everything in a page that is as large as what is on it."""
    title = shortened(drawing.title, LONGEST_TITLE)
    heading = Place(0, -HEADING, columns(title) * HEADING_LETTER, HEADING) if title else Place(0, 0, 0, 0)
    ends = [Place(x, y, 0, 0) for line in plan.lines.values() for x, y in line]
    page = _around([heading, *plan.places, *captions, *ends], MARGIN)
    box = " ".join(map(number, (page.x, page.y, page.width, page.height)))
    described = "\n".join(map(shown, as_text(drawing).split("\n")))
    size = f'width="{number(page.width)}" height="{number(page.height)}" viewBox="{box}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{PICTURE}" role="img" {size}>',
        title_element(drawing.title or "steps"),
        f"<desc>{described}</desc>",
        f"<style>\n{style_sheet()}</style>",
        f'<rect class="page" x="{number(page.x)}" y="{number(page.y)}" width="100%" height="100%"/>',
    ]
    if title:
        lines.append(
            f'<text class="heading" x="{number(page.x + MARGIN)}" y="{number(-HEADING / 2)}">{shown(title)}</text>'
        )
    return "\n".join([*lines, *inside, "</svg>"])
