"""Whether code is still what it was, without walking through all of it again.

A walk over code (`code.py`) looks at functions, at what names stand for, and at values. Where all of these are functions,
plain containers and things that cannot change in themselves, it is enough to see that each name still stands for the
same object, that each function still has the same code, and that each container still holds the same objects. That is
what a stamp does. Where there is anything else, such as a class of the project, there is no stamp, and whoever wants to
know has to walk.
"""

from __future__ import annotations

import builtins
import sys
import types
from itertools import chain
from operator import is_
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.fingerprint.code import MOST_PARTS, absolute, attribute_of, is_project
from crystallize_core.fingerprint.names import names_of
from crystallize_core.fingerprint.origin import Origin, origin_of, origin_of_module

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crystallize_core.fingerprint.names import Import

__all__ = ["CodeStamp", "cannot_change"]

_MISSING: Final = object()
_SCALARS: Final = frozenset({bool, int, float, complex, str, bytes, types.NoneType, types.EllipsisType})
_CONTAINERS: Final = frozenset({dict, frozenset, list, set, tuple})
_Function = tuple[types.FunctionType, Any, Any, Any, Any, Any]


def cannot_change(value: Any) -> bool:
    """Whether a value is a number, a text or made of such, so that the same object is the same value for ever."""
    if type(value) in (tuple, frozenset):
        return all(map(cannot_change, value))
    return type(value) in _SCALARS


class CodeStamp:
    """What a walk over a function would look at, as it is now."""

    __slots__ = ("_cells", "_containers", "_functions", "_names")

    def __init__(self) -> None:
        self._containers: list[tuple[Any, list[Any]]] = []
        self._functions: list[_Function] = []
        self._names: list[tuple[dict[str, Any], str, Any]] = []
        self._cells: list[tuple[types.CellType, Any]] = []

    @classmethod
    def of(cls, function: Any) -> CodeStamp | None:
        """The stamp of a function and of all that it reaches; None where something of it can change in itself."""
        stamp = cls()
        try:
            _Looking(stamp).at(function)
        except _CanChangeError:
            return None
        return stamp

    def add(self, function: types.FunctionType) -> None:
        """Write down what the function is made of."""
        f = function
        self._functions.append((f, f.__code__, f.__defaults__, f.__kwdefaults__, f.__qualname__, f.__module__))

    def holds(self) -> bool:
        """Whether all of it is as it was: then a walk would come to the same digest."""
        for function, code, defaults, named, qualname, module in self._functions:
            if (
                function.__code__ is not code
                or function.__defaults__ is not defaults
                or function.__kwdefaults__ is not named
                or function.__dict__
                or function.__qualname__ is not qualname
                or function.__module__ is not module
            ):
                return False
        for space, name, value in self._names:
            if space.get(name, _MISSING) is not value:
                return False
        for cell, value in self._cells:
            if _content_of(cell) is not value:
                return False
        return not self._containers or all(
            len(container) * (1 + (type(container) is dict)) == len(items) and all(map(is_, _items(container), items))
            for container, items in self._containers
        )


def _items(container: Any) -> Iterable[Any]:
    return chain(container, container.values()) if type(container) is dict else container


class _CanChangeError(Exception):
    """There is something that identity says nothing about."""


class _Looking:
    """One look at a function and all that it reaches; takes the ways that `code.py` takes."""

    def __init__(self, stamp: CodeStamp) -> None:
        self._stamp = stamp
        self._known: set[int] = set()
        self._waiting: list[types.FunctionType] = []

    def at(self, function: Any) -> None:
        self._value(function)
        while self._waiting:
            self._function(self._waiting.pop())
            if len(self._known) > MOST_PARTS:
                raise _CanChangeError

    def _function(self, function: types.FunctionType) -> None:
        # Notes that a function carries, and defaults by name, are in dictionaries that anybody may change.
        if function.__dict__ or function.__kwdefaults__:
            raise _CanChangeError
        self._stamp.add(function)
        for value in function.__defaults__ or ():
            self._value(value)
        for cell in function.__closure__ or ():
            value = _content_of(cell)
            self._stamp._cells.append((cell, value))  # noqa: SLF001 - this is how a stamp is made
            if value is not _MISSING:
                self._value(value)
        names, space = names_of(function.__code__), function.__globals__
        if id(space) not in self._known:
            self._known.add(id(space))
            for name in ("__name__", "__package__"):
                self._look_up(space, name)
        for path in names.globals:
            value = self._look_up(space, path[0])
            if value is _MISSING:
                value = self._look_up(vars(builtins), path[0])
            self._follow(value, path[1:])
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))
        for path in names.free:
            self._follow(_content_of(cells[path[0]]), path[1:])
        for what, rest in names.imports:
            self._import(what, rest, space)

    def _look_up(self, space: dict[str, Any], name: str) -> Any:
        value = space.get(name, _MISSING)
        self._stamp._names.append((space, name, value))  # noqa: SLF001 - as above
        return value

    def _follow(self, value: Any, path: tuple[str, ...]) -> None:
        """Follow names through modules; what is left of the path is asked of something that is no module."""
        is_outside = False
        while path and isinstance(value, types.ModuleType):
            module, name, path = value, path[0], path[1:]
            value = self._look_up(vars(module), name)
            if value is _MISSING:  # a submodule, or something that the module makes when it is asked
                value = attribute_of(module, name)
                self._look_up(sys.modules, f"{module.__name__}.{name}")
                if not isinstance(value, types.ModuleType):
                    raise _CanChangeError
            is_outside = origin_of(module)[0] is not Origin.PROJECT
        if value is _MISSING or (is_outside and callable(value) and not is_project(value)):
            return
        self._value(value)

    def _import(self, what: Import, rest: tuple[str, ...], space: dict[str, Any]) -> None:
        name = absolute(what, space)
        module = self._look_up(sys.modules, name)
        if module is _MISSING and origin_of_module(name)[0] is not Origin.PROJECT:
            return
        if what.whole or not isinstance(module, types.ModuleType):
            raise _CanChangeError
        self._follow(module, tuple(part for part in (what.attribute, *rest) if part))

    def _value(self, value: Any) -> None:
        if id(value) in self._known or cannot_change(value):
            return
        self._known.add(id(value))
        kind = type(value)
        if kind in _CONTAINERS:
            items = list(_items(value))
            self._stamp._containers.append((value, items))  # noqa: SLF001 - as above
            for item in items:
                self._value(item)
            return
        is_own = is_project(value)
        if kind is types.FunctionType and (is_own or value.__closure__ is not None or value.__dict__):
            self._waiting.append(value)
        elif kind is types.FunctionType or (kind in (type, types.ModuleType) and not is_own):
            return
        elif kind is not types.BuiltinFunctionType or not isinstance(value.__self__, types.ModuleType | None):
            raise _CanChangeError


def _content_of(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return _MISSING
