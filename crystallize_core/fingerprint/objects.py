"""Objects of any class, by their state: what `__reduce_ex__` says is needed to build them again.

This is the description that pickle saves, encoded canonically instead of in the order in which it happens to come.
A class that has `__getstate__` or `__reduce__` thereby decides itself what its state is.
"""

from __future__ import annotations

import copyreg
import functools
import types
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.fingerprint.encoding import Blocked, Encoder, head, text, type_name

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CODE_TYPES", "encode_object", "sorted_for_labels"]

# What counts by its code, and not by its state. Subclasses included: metaclasses, own kinds of modules.
CODE_TYPES: Final[tuple[type, ...]] = (
    type,
    staticmethod,
    classmethod,
    property,
    functools.partial,
    functools.partialmethod,
    functools.cached_property,
    functools.singledispatchmethod,
    type(functools.lru_cache(len)),
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    types.CodeType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)

# Pickle's own ways of making an empty instance; which of them is used says nothing about the value.
_MAKERS: Final = frozenset({"copyreg.__newobj__", "copyreg.__newobj_ex__", "copyreg._reconstructor"})

# A hash of strings, which differs between processes; attrs keeps it in the state of some instances.
_VOLATILE: Final = frozenset({"_attrs_cached_hash"})


def encode_object(enc: Encoder, value: Any) -> bytes:
    """The encoding of an object that no other rule is for.

    Raises:
        Blocked: The object cannot be described by data.

    """
    kind = type(value)
    reduced = _reduce(value)
    if isinstance(reduced, str):  # a singleton that is found by its name
        module = getattr(value, "__module__", None) or kind.__module__
        return head(b"g", 2) + enc.kind(kind) + text(f"{module}.{reduced}")
    maker, arguments, state, items, pairs = (*tuple(reduced), None, None, None)[:5]
    encoding = enc.kind(kind) + _maker(enc, maker) + _arguments(enc, value, arguments) + _state(enc, value, state)
    listed = list(items) if items is not None else []
    encoding += enc.sequence(b"l", listed, len(listed))
    if isinstance(value, OrderedDict):
        encoding += enc.sequence(b"o", value.items(), len(value))
    else:
        encoding += enc.mapping(b"d", pairs if pairs is not None else ())
    return head(b"O", 6) + encoding


def _reduce(value: Any) -> Any:
    kind = type(value)
    reducer = copyreg.dispatch_table.get(kind)
    try:
        return reducer(value) if reducer is not None else value.__reduce_ex__(4)
    except Blocked:
        raise
    except Exception as error:
        raise Blocked(kind, f"it cannot be described by data ({error})") from error


def _maker(enc: Encoder, maker: Any) -> bytes:
    if not hasattr(maker, "__qualname__"):
        return enc(maker)
    name = type_name(maker)
    return b"-" if name in _MAKERS else text(name)


def _arguments(enc: Encoder, value: Any, arguments: tuple[Any, ...]) -> bytes:
    """Classes among the arguments say what to build; they count by name, like the class of the object itself."""
    path = "[{}]" if isinstance(value, tuple) else ".<argument {} of its __reduce__>"
    parts = [head(b"t", len(arguments))]
    skipped = 1 if arguments and arguments[0] is type(value) else 0
    for index, argument in enumerate(arguments):
        try:
            parts.append(text(type_name(argument)) if isinstance(argument, type) else enc(argument))
        except Blocked as blocked:
            blocked.within(path.format(index - skipped))
            raise
    return b"".join(parts)


def _state(enc: Encoder, value: Any, state: Any) -> bytes:
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):  # noqa: PLR2004 - dict and slots
        fields = {**(state[0] or {}), **state[1]} if isinstance(state[0], dict | None) else None
    else:
        fields = {} if state is None else state if isinstance(state, dict) else None
    if fields is None:
        try:
            return enc(state)
        except Blocked as blocked:
            blocked.within(".<state>")
            raise
    kind = type(value)
    return enc.mapping(b"d", ((name, item) for name, item in fields.items() if _counts(kind, name)), ".{}")


def _counts(kind: type, name: object) -> bool:
    """Whether an attribute is state: a cached property is there or not, depending on who looked before."""
    if not isinstance(name, str):
        return True
    return name not in _VOLATILE and not isinstance(getattr(kind, name, None), functools.cached_property)


def sorted_for_labels(values: Iterable[Any], enc: Encoder) -> Iterable[Any]:
    """The members of a set, the functions among them by name.

    The walk over code gives labels in the order in which it meets functions, which must not be that of their addresses.
    """
    if enc.walk is None:
        return values
    return sorted(values, key=_place)


def _place(value: Any) -> tuple[str, str, int]:
    if not isinstance(value, CODE_TYPES):
        return "", "", 0
    code = getattr(value, "__code__", None)
    line = code.co_firstlineno if isinstance(code, types.CodeType) else 0
    return str(getattr(value, "__module__", "")), str(getattr(value, "__qualname__", "")), line
