"""Where the values of a stack come from, so that each of them can be traced."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from crystallize_core.stack.convert import as_path

__all__ = ["ADDITIVE", "Key", "Kind", "Origin", "Told", "Trace"]

Kind = Literal["default", "stack", "file", "profile", "environment", "command line", "argument"]
Key = tuple[str, ...]
"""`("executor",)`, `("options", "seeding", "seed")`."""

ADDITIVE: Final = frozenset({("disable",), ("plugins",)})
"""What a stack says and what a project says count together; for all else the stronger one counts."""


@attrs.frozen
class Origin:
    """Who said something.

    Attributes:
        kind: Which layer it belongs to, from the weakest to the strongest; a stack is one that a distribution ships.
        source: The file, the stack, the environment variable or the option of the command line.
        path: Where it stands in a file or a stack; empty for what is no table.
        file: The file, where it is one.
        root: The table of the file that is ours.

    """

    kind: Kind
    source: str
    path: Key = ()
    file: Path | None = attrs.field(default=None, eq=False)
    root: Key = attrs.field(default=(), eq=False)

    def __str__(self) -> str:
        return f"{self.source}, {_dotted(self.path)}" if self.path else self.source

    @property
    def is_outside(self) -> bool:
        """Whether it is neither in files nor in code, but belongs to one call of the program."""
        return self.kind in ("environment", "command line")

    @property
    def line(self) -> int | None:
        """The line of the file, where it can be told for sure."""
        return None if self.file is None else _line(self.file, (*self.root, *self.path))


def _dotted(path: Key) -> str:
    text = ""
    for key in path:
        text = as_path(text, key)
    return text


@attrs.frozen
class Told:
    """A value, and who said it."""

    value: Any
    origin: Origin


@attrs.define
class _Entry:
    """What counts of what was said about one thing, and what does not, the strongest first."""

    told: list[Told] = attrs.field(factory=list)
    overridden: list[Told] = attrs.field(factory=list)


class Trace:
    """Everything that was said, by what it is about."""

    def __init__(self) -> None:
        self._entries: dict[Key, _Entry] = {}

    def replace(self, key: Key, value: Any, origin: Origin) -> None:
        """Let this count in place of what was said before."""
        entry = self._entries.setdefault(key, _Entry())
        entry.overridden = [*reversed(entry.told), *entry.overridden]
        entry.told = [Told(value, origin)]

    def add(self, key: Key, value: Any, origin: Origin) -> None:
        """Let this count together with what was said before."""
        self._entries.setdefault(key, _Entry()).told.append(Told(value, origin))

    def told(self, key: Key) -> list[Told]:
        """What counts: one, or several that count together; empty where nobody said anything."""
        return list(self._entries[key].told) if key in self._entries else []

    def overridden(self, key: Key) -> list[Told]:
        """What does not count, the strongest first."""
        return list(self._entries[key].overridden) if key in self._entries else []

    def below(self, *start: str) -> list[Key]:
        """Everything that something was said about, and that begins like this."""
        return [key for key in self._entries if key[: len(start)] == start]

    def over(self, weaker: Trace) -> Trace:
        """Both, where this one counts more."""
        both = Trace()
        for key in (*weaker._entries, *(key for key in self._entries if key not in weaker._entries)):
            low, high = weaker._entries.get(key, _Entry()), self._entries.get(key, _Entry())
            if key in ADDITIVE or not high.told:
                told, lost = [*low.told, *high.told], low.overridden
            else:
                told, lost = list(high.told), [*reversed(low.told), *low.overridden]
            both._entries[key] = _Entry(told, [*high.overridden, *lost])
        return both

    def copy(self) -> Trace:
        """The same, to be changed on its own."""
        return self.over(Trace())


# Lines ------------------------------------------------------------------------------------------------

_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?")
_PAIR = re.compile(r"\s*([\w.\-\"' ]+?)\s*=")


def _line(file: Path, path: Key) -> int | None:
    """The one line that sets `path`; None where that is not certain, such as in an inline table."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    table: Key = ()
    found = []
    for number, text in enumerate(lines, 1):
        if header := _HEADER.fullmatch(text):
            table = _keys(header[1])
        elif pair := _PAIR.match(text):
            found += [number] if (*table, *_keys(pair[1])) == path else []
    return found[0] if len(found) == 1 else None


def _keys(text: str) -> Key:
    """The parts of a dotted key, as TOML reads it."""
    import tomllib  # noqa: PLC0415 - only to show where something stands

    try:
        value: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    parts: list[str] = []
    while isinstance(value, Mapping):
        key, value = next(iter(value.items()))
        parts.append(key)
    return tuple(parts)
