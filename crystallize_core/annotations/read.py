"""Reads the annotations of a function one by one, so that one that cannot be resolved does not lose the others.

`typing.get_type_hints` gives all of them or none: a single name that is imported under `if TYPE_CHECKING` is an error. Here
such an annotation is left out, as if it had not been written.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import types
import typing
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Any, Final

from crystallize_core.annotations.forms import UNKNOWN, bare, outer

__all__ = ["annotations_of", "resolved"]

# Decorators around decorators; more of them are an object that makes a new one whenever it is asked.
_MOST_WRAPPERS: Final = 100


def annotations_of(function: Any) -> Mapping[str, Any]:
    """The annotations of what is called, by parameter, and under `"return"` that of what comes out.

    What cannot be resolved is left out: names that are imported for type checkers only, classes inside a function that
    the annotated one does not use itself, text that is no annotation. Never raises.

    Args:
        function: A function, method, partial, wrapper that keeps `__wrapped__`, callable object or class. What it
            returns to be awaited is awaited by whoever runs it, so the annotation is that of the awaited value.

    """
    if type(function) is types.FunctionType and not function.__dict__ and not function.__annotations__:
        return {}  # most steps
    try:
        return _annotations(function)
    except Exception:  # noqa: BLE001 - a foreign object may do anything when it is asked for its attributes
        return {}


def _annotations(function: Any) -> dict[str, Any]:
    given: Mapping[str, Any] | None = None
    made: dict[str, Any] = {}
    for _ in range(_MOST_WRAPPERS):
        signature = getattr(function, "__signature__", None)
        if given is None and isinstance(signature, inspect.Signature):
            given = _of_signature(signature)  # `inspect.signature` believes it, so it is what wiring goes by
        if isinstance(function, type):
            made = {"return": function}
        inner = _inner(function)
        if inner is None:
            break
        function = inner
    # What else is called may have annotations that are those of its fields.
    raw = getattr(function, "__annotations__", None) if given is None and inspect.isroutine(function) else given
    if not isinstance(raw, Mapping) or not raw:
        return made
    names, local_names = _scope(function)
    found = {name: resolved(annotation, names, local_names) for name, annotation in raw.items()}
    if "return" in found and not inspect.iscoroutinefunction(function):
        found["return"] = _awaited(found["return"])
    return {name: annotation for name, annotation in found.items() if annotation is not UNKNOWN} | made


def _of_signature(signature: inspect.Signature) -> dict[str, Any]:
    written = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    written["return"] = signature.return_annotation
    return {name: annotation for name, annotation in written.items() if annotation is not inspect.Parameter.empty}


def _inner(function: Any) -> Any:
    """What `function` calls in the end, one layer further in; None if it is what has the annotations."""
    if isinstance(function, functools.partial):
        return function.func
    if isinstance(function, types.MethodType):
        return function.__func__
    if isinstance(function, type):
        constructors = (getattr(function, "__init__", None), getattr(function, "__new__", None))
        return next((made for made in constructors if isinstance(made, types.FunctionType)), None)
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is not None or isinstance(function, types.FunctionType):
        return wrapped
    call = getattr(type(function), "__call__", None)  # noqa: B004 - looks at what it is, does not ask whether
    is_written = isinstance(call, types.FunctionType | functools.partial) or hasattr(call, "__wrapped__")
    return call if is_written else None


def _scope(function: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The names that annotations of the function may use: those of its module, and those of the functions around it."""
    local_names = {parameter.__name__: parameter for parameter in getattr(function, "__type_params__", ())}
    free = getattr(getattr(function, "__code__", None), "co_freevars", ())
    for name, cell in zip(free, getattr(function, "__closure__", None) or (), strict=False):
        try:
            local_names[name] = cell.cell_contents
        except ValueError:  # it gets its value later
            continue
    return getattr(function, "__globals__", {}), local_names


def resolved(annotation: Any, names: dict[str, Any], local_names: dict[str, Any]) -> Any:
    """An annotation with the names in its text looked up; `UNKNOWN` if it is text that cannot be resolved.

    Of `list["Missing"]` remains that it is a list.
    """
    if type(annotation) is type:
        return annotation
    if isinstance(annotation, str):  # the short way for the name of a class, which is what most annotations are
        found = next(
            (names_[annotation] for names_ in (local_names, names, vars(builtins)) if annotation in names_), None
        )
        if type(found) is type:
            return found
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, names, local_names, include_extras=True)["it"]
    except Exception:  # noqa: BLE001 - text may be anything, and is evaluated
        return UNKNOWN if isinstance(annotation, str | typing.ForwardRef) else annotation


def _awaited(annotation: Any) -> Any:
    """What a plain function that returns something to await ends in."""
    try:
        kind = bare(annotation)
        whole, arguments = outer(kind), typing.get_args(kind)
        if whole is UNKNOWN or not issubclass(whole, Awaitable):
            return annotation
        count = 3 if issubclass(whole, Coroutine) else 1
    except Exception:  # noqa: BLE001 - a foreign class may do anything when it is asked
        return annotation
    return arguments[-1] if len(arguments) == count else UNKNOWN
