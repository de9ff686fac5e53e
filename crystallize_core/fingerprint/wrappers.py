"""Functions and what is wrapped around them: what they are called, and what they are made of."""

from __future__ import annotations

import functools
import sys
import types
import weakref
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.fingerprint.encoding import type_name
from crystallize_core.fingerprint.names import names_of
from crystallize_core.fingerprint.objects import CODE_TYPES
from crystallize_core.fingerprint.origin import Origin, origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "carries_code",
    "cells_of",
    "closure_of",
    "defaults_of",
    "described",
    "fields_of",
    "file_in",
    "key_of",
    "module_name",
    "place_of",
]

_COMPILED_CODE: Final = (
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.WrapperDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)

# What the standard library keeps in the closures of its wrappers for its own purposes.
_INSIDES: Final = (type(None), bool, int, str, weakref.WeakKeyDictionary)


def key_of(value: Any) -> Any:
    """Bound methods are made anew each time they are asked for; the same one is the same function and object."""
    if isinstance(value, types.MethodType):
        return "method", id(value.__func__), id(value.__self__)
    return id(value)


def module_name(module: types.ModuleType) -> str:
    """The name of a module; the script that was started has one name in all processes."""
    return "__main__" if module.__name__ == "__mp_main__" else module.__name__


def place_of(value: Any) -> str:
    """`module.qualname`, for functions as their code has it: decorators copy the name of what they wrap."""
    if isinstance(value, types.FunctionType):
        module = str(value.__globals__.get("__name__", "") or "")
        name = value.__code__.co_qualname
        return f"{'__main__' if module == '__mp_main__' else module}.{name}" if module else name
    if isinstance(value, types.ModuleType):
        return module_name(value)
    if hasattr(value, "__qualname__"):
        owner = getattr(value, "__self__", None)
        if owner is not None and not isinstance(owner, types.ModuleType | type) and not hasattr(value, "__module__"):
            return f"{type(owner).__module__}.{value.__qualname__}"
        return type_name(value)
    return type_name(type(value))


def file_in(module: str) -> str:
    """` in `prep.py``, for people; nothing for code that was executed without a module.

    Made of the name of the module, because a path is another one on another machine, and so is the file of what was
    started: a worker, for example.
    """
    if module in {"", "__main__", "__mp_main__"}:
        return " in `__main__`" if module else ""
    package = "/__init__" if hasattr(sys.modules.get(module), "__path__") else ""
    return f" in `{module.replace('.', '/')}{package}.py`"


def described(value: Any) -> str:
    """The label that people read: the kind of code and its place."""
    if isinstance(value, types.FunctionType | type) and origin_of(value)[0] is Origin.PROJECT:
        kind, place = "class" if isinstance(value, type) else "helper", place_of(value)
        name = value.__qualname__ if isinstance(value, type) else value.__code__.co_qualname
        return f"{kind} `{name}`{file_in(place.removesuffix(name).rstrip('.'))}"
    if isinstance(value, types.FunctionType):
        return f"function `{place_of(value)}`"
    if isinstance(value, type):
        return f"class `{place_of(value)}`"
    if isinstance(value, types.ModuleType):
        return f"module `{place_of(value)}`"
    if isinstance(value, _COMPILED_CODE):
        return f"builtin `{place_of(value)}`"
    if isinstance(value, types.CodeType):
        return f"code `{value.co_qualname}`"
    inner = next((part for part in fields_of(value).values() if isinstance(part, CODE_TYPES)), None)
    if inner is None:
        return f"{type(value).__name__} `{type_name(type(value))}`"
    return f"{type(value).__name__} {described(inner).partition(' ')[2]}"


def fields_of(value: Any) -> dict[str, Any]:
    """What a wrapper around code is made of."""
    for kind, fields in _FIELDS.items():
        if isinstance(value, kind):
            return fields(value)
    owner = getattr(value, "__self__", None)
    if owner is None or isinstance(owner, types.ModuleType) or _is_exposed(value):
        return {}
    return {"self": owner}


def _of_method(value: types.MethodType) -> dict[str, Any]:
    return {"function": value.__func__} if _is_exposed(value) else {"function": value.__func__, "self": value.__self__}


def _of_partial(value: Any) -> dict[str, Any]:
    fields = {"function": value.func}
    fields.update({f"argument {place}": argument for place, argument in enumerate(value.args)})
    fields.update({f"argument `{name}`": argument for name, argument in sorted(value.keywords.items())})
    return fields


def _of_property(value: property) -> dict[str, Any]:
    fields = {"getter": value.fget, "setter": value.fset, "deleter": value.fdel}
    return {name: function for name, function in fields.items() if function is not None}


_FIELDS: Final[dict[type, Callable[[Any], dict[str, Any]]]] = {
    types.MethodType: _of_method,
    functools.partial: _of_partial,
    functools.partialmethod: _of_partial,
    staticmethod: lambda value: {"function": value.__func__},
    classmethod: lambda value: {"function": value.__func__},
    property: _of_property,
    functools.cached_property: lambda value: {"function": value.func},
    functools.singledispatchmethod: lambda value: {"function": value.func, "registry": dict(value.dispatcher.registry)},
    type(functools.lru_cache(len)): lambda value: {"function": value.__wrapped__},
}


def _is_exposed(method: Any) -> bool:
    """Whether a library offers a method of a hidden object as a function, as `random.random` is; it counts by name."""
    owner = getattr(method, "__self__", None)
    if owner is None or isinstance(owner, type):
        return False
    module = sys.modules.get(type(owner).__module__)
    if module is None or origin_of(module)[0] is Origin.PROJECT:
        return False
    offered = vars(module).get(method.__name__)
    return isinstance(offered, type(method)) and bool(offered == method)


def carries_code(value: Any) -> bool:
    """Whether code from outside was made around something of the project: a wrapper, a closure, a bound method."""
    if isinstance(value, types.FunctionType):
        return value.__closure__ is not None or "__wrapped__" in value.__dict__
    if isinstance(value, type | types.ModuleType):
        return False
    return bool(fields_of(value))


def defaults_of(function: types.FunctionType) -> dict[str, Any]:
    """The defaults of a function's parameters, each with the name of its part."""
    code = function.__code__
    given = function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount][code.co_argcount - len(given) :]
    pairs = [*zip(names, given, strict=False), *sorted((function.__kwdefaults__ or {}).items())]
    return {f"default of `{name}`": value for name, value in pairs}


def cells_of(function: types.FunctionType) -> dict[str, Any]:
    """The variables of enclosing functions, as far as they have a value."""
    return dict(_open_cells(function))


def _open_cells(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled yet
            continue


def closure_of(function: types.FunctionType) -> dict[str, Any]:
    """The values a function took with it; of a module only the attributes that are used, with the other names."""
    chains = names_of(function.__code__).free
    bare = {chain[0] for chain in chains if len(chain) == 1}
    cells = cells_of(function)
    if origin_of(function)[0] is Origin.STANDARD:  # `singledispatch` keeps counters and caches beside what it wraps
        cells = {name: value for name, value in cells.items() if not isinstance(value, _INSIDES)}
    return {
        f"closure value `{name}`": value
        for name, value in cells.items()
        if not isinstance(value, types.ModuleType) or name in bare or all(chain[0] != name for chain in chains)
    }
