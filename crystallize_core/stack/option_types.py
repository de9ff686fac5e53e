"""Type annotations of options: what is inside of their wrappers, and how they are written for people."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Iterable
from typing import Any, Final, Literal

import attrs

from crystallize_core.errors import safe_str

__all__ = ["UNIONS", "bare", "choice_texts", "element_types", "is_table_class", "type_name"]

UNIONS: Final = (typing.Union, types.UnionType)
_WRAPPERS: Final = (typing.Annotated, typing.Final, typing.ClassVar)


def bare(annotation: Any) -> Any:
    """The annotation without `Annotated`, `Final`, `NewType` and aliases; a type variable is `Any`."""
    while True:
        origin = typing.get_origin(annotation)
        alias = annotation if origin is None else origin
        if isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, dataclasses.InitVar):
            annotation = annotation.type
        elif type(alias).__name__ == "TypeAliasType":  # by name: `typing` has it since Python 3.12
            try:
                annotation = alias.__value__
            except NameError:
                return Any
        elif origin in _WRAPPERS:
            annotation = typing.get_args(annotation)[0]
        elif annotation in (None, typing.LiteralString):
            return types.NoneType if annotation is None else str
        else:
            open_ended = isinstance(annotation, typing.TypeVar) or annotation in _WRAPPERS
            return Any if open_ended else annotation


def type_name(annotation: Any) -> str:
    """An annotation as people write it: `int`, `str | None`, `list[int]`, `'thread' | 'process'`."""
    if type(annotation).__name__ == "TypeAliasType":
        return str(annotation.__name__)  # an alias may be recursive, so its name has to do
    kind = bare(annotation)
    if kind in (types.NoneType, Any, ...):
        return {types.NoneType: "None", Any: "Any"}.get(kind, "...")
    if isinstance(kind, list):  # the parameters of a Callable
        return f"[{', '.join(type_name(item) for item in kind)}]"
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in UNIONS:
        return " | ".join(dict.fromkeys(type_name(member) for member in arguments))
    if origin is Literal:
        return " | ".join(str(c) if isinstance(c, enum.Enum) else repr(c) for c in arguments)
    written = kind.__forward_arg__ if isinstance(kind, typing.ForwardRef) else safe_str(kind).removeprefix("typing.")
    name: str = getattr(origin or kind, "__name__", None) or written
    has_items = bool(arguments) or kind == tuple[()]
    return name + (f"[{', '.join(type_name(a) for a in arguments) or '()'}]" if has_items else "")


def is_table_class(kind: Any) -> bool:
    """Whether a value of this class is written as a table: an attrs class or a dataclass."""
    return isinstance(kind, type) and (attrs.has(kind) or dataclasses.is_dataclass(kind))


def choice_texts(choices: Iterable[Any]) -> dict[str, Any]:
    """Choices of a Literal or an Enum by what is written for them; names of members before values."""
    choices = list(choices)
    texts = {c.name: c for c in choices if isinstance(c, enum.Enum)}
    for choice in choices:
        value = choice.value if isinstance(choice, enum.Enum) else choice
        texts.setdefault(str(value).lower() if isinstance(value, bool) else str(value), choice)
    return texts


def element_types(kind: Any, count: int) -> list[Any] | None:
    """The type of each of `count` items; None when a tuple has to have another length."""
    arguments = typing.get_args(kind)
    is_tuple = typing.get_origin(kind) is tuple
    if not is_tuple or arguments[1:] == (...,):
        return [arguments[0] if arguments else Any] * count
    return list(arguments) if len(arguments) == count else None
