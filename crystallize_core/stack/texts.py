"""Values that come as text, from a command line or the environment."""

from __future__ import annotations

import datetime as dt
import enum
import json
import types
import typing
from collections import abc
from pathlib import PurePath
from typing import Any, Literal

from crystallize_core.stack.convert import CONTAINERS, Conversion, Problem, scalar_from_text
from crystallize_core.stack.option_types import UNIONS, bare, choice_texts, is_table_class, type_name

__all__ = ["parse_text"]

from crystallize_core.stack.declared import MASK, Option
from crystallize_core.stack.options import error_of, nested


def parse_text(option: Option, text: str, *, where: str = "") -> Any:
    """An option's value from a command line or the environment, where everything is text.

    Tables and import strings are checked and stay as they are, for `build` to use.

    Raises:
        ConfigurationError: The text is not of the option's type; `where` or the name is the path.

    """
    path = where or option.name
    attempts = []
    for member, raw in _readings(option.type, text):
        conversion = Conversion(nested, dry=True, secret=option.secret)
        value = conversion.read(member, raw, path)
        if not conversion.found:
            return value
        attempts.append(conversion)
    meant = [attempt.found for attempt in attempts if not attempt.misses(path)]
    if meant:
        raise error_of(path, meant[0])
    hints = [problem.hint for attempt in attempts for problem in attempt.found if problem.hint]
    found = f"text {MASK if option.secret else repr(text)}"
    hint = hints[0] if hints else _TEXT_HINTS.get(_origin(option.type), "")
    raise error_of(path, [Problem(path, f"expected {type_name(option.type)}, found {found}", hint=hint)])


_GREEDY = (str, bytes, abc.Callable)
_DATES = (dt.datetime, dt.date, dt.time)
_TEXT_HINTS: dict[Any, str] = {
    bool: "write true or false",
    **dict.fromkeys(_DATES, "write it as in TOML"),
    **dict.fromkeys(CONTAINERS, "write it as in TOML or JSON"),
}


def _origin(annotation: Any) -> Any:
    kind = bare(annotation)
    return typing.get_origin(kind) or kind


def _readings(annotation: Any, text: str) -> list[tuple[Any, Any]]:
    """What the text may mean, best first: pairs of a type and a value to check against it."""
    kind, origin = bare(annotation), _origin(annotation)
    if origin not in UNIONS:
        return [(kind, value) for value in _values(kind, origin, text)]
    members = typing.get_args(kind)
    ranked = sorted(members, key=lambda m: 0 if bare(m) is types.NoneType else 2 if _takes_any_text(m) else 1)
    return [reading for member in ranked for reading in _readings(member, text)]


def _takes_any_text(annotation: Any) -> bool:
    origin = _origin(annotation)
    return origin in _GREEDY or origin is Any or (isinstance(origin, type) and issubclass(origin, PurePath))


def _values(kind: Any, origin: Any, text: str) -> list[Any]:
    if origin is types.NoneType:
        return [None] if text.strip().lower() == "none" else []
    if origin in (bool, int, float, dt.timedelta):
        try:
            return [scalar_from_text(float if origin is dt.timedelta else origin, text)]
        except ValueError:
            return []
    if origin is Literal or (isinstance(origin, type) and issubclass(origin, enum.Enum)):
        return [choice_texts(typing.get_args(kind) or list(kind)).get(text, text)]
    if origin is not Any and _takes_any_text(origin):
        return [text]
    only_fragment = origin in _DATES or origin in CONTAINERS or is_table_class(origin)
    return _fragment(text) + ([] if only_fragment else [text])


def _fragment(text: str) -> list[Any]:
    """The value of a TOML or JSON fragment, in a list; an empty list when it is neither."""
    import tomllib  # noqa: PLC0415 - only where options come as text

    try:
        table = tomllib.loads(f"value = {text.strip()}")
    except ValueError:
        table = {}
    if table.keys() == {"value"}:
        return [table["value"]]
    try:
        return [json.loads(text)]
    except ValueError:
        return []
