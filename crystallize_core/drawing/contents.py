"""What stands in the boxes of an SVG: lines of text, and how large a box they need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from crystallize_core.drawing.graph import Box
from crystallize_core.drawing.labels import columns, shortened, wrapped
from crystallize_core.drawing.style import LETTER, SMALL_LETTER

__all__ = ["LONGEST_LINE", "PADDING", "Content", "content_of", "status_class"]

LONGEST_LINE: Final = 40
MOST_LINES: Final = 3
PADDING: Final = 12.0
NAME_LINE: Final = 17.0
SMALL_LINE: Final = 15.0
LEAST_WIDTH: Final = 72.0


@attrs.frozen
class Content:
    """The lines in a box, each with the classes that say how it looks; the first is the name."""

    lines: tuple[tuple[str, str], ...]

    @property
    def size(self) -> tuple[float, float]:
        """The width and height of a box in which all lines have room."""
        (_, name), *small = self.lines
        widths = [columns(name) * LETTER, *(columns(text) * SMALL_LETTER for _, text in small)]
        return max(LEAST_WIDTH, 2 * PADDING + max(widths)), 1.25 * PADDING + NAME_LINE + SMALL_LINE * len(small)

    def baselines(self) -> Iterator[float]:
        """How far below the upper edge of the box each line stands."""
        first = 0.6 * PADDING + 0.75 * NAME_LINE
        return (first + SMALL_LINE * at for at in range(len(self.lines)))


def content_of(box: Box, name: str) -> Content:
    """What stands in the box.

    Args:
        box: What is drawn.
        name: Its name, as short as names have to be.

    """
    lines = [("name", name)]
    if box.kind != "step":
        lines.append(("kind", "context value" if box.kind == "context" else "input"))
    if box.outputs and box.outputs != (box.name,):
        lines += [("outputs", line) for line in _few([shortened(asset, LONGEST_LINE - 3) for asset in box.outputs])]
    told = [box.status or "", "conditional" if box.is_conditional else ""]
    if any(told):
        lines.append((f"status {status_class(box)}".strip(), " · ".join(filter(None, told))))
    words = shortened(box.note, 2 * LONGEST_LINE - 4).split()
    lines += [("fact", line) for line in wrapped((shortened(word, LONGEST_LINE) for word in words), LONGEST_LINE)]
    if box.group:
        lines.append(("group", f"group {shortened(box.group, LONGEST_LINE - 6)}"))
    return Content(tuple(lines))


def status_class(box: Box) -> str:
    """The class of its status, empty where it has none."""
    return (box.status or "").replace(" ", "")


def _few(assets: Sequence[str]) -> list[str]:
    """The assets on a few lines; the last of too many says how many are left out."""
    lines = wrapped([*(f"{asset}," for asset in assets[:-1]), assets[-1]], LONGEST_LINE - 2)
    if len(lines) > MOST_LINES:
        kept = lines[: MOST_LINES - 1]
        left = len(assets) - sum(len(wrapped_line.split(", ")) for wrapped_line in kept)
        lines = [*kept, f"and {left} more"]
    return [("→ " if at == 0 else "  ") + line for at, line in enumerate(lines)]
