"""Whether a value can be of two classes at once.

Two classes that are not related can have a common subclass, so strictly nothing is certain. What is asked here is whether
any class that is loaded *is* one: an annotation names what its author has in mind, and hardly ever two unrelated things
at once. So the answer may change from "no" to "yes" when more is imported, and never the other way round. Builtin classes
stand for themselves alone: that some flag is an `int` that can be gone through says nothing about what is annotated `int`.

Classes that decide for themselves what is an instance of them (a metaclass with `__instancecheck__`, a proxy that
pretends to have another `__class__`) may be anything.
"""

from __future__ import annotations

import inspect
import itertools
import typing
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.annotations.protocols import has_members, is_protocol
from crystallize_core.imported import imported

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Undecided", "exclude_each_other", "stands_for"]


class Undecided(Exception):  # noqa: N818 - no error: it ends a comparison that would take too long
    """There is too much to compare, so nothing is certain."""


_TOWER: Final = (int, float, complex)
# What type checkers accept for a class without being derived from it.
_PROMOTED: Final[tuple[tuple[type, tuple[type, ...]], ...]] = (
    (float, (int,)),
    (complex, (int, float)),
    (bytes, (bytearray, memoryview)),
)
# Only type checkers know which classes these are: nothing is derived from them or registered.
_FILES: Final = (typing.IO, typing.BinaryIO, typing.TextIO)
# Which builtin classes there are that abstract classes and protocols could be about.
_STANDARD: Final = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, range)
# Metaclasses whose `__instancecheck__` does not accept what is derived from nothing and registered nowhere; pydantic's asks
# for less than that of `abc`, as a shortcut.
_HONEST: Final = frozenset({"abc", "builtins", "typing", "typing_extensions", "pydantic._internal._model_construction"})
_LARGEST_FAMILY: Final = 2000


def exclude_each_other(one: type, other: type) -> bool:
    """Whether it is certain that no value is an instance of both classes; the order does not matter.

    Raises:
        Undecided: One of them has too many subclasses to look at.

    """
    if _fits(one, other) or _fits(other, one) or _is_magic(one) or _is_magic(other):
        return False
    if _is_open(one) or _is_open(other):  # of two descriptions without a concrete class, many a class could be both
        concrete = other if _is_open(one) else one
        if _is_open(concrete) or inspect.isabstract(concrete):
            return False
    candidates = itertools.chain(_STANDARD, _family(one), _family(other))
    return not any(_fits(kind, one) and _fits(kind, other) for kind in candidates)


def stands_for(kind: type, expected: type) -> bool:
    """Whether values of a class are accepted for another that it is not derived from.

    These are the numeric tower (an `int` where a `float` is asked for), the scalars of numpy, files, and a class that was
    defined a second time under the same name, as happens in notebooks.
    """
    if any(expected is file for file in _FILES):
        return True
    if any(expected is wide and issubclass(kind, narrow) for wide, narrow in _PROMOTED):
        return True
    if (expected is bool or any(expected is number for number in _TOWER)) and _is_numpy_number(kind, expected):
        return True
    return _same_name(kind, expected)


def _same_name(one: type, other: type) -> bool:
    """Whether both are the same class as far as people can see, whatever parameters it was made for.

    Pydantic makes a class of its own for each of `Box[int]` and `Box[Any]`.
    """
    names = [kind.__qualname__.partition("[")[0] for kind in (one, other)]
    return names[0] == names[1] and one.__module__ == other.__module__


def _is_numpy_number(kind: type, expected: type) -> bool:
    numpy = imported("numpy")
    if numpy is None:  # then there is no such class
        return False
    return issubclass(kind, numpy.bool_ if expected is bool else (numpy.number, numpy.bool_))


def _fits(kind: type, expected: type) -> bool:
    if is_protocol(expected):
        return has_members(kind, expected)
    if is_protocol(kind):
        return any(base is expected for base in kind.__mro__)  # not all protocols let themselves be asked
    return issubclass(kind, expected) or stands_for(kind, expected)


def _is_magic(kind: type) -> bool:
    """Whether the class itself does not tell what its instances are."""
    if any(base is Any or (base is not object and "__class__" in vars(base)) for base in kind.__mro__):
        return True
    metaclasses = inspect.getmro(type(kind))
    asked = ("__instancecheck__", "__subclasscheck__")
    return any(next(meta for meta in metaclasses if name in vars(meta)).__module__ not in _HONEST for name in asked)


def _is_open(kind: type) -> bool:
    """Whether the class accepts others by what they have: a protocol, or an abstract class like `Iterable`."""
    return is_protocol(kind) or "__subclasshook__" in vars(kind)


def _family(kind: type) -> Iterator[type]:
    """All loaded classes that are derived from a class, nearest first."""
    if kind.__module__ == "builtins":
        return
    waiting, seen = [kind], {id(kind)}
    for parent in waiting:
        children: list[type] = type.__subclasses__(parent)  # a metaclass may have its own idea of them
        for child in children:
            if id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)
                yield child
        if len(seen) > _LARGEST_FAMILY:
            raise Undecided
