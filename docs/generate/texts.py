"""What a docstring in the style of Google says, part by part, as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Final

import attrs

__all__ = ["Docstring", "one_line"]

_SECTION: Final = re.compile(r"^(Args|Raises|Returns):$")
_ARGUMENT: Final = re.compile(r"^(\w+(?:, \w+)*): (.+)$")


@attrs.frozen
class Docstring:
    """The parts of a docstring.

    Attributes:
        summary: The first line.
        paragraphs: The text between the sections, a line for each paragraph.
        arguments: Name -> what it is.
        returns: What is returned; empty where nothing is said.

    """

    summary: str
    paragraphs: tuple[str, ...]
    arguments: dict[str, str]
    returns: str

    @classmethod
    def of(cls, thing: Callable[..., Any]) -> Docstring:
        """Read it; what is indented below a heading belongs to its section."""
        blocks = re.split(r"\n\s*\n", inspect.getdoc(thing) or "")
        paragraphs: list[str] = []
        sections: dict[str, str] = {}
        for block in blocks[1:]:
            heading, _, rest = block.partition("\n")
            found = _SECTION.match(heading)
            if found is None:
                paragraphs.append(one_line(block))
            else:
                sections[found[1]] = inspect.cleandoc(rest)
        return cls(
            blocks[0], tuple(paragraphs), _arguments(sections.get("Args", "")), one_line(sections.get("Returns", ""))
        )


def _arguments(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", text):
        match = _ARGUMENT.match(one_line(entry))
        if match is not None:
            found |= dict.fromkeys(match[1].split(", "), match[2])
    return found


def one_line(text: str) -> str:
    """The same without line breaks."""
    return " ".join(text.split())
