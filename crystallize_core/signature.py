"""Which parameters a function has, and which of them are the data and the context.

One rule for steps, datasources, treatments and verifiers: `data` and `ctx` are recognised by name; where
the first parameters have other names, they are given by position.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from crystallize_core.errors import DefinitionError

__all__ = ["REQUIRED", "Signature", "is_async", "name_of", "signature_of"]

REQUIRED: Final = inspect.Parameter.empty
"""Stands for "this parameter has no default"."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_CONTEXT_TYPES = ("FrozenContext", "StepContext")


@attrs.frozen
class Signature:
    """The parameters of a callable, sorted by who fills them.

    Attributes:
        data: The parameter that gets the data; None if it takes none.
        ctx: The parameter that is certainly the context; None if there is none by name or annotation.
        maybe_ctx: A second positional parameter without default, which is the context unless its name
            turns out to be known; None if there is none.
        others: The remaining parameters with their defaults (`REQUIRED` without one).
        keyword_only: Names that can only be passed by keyword.
        order: All parameters in order, without `*args` and `**kwargs`.
        takes_extra: Whether it has `**kwargs`.
        takes_many: Whether it has `*args`.

    """

    data: str | None
    ctx: str | None
    maybe_ctx: str | None
    others: Mapping[str, Any]
    keyword_only: frozenset[str]
    order: tuple[str, ...]
    takes_extra: bool = False
    takes_many: bool = False

    @property
    def required(self) -> tuple[str, ...]:
        """The parameters without a default, data and context included."""
        return tuple(name for name in self.order if self.others.get(name, REQUIRED) is REQUIRED)


def signature_of(function: Callable[..., Any], *, takes_data: bool = True) -> Signature:
    """The signature of a function, method, partial or callable object.

    Args:
        function: What will be called.
        takes_data: Whether the first parameter may be the data; False for datasources and treatments,
            whose first parameter is the context.

    Raises:
        DefinitionError: It has no signature that can be read, as some functions written in C.

    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        message = (
            f"the parameters of {name_of(function)} cannot be read; wrap it: lambda data: {name_of(function)}(data)"
        )
        raise DefinitionError(message) from error
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    positional = [p for p in named if p.kind in _POSITIONAL]
    names = [p.name for p in named]
    ctx = _context_parameter(named)
    data = _data_parameter(names, positional, ctx) if takes_data else None
    rest = [p for p in positional if p.name not in (data, ctx)]
    maybe = None
    by_position = ctx is None and data != "data" and bool(rest) and rest[0] is _first_after(positional, data)
    if by_position and rest[0].default is REQUIRED:
        maybe = rest[0].name
    if not takes_data and ctx is None:
        ctx, maybe = maybe, None
    return Signature(
        data=data,
        ctx=ctx,
        maybe_ctx=maybe,
        others={p.name: p.default for p in named if p.name not in (data, ctx)},
        keyword_only=frozenset(p.name for p in named if p.kind is p.KEYWORD_ONLY),
        order=tuple(names),
        takes_extra=any(p.kind is p.VAR_KEYWORD for p in parameters),
        takes_many=any(p.kind is p.VAR_POSITIONAL for p in parameters),
    )


def _context_parameter(named: list[inspect.Parameter]) -> str | None:
    names = [p.name for p in named]
    for name in ("ctx", "context"):
        if name in names:
            return name
    for parameter in named:
        annotation = parameter.annotation
        text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
        if text.rpartition(".")[2].strip("'\"") in _CONTEXT_TYPES:
            return parameter.name
    return None


def _data_parameter(names: list[str], positional: list[inspect.Parameter], ctx: str | None) -> str | None:
    if "data" in names:
        return "data"
    first = positional[0] if positional else None
    return first.name if first is not None and first.name != ctx else None


def _first_after(positional: list[inspect.Parameter], data: str | None) -> inspect.Parameter | None:
    names = [p.name for p in positional]
    at = names.index(data) + 1 if data in names else 0
    return positional[at] if at < len(positional) else None


def is_async(function: Any) -> bool:
    """Whether calling it gives something to await, as far as that shows without calling it."""
    while True:
        inner = getattr(function, "func", None)  # functools.partial
        if inner is None or not callable(inner) or inspect.isroutine(function):
            break
        function = inner
    if inspect.iscoroutinefunction(function):
        return True
    return not inspect.isroutine(function) and inspect.iscoroutinefunction(getattr(type(function), "__call__", None))  # noqa: B004 - looks at the kind, does not ask whether


def name_of(function: Any) -> str:
    """The name that messages use for something callable."""
    for candidate in (function, getattr(function, "func", None), type(function)):
        name = getattr(candidate, "__name__", None)
        if isinstance(name, str):
            return name
    return repr(function)
