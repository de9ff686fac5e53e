"""Whether a value is of the annotated type, as far as that shows without looking through what it holds."""

from __future__ import annotations

import typing
from collections import abc
from typing import Any, Final, Literal

from crystallize_core.annotations.classes import stands_for
from crystallize_core.annotations.contents import contents_of, fields_of
from crystallize_core.annotations.forms import UNKNOWN, bare, is_union, outer, written
from crystallize_core.annotations.protocols import has_attribute, is_protocol

__all__ = ["fails_check"]

_SIMPLE: Final = (bool, int, float, complex, str, bytes)
_SHOWN: Final = 60


def fails_check(value: Any, expected: Any) -> str | None:
    """What is wrong with a value where `expected` is asked for: the middle of a message, or None if nothing is.

    Looks at the class of the value, the choices of a `Literal`, the length of a tuple, the required keys of a TypedDict and
    the members of a protocol, and not at the items of containers. What is not known passes. Never raises.
    """
    if type(value) is expected or expected is Any:
        return None
    try:
        if _is_one(value, expected):
            return None
    except Exception:  # noqa: BLE001 - a foreign object may do anything when it is asked; then nothing is certain
        return None
    return f"found {_shown(value)}, expected {written(expected)}"


def _is_one(value: Any, expected: Any) -> bool:
    kind = bare(expected)
    origin = typing.get_origin(kind)
    if is_union(kind):
        return any(_is_one(value, member) for member in typing.get_args(kind))
    if origin is Literal:
        return any(_is_choice(value, choice) for choice in typing.get_args(kind))
    whole = outer(kind)
    if whole is UNKNOWN:
        return True
    fields = fields_of(whole)
    if fields is not None:
        required = [name for name, field in fields.items() if field.required]
        return isinstance(value, abc.Mapping) and all(name in value for name in required)
    if is_protocol(whole):
        return has_attribute(value, whole)
    if whole is type and typing.get_args(kind):
        return isinstance(value, type) and _is_class(value, typing.get_args(kind)[0])
    if not isinstance(value, whole) and not stands_for(type(value), whole):
        return False
    positions = contents_of(kind).positions
    return positions is None or len(value) == len(positions)


def _is_choice(value: Any, choice: Any) -> bool:
    """Whether a value is a choice of a Literal; `True` is not the number 1."""
    same_kind = isinstance(value, type(choice)) or stands_for(type(value), type(choice))
    return same_kind and isinstance(value, bool) == isinstance(choice, bool) and bool(value == choice)


def _is_class(value: type, expected: Any) -> bool:
    """Whether a class is one of those that `type[expected]` describes."""
    kind = bare(expected)
    if is_union(kind):
        return any(_is_class(value, member) for member in typing.get_args(kind))
    whole = outer(kind)
    return whole is UNKNOWN or is_protocol(whole) or issubclass(value, whole) or stands_for(value, whole)


def _shown(value: Any) -> str:
    """A value for a message; what containers and objects hold is left out, it may be secret or long."""
    kind = type(value)
    if value is None:
        return "None"
    name = written(kind)
    if not any(kind is simple for simple in _SIMPLE):
        return name
    try:
        text = repr(value[:_SHOWN] if isinstance(value, str | bytes) else value)
    except ValueError:  # more digits than Python writes
        return name
    is_cut = len(text) > _SHOWN or (isinstance(value, str | bytes) and len(value) > _SHOWN)
    return f"{name} {text[:_SHOWN]}…" if is_cut else f"{name} {text}"
