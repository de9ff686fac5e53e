"""What is inside the values of an annotation: the items of a list, the positions of a tuple, the keys of a TypedDict."""

from __future__ import annotations

import collections
import sys
import typing
from collections import abc
from collections.abc import Mapping
from typing import Any, Final

import attrs

from crystallize_core.annotations.forms import UNKNOWN, is_empty_tuple, modifier_of, outer
from crystallize_core.annotations.read import resolved

__all__ = ["Contents", "Field", "contents_of", "fields_of"]


@attrs.frozen
class Contents:
    """The annotations of what the values of an annotation hold.

    Attributes:
        items: What going through such a value gives one by one; the keys of a mapping.
        values: What a mapping certainly has as values; nothing for what is no mapping.
        positions: One annotation per item where their number is fixed; None where it is not.

    """

    items: Any = UNKNOWN
    values: tuple[Any, ...] = ()
    positions: tuple[Any, ...] | None = None

    def given(self, count: int) -> tuple[Any, ...]:
        """The annotations of the first `count` items."""
        return (self.items,) * count if self.positions is None else self.positions[:count]


@attrs.frozen
class Field:
    """A key of a TypedDict: the annotation of its value, and whether it is always there."""

    annotation: Any
    required: bool


_NOTHING: Final = Contents()
# Their first parameter is what they give one by one. Generic classes of users are not among them: what the parameter of
# a `Box[int]` means is known to its author alone.
_ITEMS: Final = (
    list,
    set,
    frozenset,
    collections.deque,
    abc.AsyncGenerator,
    abc.AsyncIterable,
    abc.AsyncIterator,
    abc.Collection,
    abc.Container,
    abc.Generator,
    abc.Iterable,
    abc.Iterator,
    abc.KeysView,
    abc.MutableSequence,
    abc.MutableSet,
    abc.Reversible,
    abc.Sequence,
    abc.Set,
    abc.ValuesView,
)
_MAPPINGS: Final = (
    dict,
    collections.ChainMap,
    collections.OrderedDict,
    collections.defaultdict,
    abc.Mapping,
    abc.MutableMapping,
)
_KEYS_AND_VALUES: Final = 2
_TEXTS: Final = ((str, str), (bytes, int), (bytearray, int), (range, int))


def contents_of(annotation: Any) -> Contents:
    """What is inside the values of a bare annotation; all of it unknown where it does not say."""
    kind, arguments = outer(annotation), typing.get_args(annotation)
    if kind is tuple:
        return _of_tuple(annotation, arguments)
    if not arguments:
        return _of_class(kind)
    if any(kind is known for known in _MAPPINGS) and len(arguments) == _KEYS_AND_VALUES:
        return Contents(items=arguments[0], values=(arguments[1],))
    if kind is collections.Counter:
        return Contents(items=arguments[0], values=(int,))
    if any(kind is known for known in _ITEMS):
        return Contents(items=arguments[0])
    return _NOTHING


def _of_tuple(annotation: Any, arguments: tuple[Any, ...]) -> Contents:
    if not arguments:
        return Contents(positions=()) if is_empty_tuple(annotation) else _NOTHING
    if any(getattr(argument, "__unpacked__", False) or _is_unpacked(argument) for argument in arguments):
        return _NOTHING
    if arguments[1:] == (...,):
        return Contents(items=arguments[0])
    return Contents(positions=arguments)


def _is_unpacked(argument: Any) -> bool:
    return getattr(typing.get_origin(argument), "_name", None) == "Unpack"


def _of_class(kind: Any) -> Contents:
    for text, item in _TEXTS:
        if kind is text:
            return Contents(items=item)
    fields = fields_of(kind)
    if fields is not None:
        return Contents(items=str, values=tuple(field.annotation for field in fields.values() if field.required))
    if isinstance(kind, type) and issubclass(kind, tuple):
        names = vars(kind).get("_fields")
        if isinstance(names, tuple):  # a named tuple itself; a class derived from one may give other items
            found = _own_annotations(kind)
            return Contents(positions=tuple(found.get(name, UNKNOWN) for name in names))
    return _NOTHING


def fields_of(kind: Any) -> Mapping[str, Field] | None:
    """The keys of a TypedDict; None if the class is none."""
    if not isinstance(kind, type) or "__required_keys__" not in vars(kind) or "__total__" not in vars(kind):
        return None
    required = vars(kind)["__required_keys__"]
    return {name: _field(annotation, required=name in required) for name, annotation in _own_annotations(kind).items()}


def _field(annotation: Any, *, required: bool) -> Field:
    """The field without `Required` and `NotRequired`, which the class did not see if they were written as text."""
    if annotation is UNKNOWN:
        return Field(UNKNOWN, required=False)
    while (modifier := modifier_of(annotation)) is not None or typing.get_origin(annotation) is typing.Annotated:
        if modifier in ("Required", "NotRequired"):
            required = modifier == "Required"
        annotation = typing.get_args(annotation)[0]
    return Field(annotation, required)


def _own_annotations(kind: type) -> dict[str, Any]:
    names = getattr(sys.modules.get(kind.__module__), "__dict__", {})
    return {name: resolved(annotation, names, {}) for name, annotation in kind.__annotations__.items()}
