"""Names as they can be shown: on one line, without anything that moves the cursor, and not longer than there is room."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

__all__ = ["columns", "printable", "short_names", "shortened", "wrapped"]

JOINERS: Final = "\u200c\u200d"  # invisible, and part of how many scripts and emoji are written
WIDEST_CHARACTER: Final = 2


def printable(text: str) -> str:
    """The text on one line; control characters, line breaks and broken halves of characters as their escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode() for c in text)


def columns(text: str) -> int:
    """How many columns of a terminal, or of a font in which all letters are equally wide, the text takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(character: str) -> int:
    if character in JOINERS or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return WIDEST_CHARACTER if unicodedata.east_asian_width(character) in "WF" else 1


def shortened(text: str, room: int) -> str:
    """The text made printable and, if it takes more than `room` columns, without its middle."""
    if len(text) > 10 * room:  # what is left out need not be looked at
        text = f"{text[: 3 * room]}…{text[-3 * room :]}"
    text = printable(text)
    if columns(text) <= room:
        return text
    end = room // 3
    return f"{_first(text, room - end - 1)}…{_first(text[::-1], end)[::-1]}"


def _first(text: str, room: int) -> str:
    taken = 0
    for at, character in enumerate(text):
        taken += _width(character)
        if taken > room:
            return text[:at]
    return text


def short_names(names: Iterable[str], room: int) -> dict[str, str]:
    """What to show for each name: no two alike, so that a reference to one of them can be followed."""
    shown: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        short, number = shortened(name, room), 1
        while short in taken:
            number += 1
            short = f"{shortened(name, room - len(str(number)) - 1)}~{number}"
        taken.add(short)
        shown[name] = short
    return shown


def wrapped(words: Iterable[str], room: int, *, between: str = " ") -> list[str]:
    """The words on as few lines as possible of at most `room` columns; a word that is wider has a line of its own."""
    lines: list[str] = []
    for word in words:
        if lines and columns(lines[-1]) + columns(between) + columns(word) <= room:
            lines[-1] += between + word
        else:
            lines.append(word)
    return lines
