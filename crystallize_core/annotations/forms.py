"""What an annotation says without its wrappers, and how it is written for people."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from typing import Any, Final, Literal

from crystallize_core.errors import safe_str

__all__ = ["UNKNOWN", "bare", "is_empty_tuple", "is_union", "modifier_of", "outer", "written"]


class _Unknown:
    """The type of `UNKNOWN`; there is one of it in every process."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __reduce__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
"""Stands for an annotation that is not there, cannot be read or does not say anything; it agrees with every other."""

# What says nothing. A function that never returns produces no value that could be wrong.
_SAYS_NOTHING: Final = (Any, object, typing.Never, typing.NoReturn, typing.Generic, typing.Protocol, UNKNOWN)
# What stands around an annotation and leaves the values as they are; by name, as `typing_extensions` has them too.
_MODIFIERS: Final = frozenset({"ClassVar", "Final", "NotRequired", "ReadOnly", "Required"})
_BOOLEAN: Final = frozenset({"TypeGuard", "TypeIs"})
# Wrappers in wrappers, such as a NewType of an alias of a NewType; more of them are a circle.
_MOST_WRAPPERS: Final = 50
_DEEPEST: Final = 6
_LONGEST: Final = 120


def bare(annotation: Any) -> Any:
    """The class, generic alias, union or `Literal` that is inside an annotation; `UNKNOWN` if there is none.

    Type variables stand for their bound or their constraints, new types for what they are made of. What says nothing
    (`Any`, `object`) and what is no type (text that was not resolved, a number) is `UNKNOWN`.
    """
    for _ in range(_MOST_WRAPPERS):
        if type(annotation) is type:  # all classes without a metaclass, at once
            return UNKNOWN if annotation is object else annotation
        inner = _inside(annotation)
        if inner is annotation:
            return annotation
        annotation = inner
    return UNKNOWN


def _inside(annotation: Any) -> Any:
    """The annotation without the outermost wrapper; itself if it has none."""
    if annotation is None:
        return types.NoneType
    if any(annotation is nothing for nothing in _SAYS_NOTHING):
        return UNKNOWN
    origin = typing.get_origin(annotation)
    if origin is None:
        return _unwrapped(annotation)
    if origin is typing.Annotated or modifier_of(annotation):
        return typing.get_args(annotation)[0]
    if getattr(origin, "_name", None) in _BOOLEAN:
        return bool
    if type(origin).__name__ == "TypeAliasType":
        return origin.__value__  # its parameters stay type variables, which say little
    if isinstance(origin, type) or origin is Literal or origin is typing.Union:
        return annotation
    return UNKNOWN


def _unwrapped(annotation: Any) -> Any:
    """The same for what has no parameters."""
    if isinstance(annotation, type):
        return annotation
    if isinstance(annotation, typing.NewType):
        return annotation.__supertype__
    if isinstance(annotation, typing.TypeVar):
        if annotation.__constraints__:
            return typing.Union[annotation.__constraints__]  # noqa: UP007 - their number is not known
        return UNKNOWN if annotation.__bound__ is None else annotation.__bound__
    if isinstance(annotation, dataclasses.InitVar):
        return annotation.type
    if type(annotation).__name__ == "TypeAliasType":  # by name: `typing` has it since Python 3.12
        return annotation.__value__
    return str if annotation is typing.LiteralString else UNKNOWN


def modifier_of(annotation: Any) -> str | None:
    """`"Required"`, `"Final"` and the like if the annotation is one of these around another."""
    name = getattr(typing.get_origin(annotation), "_name", None)
    return name if name in _MODIFIERS else None


def outer(annotation: Any) -> Any:
    """The class of a bare annotation without its parameters: `list` for `list[int]`; `UNKNOWN` if it is no class."""
    origin = typing.get_origin(annotation)
    kind = annotation if origin is None else origin
    return kind if isinstance(kind, type) else UNKNOWN


def is_union(annotation: Any) -> bool:
    """Whether it is `int | None`, in any spelling."""
    origin = typing.get_origin(annotation)
    return origin is typing.Union or origin is types.UnionType


def is_empty_tuple(annotation: Any) -> bool:
    """Whether it is `tuple[()]`; a bare `tuple`, in both its spellings, has any number of items."""
    if typing.get_origin(annotation) is not tuple or typing.get_args(annotation):
        return False
    return annotation is not typing.Tuple  # noqa: UP006 - the other spelling


def written(annotation: Any, *, qualified: bool = False) -> str:
    """An annotation as people write it: `int`, `str | None`, `list[int]`, `'thread' | 'process'`.

    Never raises, and shortens what is long.

    Args:
        annotation: Any object.
        qualified: Name the modules of classes too, to tell apart what has the same name.

    """
    try:
        text = _written(annotation, qualified=qualified, depth=_DEEPEST)
    except Exception:  # noqa: BLE001 - a foreign class may do anything when it is asked for its name
        return "a type that cannot be shown"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _written(annotation: Any, *, qualified: bool, depth: int) -> str:
    if annotation is None or annotation is types.NoneType:
        return "None"
    if annotation is ... or depth == 0:
        return "..."
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return " | ".join(str(choice) if isinstance(choice, enum.Enum) else repr(choice) for choice in arguments)
    if origin is typing.Annotated:
        return _written(arguments[0], qualified=qualified, depth=depth)
    inside = [_written(item, qualified=qualified, depth=depth - 1) for item in arguments]
    if is_union(annotation):
        return " | ".join(dict.fromkeys(inside))
    if isinstance(annotation, list):  # the parameters of a Callable
        return f"[{', '.join(_written(item, qualified=qualified, depth=depth - 1) for item in annotation)}]"
    name = _name(annotation if origin is None else origin, qualified=qualified)
    if is_empty_tuple(annotation):
        inside = ["()"]
    return f"{name}[{', '.join(inside)}]" if inside else name


def _name(annotation: Any, *, qualified: bool) -> str:
    if isinstance(annotation, str):
        return annotation
    if isinstance(annotation, typing.ForwardRef):
        return annotation.__forward_arg__
    name = getattr(annotation, "__name__", None)
    if qualified and isinstance(annotation, type) and annotation.__module__ != "builtins":
        name = f"{annotation.__module__}.{annotation.__qualname__}"
    return name if isinstance(name, str) else safe_str(annotation).removeprefix("typing.")
