"""Simple TOML, written by hand: the standard library reads it and does not write it.

The same tables give the same bytes. What TOML has no form for becomes text, or a table with one key that begins with `$`.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Final

from crystallize_core.fingerprint import content_digest
from crystallize_core.values import value_digest

__all__ = ["document", "plain", "shown"]

LONGEST_LINE: Final = 100
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_DATES: Final = (dt.datetime, dt.date, dt.time)
SHORT: Final = 16


def document(head: str, values: Mapping[str, Any], tables: list[tuple[str, Mapping[str, Any]]]) -> str:
    """A file: comments, values, and tables under headings such as `[stack]` or `[[plugin]]`; an empty table is left out."""
    parts = [head, _lines(values)]
    parts += [f"{heading}\n{_lines(table)}" for heading, table in tables if table]
    return "\n".join(part for part in parts if part)


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{_line(key, value)}\n" for key, value in table.items())


def _line(key: str, value: Any) -> str:
    line = f"{name(key)} = {_text(value)}"
    if isinstance(value, list) and len(line) > LONGEST_LINE:
        return f"{name(key)} = [\n" + "".join(f"  {_text(item)},\n" for item in value) + "]"
    return line


def name(key: str) -> str:
    """A key, in quotes where it has to be."""
    return key if _BARE.fullmatch(key) else _quoted(key)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, _DATES):
        return value.isoformat()
    if isinstance(value, Mapping):
        inside = ", ".join(f"{name(str(key))} = {_text(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return repr(value)


def _quoted(text: str) -> str:
    valid = text.encode("utf-8", "backslashreplace").decode()  # a lone surrogate is in no file
    return json.dumps(valid, ensure_ascii=False).replace("\x7f", "\\u007f")


def shown(value: Any) -> str:
    """A value in a message, as it would stand in the file."""
    return "not set" if value is None else _text(value)


# --- values of options as TOML has them ----------------------------------------------------------------


def plain(value: Any, folder: Path) -> Any:
    """The value as TOML gives it back.

    Args:
        value: Any value of an option; None stays None, for the caller to leave out.
        folder: What absolute paths below it are written relative to, so that they are the same on another machine.

    """
    try:
        return _plain(value, folder)
    except Exception:  # noqa: BLE001 - it contains itself, or is an object of a stranger that cannot be looked at
        return {"$object": f"{type(value).__module__}:{type(value).__qualname__}"}


def _plain(value: Any, folder: Path) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, float, str) or kind in _DATES:
        return value
    if isinstance(value, enum.Enum):
        return _plain(value.value, folder)
    if isinstance(value, PurePath):
        return _path(value, folder)
    if kind in (list, tuple):
        return [_item(item, folder) for item in value]
    if kind in (set, frozenset):
        return sorted((_item(item, folder) for item in value), key=repr)
    if isinstance(value, Mapping) and all(type(key) is str for key in value):
        return {key: _item(item, folder) for key, item in value.items()}
    return _tagged(value)


def _item(value: Any, folder: Path) -> Any:
    found = _plain(value, folder)
    return {"$none": True} if found is None else found


def _path(path: PurePath, folder: Path) -> str:
    if path.is_absolute() and path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    return os.fspath(path) if path.is_absolute() else path.as_posix()


def _tagged(value: Any) -> Any:
    """What stands for a value that is neither a number nor text: its name where it has one, and a digest."""
    if isinstance(value, dt.timedelta):
        return {"$seconds": value.total_seconds()}
    known = getattr(value, "__qualname__", None)
    kind = type(value)
    called = f"{value.__module__}:{known}" if isinstance(known, str) else f"{kind.__module__}:{kind.__qualname__}"
    return {"$object": called, "digest": content_digest(value_digest(value))[:SHORT]}
