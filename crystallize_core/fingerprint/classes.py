"""What a class of the project consists of: what was written in it, without what Python and its tools add.

Dataclasses, named tuples and enums are described by their fields and members, since the methods that are generated for them differ
between versions of Python.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.fingerprint.encoding import head, text, type_name
from crystallize_core.fingerprint.origin import Origin, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["annotations_of", "members"]

_MADE: Final = frozenset(
    {
        "__module__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__annotations__",
        "__annotations_cache__",
        "__annotate__",
        "__annotate_func__",
        "__firstlineno__",
        "__static_attributes__",
        "__slotnames__",  # remembered by copyreg when the first instance is looked at
        "__classdictcell__",
        "__match_args__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__abstractmethods__",
        "__protocol_attrs__",
        "__non_callable_proto_members__",
        "__orig_bases__",
        "__parameters__",
        "__type_params__",
        "_abc_impl",
        "_is_protocol",
        "_is_runtime_protocol",
    }
)

# What pydantic compiles out of the fields and validators, which are kept.
_COMPILED: Final = ("__pydantic_", "__signature__")
_COMPILED_KEPT: Final = frozenset({"__pydantic_fields__"})

# The questions to `dataclass` that all supported versions of Python know.
_PARAMETERS: Final = ("init", "repr", "eq", "order", "unsafe_hash", "frozen")
_FIELD: Final = ("name", "default", "default_factory", "init", "repr", "hash", "compare", "kw_only", "metadata")


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """The names in a class and what they are bound to, sorted."""
    if issubclass(kind, enum.Enum):
        yield from _of_enum(kind)
        return
    if tuple in kind.__bases__ and "_field_defaults" in vars(kind):
        yield from _of_named_tuple(kind)
        return
    generated = "__dataclass_params__" in vars(kind)
    if generated:
        yield from _of_dataclass(kind)
    if "__pydantic_decorators__" in vars(kind):
        yield "__pydantic_decorators__", _of_decorators(vars(kind)["__pydantic_decorators__"])
    for name, value in sorted(vars(kind).items()):
        if name in _MADE or (name.startswith(_COMPILED) and name not in _COMPILED_KEPT):
            continue
        if isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType):
            continue  # a slot, which is in `__slots__`
        if generated and _is_generated(value):
            continue
        # What attrs makes of the fields, which are kept, has a number in it that is another one in each process.
        yield name, "made by attrs" if name == "__hash__" and _is_made_by_attrs(value) else value


def _of_enum(kind: type[enum.Enum]) -> Iterator[tuple[str, Any]]:
    yield "__members__", [(name, member.value) for name, member in kind.__members__.items()]
    yield from _written(kind)


def _written(kind: type) -> Iterator[tuple[str, Any]]:
    """The methods that somebody wrote, without those that the standard library made."""
    for name, value in sorted(vars(kind).items()):
        function = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        if not isinstance(function, types.FunctionType) or function.__module__.startswith("namedtuple_"):
            continue
        if origin_of(function)[0] is Origin.PROJECT:
            yield name, value


def _of_named_tuple(kind: type) -> Iterator[tuple[str, Any]]:
    space = vars(kind)
    yield "_fields", space["_fields"]
    yield "_field_defaults", space["_field_defaults"]
    yield from _written(kind)


def _of_dataclass(kind: type) -> Iterator[tuple[str, Any]]:
    parameters = vars(kind)["__dataclass_params__"]
    yield "__dataclass_params__", {name: getattr(parameters, name) for name in _PARAMETERS}
    fields = vars(kind).get("__dataclass_fields__", {})
    yield "__dataclass_fields__", [_field(field) for field in fields.values()]


def _of_decorators(decorators: Any) -> dict[str, Any]:
    """When the validators of a pydantic model run; what they do is in the methods."""
    if not dataclasses.is_dataclass(decorators):
        return {}
    groups = {field.name: getattr(decorators, field.name) for field in dataclasses.fields(decorators)}
    return {
        group: {name: getattr(decorator, "info", None) for name, decorator in validators.items()}
        for group, validators in groups.items()
        if isinstance(validators, dict)
    }


def _is_generated(value: Any) -> bool:
    """Whether `dataclass` made it; a `__repr__` of its making is wrapped, other methods are its own."""
    inner = getattr(value, "__wrapped__", value)
    if not isinstance(inner, types.FunctionType):
        return False
    return inner.__code__.co_filename == "<string>" or origin_of(inner)[0] is Origin.STANDARD


def _is_made_by_attrs(value: Any) -> bool:
    return isinstance(value, types.FunctionType) and value.__code__.co_filename.startswith("<attrs generated")


def _field(field: dataclasses.Field[Any]) -> list[Any]:
    given = {name: getattr(field, name) for name in _FIELD}
    return [
        (name, dict(value) if name == "metadata" else value)
        for name, value in given.items()
        if value is not dataclasses.MISSING
    ]


def annotations_of(kind: type) -> bytes:
    """The encoding of the annotations of a class: for data classes and models they are part of what it does."""
    try:
        annotations = vars(kind).get("__annotations__") or (
            getattr(kind, "__annotations__", {}) if "__annotate_func__" in vars(kind) else {}
        )
    except Exception:  # noqa: BLE001 - annotations that are evaluated late may name anything
        annotations = {}
    if not isinstance(annotations, dict):  # of a compiled class
        annotations = {}
    parts = [text(str(name)) + _annotation(value) for name, value in annotations.items()]
    return head(b"d", len(parts)) + b"".join(parts)


def _annotation(value: Any) -> bytes:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list | tuple):
        return head(b"l", len(value)) + b"".join(_annotation(item) for item in value)
    origin = typing.get_origin(value)
    if origin is not None:
        return head(b"g", 2) + _annotation(origin) + _annotation(typing.get_args(value))
    if hasattr(value, "__qualname__"):
        return text(type_name(value))
    if isinstance(value, bool | int | float | bytes | None):
        return text(f"{type(value).__qualname__} {value!r}")
    name = getattr(value, "__name__", None) or getattr(value, "_name", None) or getattr(value, "__forward_arg__", "")
    return text(f"{type_name(type(value))} {name}")
