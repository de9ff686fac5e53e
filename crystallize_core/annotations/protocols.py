"""Protocols, compared by the members that they name.

`issubclass` answers only for those that are decorated with `runtime_checkable` and have methods alone.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["has_attribute", "has_members", "is_protocol"]


@runtime_checkable
class _Empty(Protocol):
    """What is in this class is in every protocol, whatever the version of Python."""


_IN_EVERY_CLASS: Final = frozenset(vars(_Empty)) | {
    "__annotate__",
    "__annotate_func__",
    "__annotations__",
    "__annotations_cache__",
    "__class_getitem__",
    "__match_args__",
    "__orig_bases__",
    "__protocol_attrs__",
    "__slots__",
    "__type_params__",
}
_NOT_PART_OF_IT: Final = frozenset({"Generic", "Protocol", "object"})
# Their instances get methods of their own.
_FILLED_LATER: Final = (type, types.ModuleType, types.SimpleNamespace)


def is_protocol(kind: type) -> bool:
    """Whether it is a protocol itself, not a class that keeps to one."""
    return bool(vars(kind).get("_is_protocol", False))


def _members(protocol: type) -> dict[str, bool]:
    """The names in a protocol, and whether each is a method."""
    found: dict[str, bool] = {}
    for base in protocol.__mro__:
        if base.__name__ in _NOT_PART_OF_IT:
            continue
        for name in _annotated(base):
            found.setdefault(name, False)
        for name, value in list(vars(base).items()):  # a class gets `__annotations__` when somebody first asks for them
            if value is not None and name not in _IN_EVERY_CLASS and not name.startswith("_abc_"):
                found.setdefault(name, callable(value))
    return found


def has_members(kind: type, protocol: type) -> bool:
    """Whether instances of a class may have all members of a protocol.

    Methods are looked for on the class. Other members may be set on the instance, where it can be set at all.
    """
    if any(base is protocol for base in kind.__mro__) or issubclass(kind, _FILLED_LATER) or _makes_attributes(kind):
        return True
    return all(
        _has_member(kind, name) or (not is_method and kind.__dictoffset__ != 0)
        for name, is_method in _members(protocol).items()
    )


def has_attribute(value: Any, protocol: type) -> bool:
    """Whether a value has all members of a protocol; nothing of its code is run."""
    kind = type(value)
    if any(base is protocol for base in kind.__mro__) or _makes_attributes(kind):
        return True
    own = getattr(value, "__dict__", {})
    inherited = value if isinstance(value, type) else None
    return all(
        name in own or _has_member(kind, name) or (inherited is not None and _has_member(inherited, name))
        for name in _members(protocol)
    )


def _has_member(kind: type, name: str) -> bool:
    for base in kind.__mro__:
        if name in vars(base):
            return vars(base)[name] is not None  # `__hash__ = None` says that there is none
        if name in _annotated(base):
            return True
    return False


def _annotated(kind: type) -> Iterable[str]:
    """The names that are annotated in a class; `type` itself has something else of that name."""
    annotations = vars(kind).get("__annotations__")
    return annotations if isinstance(annotations, dict) else ()


def _makes_attributes(kind: type) -> bool:
    """Whether it answers to any name. Only what somebody wrote counts: every builtin class has `__getattribute__`."""
    return any(
        "__getattr__" in vars(base) or isinstance(vars(base).get("__getattribute__"), types.FunctionType)
        for base in kind.__mro__
    )
