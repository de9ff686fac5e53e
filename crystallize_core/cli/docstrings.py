"""What a docstring says: its summary, and the names that it describes."""

from __future__ import annotations

import inspect
import re
from typing import Any, Final

__all__ = ["described_names", "summary_of"]

_SECTION: Final = re.compile(r"^(\w[\w ]*):$")
_DESCRIBES: Final = frozenset({"Args", "Arguments", "Attributes", "Options", "Parameters"})
_NAMES: Final = re.compile(r"^(\w+(?:, *\w+)*)(?: *\([^)]*\))?: *(.*)$")


def summary_of(thing: Any) -> str:
    """The first line of its docstring, or nothing."""
    return _docstring(thing).partition("\n")[0]


def described_names(thing: Any) -> dict[str, str]:
    """Name -> what the sections `Args` and `Attributes` say of it."""
    found: dict[str, str] = {}
    inside, indent = False, 0
    names: tuple[str, ...] = ()
    for line in _docstring(thing).splitlines():
        text = line.strip()
        depth = len(line) - len(line.lstrip())
        section = _SECTION.match(line)
        if section is not None or (text and depth == 0):
            inside, indent, names = section is not None and section[1] in _DESCRIBES, 0, ()
        elif inside and text:
            indent = indent or depth
            entry = _NAMES.match(text) if depth == indent else None
            if entry is not None:
                names = tuple(re.split(r", *", entry[1]))
                found |= dict.fromkeys(names, entry[2])
            else:
                found |= {name: f"{found[name]} {text}".strip() for name in names}
    return found


def _docstring(thing: Any) -> str:
    own = thing.__doc__ if isinstance(thing, type) else None
    try:
        # Of a class, its own: that of a base class is about something else.
        found = inspect.cleandoc(own or "") if isinstance(thing, type) else inspect.getdoc(thing)
    except Exception:  # noqa: BLE001 - what a stranger has there may be anything
        found = None
    return found if isinstance(found, str) else ""
