"""Whether what one step produces can be what another expects, told from their annotations alone.

An error that is reported here stops a pipeline before it ran, so it is reported only when it is **certain**: no value
that the annotation of the producer describes is one that the annotation of the consumer describes. That is less than a type
checker asks for, which wants *every* value to fit: a step annotated `int | None` may well give an `int` whenever it
matters, and one annotated with a base class gives an instance of the right subclass. So the question is the same in both
directions, and most doubts end it:

- A union disagrees when each of its members does. A `None` that both sides have written down is a value on which they agree.
- Two classes exclude each other when no class that is loaded is both; `classes.py` says why this and no more.
- Protocols and abstract classes are compared by their members and registrations, two of them never exclude each other.
- By the rule of the language, `float` describes every `int` too. So `float` for `int` is as uncertain as `int | None`.
- Containers of the same kind disagree when their items do, although an empty list is both a `list[int]` and a
  `list[str]`: what is right only as long as there is nothing in it is not what either author meant, and everything
  reported so is an error for type checkers as well. Only containers of the standard library are looked into.
- Tuples of fixed length disagree when their lengths do or one pair of positions does.
- TypedDicts disagree when a key that both require does, or when each requires a key that the other has not; where
  only one of them has more keys, it may be the more precise annotation of the same thing.
- What cannot be read, is no type, or has no end is not known to disagree.
"""

from __future__ import annotations

import enum
import types
import typing
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from crystallize_core.annotations.classes import Undecided, exclude_each_other
from crystallize_core.annotations.contents import Contents, contents_of, fields_of
from crystallize_core.annotations.forms import UNKNOWN, bare, is_union, outer, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crystallize_core.annotations.contents import Field

__all__ = ["mismatch"]

# Pairs of annotations that are looked at before it is given up: a union of 30 compared with another.
_MOST_PAIRS: Final = 1000
_DEEPEST: Final = 30


def mismatch(produced: Any, expected: Any) -> str | None:
    """Why a value annotated `produced` can never be one annotated `expected`: the middle of a message, or None.

    None means that it can be or that it is not certain. Never raises, whatever the objects are.

    Which classes have a common subclass depends on what is imported, so this is to be asked where a pipeline is written,
    not again in a worker.
    """
    if produced is expected or expected is Any or produced is Any:
        return None
    try:
        if type(produced) is type and type(expected) is type:  # most annotations; without a metaclass, asking is quick
            if issubclass(produced, expected) or issubclass(expected, produced):
                return None
            certain = exclude_each_other(produced, expected)
        else:
            certain = _Comparison().disagree(produced, expected, _DEEPEST)
    except Exception:  # noqa: BLE001 - a foreign class may do anything when it is asked; then nothing is certain
        return None
    if not certain:
        return None
    texts = written(produced), written(expected)
    if texts[0] == texts[1]:
        texts = written(produced, qualified=True), written(expected, qualified=True)
    return f"produces {texts[0]}, expected {texts[1]}"


@attrs.define
class _Comparison:
    """One comparison of two annotations with all that is inside them."""

    left: int = _MOST_PAIRS

    def disagree(self, one: Any, other: Any, depth: int) -> bool:
        """Whether no value is described by both; the order does not matter."""
        self.left -= 1
        if self.left < 0 or depth < 0:
            raise Undecided
        if one is other or (type(one) is type(other) is types.GenericAlias and one == other):
            return False
        one, other = bare(one), bare(other)
        if one is other or one is UNKNOWN or other is UNKNOWN:
            return False
        for this, that in ((one, other), (other, one)):
            if is_union(this):
                return all(self.disagree(member, that, depth - 1) for member in typing.get_args(this))
        for this, that in ((one, other), (other, one)):
            if typing.get_origin(this) is Literal:
                return self._choices_disagree(typing.get_args(this), that, depth - 1)
        return self._classes_disagree(one, other, depth - 1)

    def _choices_disagree(self, choices: tuple[Any, ...], other: Any, depth: int) -> bool:
        if not all(isinstance(choice, _CHOICES) for choice in choices):
            return False  # nothing that may stand in a Literal
        if typing.get_origin(other) is Literal:
            return set(choices).isdisjoint(typing.get_args(other))
        return all(self.disagree(kind, other, depth) for kind in {type(choice) for choice in choices})

    def _classes_disagree(self, one: Any, other: Any, depth: int) -> bool:
        kinds = outer(one), outer(other)
        if kinds[0] is UNKNOWN or kinds[1] is UNKNOWN:
            return False
        fields = fields_of(kinds[0]), fields_of(kinds[1])
        if fields[0] is not None and fields[1] is not None:
            return self._fields_disagree(fields[0], fields[1], depth)
        plain = [kind if keys is None else dict for kind, keys in zip(kinds, fields, strict=True)]
        if plain[0] is not plain[1] and exclude_each_other(plain[0], plain[1]):
            return True
        if all(kind is type for kind in plain):
            arguments = typing.get_args(one), typing.get_args(other)
            return all(arguments) and self.disagree(arguments[0][0], arguments[1][0], depth)
        return self._contents_disagree(contents_of(one), contents_of(other), depth)

    def _fields_disagree(self, one: Mapping[str, Field], other: Mapping[str, Field], depth: int) -> bool:
        lacks = [
            any(field.required and name not in theirs for name, field in ours.items())
            for ours, theirs in ((one, other), (other, one))
        ]
        return all(lacks) or any(
            one[name].required and field.required and self.disagree(one[name].annotation, field.annotation, depth)
            for name, field in other.items()
            if name in one
        )

    def _contents_disagree(self, one: Contents, other: Contents, depth: int) -> bool:
        if one.positions is not None and other.positions is not None and len(one.positions) != len(other.positions):
            return True
        count = len(one.positions or other.positions or ())
        if one.positions is None and other.positions is None:
            count = 1
        pairs = list(zip(one.given(count), other.given(count), strict=True))
        pairs += [(mine, theirs) for mine in one.values for theirs in other.values]
        return any(self.disagree(mine, theirs, depth) for mine, theirs in pairs)


_CHOICES: Final = (str, bytes, int, types.NoneType, enum.Enum)
