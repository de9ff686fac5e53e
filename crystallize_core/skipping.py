"""`@when` and `@unless`: a step that runs only while something holds, and what stands for one that did not.

In a pipeline the engine asks first and the function is not called at all; called directly, the function
asks by itself. So that nobody is asked twice, the engine says in a context variable that it has asked.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import attrs

from crystallize_core.errors import DefinitionError
from crystallize_core.signature import is_async, name_of

__all__ = [
    "Guard",
    "Skipped",
    "asked_already",
    "guards_of",
    "lacks",
    "leading_arguments",
    "named_parameters",
    "unless",
    "when",
]

F = TypeVar("F", bound=Callable[..., Any])
_GUARDS: Final = "__crystallize_guards__"
_asked: Final[ContextVar[Any]] = ContextVar("guards_asked", default=None)
"""The function whose guards somebody further out has asked already."""


@attrs.frozen
class Skipped:
    """What calling a guarded function gives when its condition does not hold; it counts as false.

    Attributes:
        step: The name of the function.
        reason: Which condition did not hold.

    """

    step: str
    reason: str

    def __bool__(self) -> bool:
        return False


@attrs.frozen(eq=False)
class Guard:
    """One condition of a step.

    Attributes:
        predicate: What is asked.
        wanted: The answer with which the step runs.
        by_position: Whether a predicate whose parameters are unknown gets the leading arguments of the step.

    """

    predicate: Callable[..., Any]
    wanted: bool = True
    by_position: bool = True

    @property
    def reason(self) -> str:
        """Why a step did not run."""
        return f"{'condition' if self.wanted else 'unless'} {name_of(self.predicate)!r} is {not self.wanted}"


def when(predicate: Callable[..., Any]) -> Callable[[F], F]:
    """Run a step only if `predicate` is true; otherwise it is skipped.

    The parameters of the predicate that are parameters of the step get the same values. If others are
    needed, it gets the leading arguments of the step instead, as many as it takes, so that
    `@when(lambda x: x > 100)` works on `def f(data)`. In a pipeline its parameters may also name outputs
    of other steps and context values.

    Raises:
        DefinitionError: The predicate cannot be called.

    """
    return _guarding(Guard(_checked(predicate, "when")))


def unless(predicate: Callable[..., Any]) -> Callable[[F], F]:
    """Run a step only if `predicate` is false; see `when`.

    Raises:
        DefinitionError: The predicate cannot be called.

    """
    return _guarding(Guard(_checked(predicate, "unless"), wanted=False))


def _checked(predicate: Any, what: str) -> Callable[..., Any]:
    if not callable(predicate):
        message = f"@{what} needs a function that tells whether the step runs, found {predicate!r}"
        raise DefinitionError(message)
    found: Callable[..., Any] = predicate
    return found


def _guarding(guard: Guard) -> Callable[[F], F]:
    def decorate(function: Any) -> Any:
        if hasattr(type(function), "decorated"):  # a step: as if it had been written below the decorator of the step
            return function.decorated(decorate)
        if isinstance(function, type) or not callable(function):
            message = f"@when and @unless decorate functions and steps, found {function!r}"
            raise DefinitionError(message)
        return _guarded(function, guard)

    return decorate


def _guarded(function: Callable[..., Any], guard: Guard) -> Callable[..., Any]:
    asking = _Asking(function, guard)

    # These two are what is pickled by value where the decorated function is: they must hold nothing of this module.
    def call(*args: Any, **kwargs: Any) -> Any:
        return asking.call(args, kwargs)

    async def acall(*args: Any, **kwargs: Any) -> Any:
        return await asking.acall(args, kwargs)

    wrapper = functools.wraps(function)(acall if is_async(function) else call)
    wrapper.__dict__[_GUARDS] = guard
    return wrapper


class _Asking:
    """A function with one guard, which it asks where nobody further out has."""

    def __init__(self, function: Callable[..., Any], guard: Guard) -> None:
        self.function, self.guard = function, guard

    def __reduce__(self) -> tuple[Any, ...]:
        return _Asking, (self.function, self.guard)

    def __crystallize_digest__(self) -> str:
        # What a step returns when it runs does not depend on what decides whether it runs.
        return "condition"

    # Both are made at the first call: where this is unpickled, the function may not be complete yet.

    @functools.cached_property
    def _body(self) -> Any:
        return _body(self.function)

    @functools.cached_property
    def _is_innermost(self) -> bool:
        return not guards_of(self.function)

    def _asked(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        positional, named = _direct_arguments(self.guard, self.function, args, kwargs)
        return self.guard.predicate(*positional, **named)

    def _refusal(self, answer: Any) -> Skipped | None:
        guard = self.guard
        return None if bool(answer) is guard.wanted else Skipped(name_of(self.function), guard.reason)

    def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call it, unless it is to be skipped."""
        function = self.function
        if _asked.get() is not self._body:
            skipped = self._refusal(_at_once(self._asked(args, kwargs), self.guard, function))
            return function(*args, **kwargs) if skipped is None else skipped
        if not self._is_innermost:
            return function(*args, **kwargs)
        token = _asked.set(None)  # a function that calls itself is asked there
        try:
            return function(*args, **kwargs)
        finally:
            _asked.reset(token)

    async def acall(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The same for `async def`."""
        function = self.function
        if _asked.get() is not self._body:
            answer = self._asked(args, kwargs)
            skipped = self._refusal(await answer if inspect.isawaitable(answer) else answer)
            return await function(*args, **kwargs) if skipped is None else skipped
        if not self._is_innermost:
            return await function(*args, **kwargs)
        token = _asked.set(None)  # as above
        try:
            return await function(*args, **kwargs)
        finally:
            _asked.reset(token)


def _at_once(answer: Any, guard: Guard, function: Callable[..., Any]) -> Any:
    """The answer of a predicate, where nobody can wait for it."""
    if not inspect.isawaitable(answer):
        return answer
    if inspect.iscoroutine(answer):
        answer.close()
    message = (
        f"the condition {name_of(guard.predicate)!r} of {name_of(function)!r} has to be awaited, which a pipeline does "
        f"and a direct call of a plain function cannot; write {name_of(function)!r} as `async def`"
    )
    raise DefinitionError(message)


def guards_of(function: Any) -> tuple[Guard, ...]:
    """The guards that a function carries, through everything that it wraps; the outermost first."""
    found: list[Guard] = []
    for layer in _layers(function):
        guard = getattr(layer, "__dict__", {}).get(_GUARDS)
        if isinstance(guard, Guard) and guard not in found:  # `functools.wraps` copies it to what is further out
            found.append(guard)
    return tuple(found)


def asked_already(call: Callable[[Any, Any], Any], function: Any, *, awaits: bool) -> Callable[[Any, Any], Any]:
    """`call(data, ctx)`, during which `function` does not ask its guards again."""
    body = _body(function)

    def invoke(data: Any, ctx: Any) -> Any:
        token = _asked.set(body)
        try:
            return call(data, ctx)
        finally:
            _asked.reset(token)

    async def ainvoke(data: Any, ctx: Any) -> Any:
        token = _asked.set(body)
        try:
            return await call(data, ctx)
        finally:
            _asked.reset(token)

    return ainvoke if awaits else invoke


def leading_arguments(predicate: Callable[..., Any], available: int) -> int:
    """How many of so many leading arguments of its step a predicate takes by position."""
    try:
        parameters = inspect.signature(predicate).parameters.values()
    except (TypeError, ValueError):
        return min(1, available)  # a function written in C that does not say; `callable`, `bool`
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return available
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return min(len(positional), available)


def lacks(predicate: Callable[..., Any], available: int) -> str:
    """The parameters that a predicate needs, in words, if so many leading arguments are not enough for it; else nothing."""
    try:
        parameters = inspect.signature(predicate).parameters.values()
    except (TypeError, ValueError):
        return ""
    needed = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    fits = len(needed) <= available and all(p.kind is not p.KEYWORD_ONLY for p in needed)
    return "" if fits else ", ".join(repr(p.name) for p in needed)


def _direct_arguments(
    guard: Guard, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """What the predicate gets, by position and by name, where the function is called with these arguments."""
    bound = inspect.signature(function).bind(*args, **kwargs)  # raises the TypeError that the call would raise
    bound.apply_defaults()
    values = dict(bound.arguments)
    names = named_parameters(guard.predicate)
    if names is not None and all(name in values for name, is_required in names.items() if is_required):
        return [], {name: values[name] for name in names if name in values}
    return list(values.values())[: leading_arguments(guard.predicate, len(values))], {}


def named_parameters(predicate: Callable[..., Any]) -> dict[str, bool] | None:
    """The parameters that can be passed by name, and whether each must be; None where some can not."""
    try:
        parameters = list(inspect.signature(predicate).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL) for p in parameters):
        return None
    return {p.name: p.default is p.empty for p in parameters if p.kind is not p.VAR_KEYWORD}


def _body(function: Any) -> Any:
    """The innermost function, which tells one guarded function from another."""
    last = function
    for layer in _layers(function):
        last = layer
    return last


def _layers(function: Any) -> Iterator[Any]:
    met: list[Any] = []
    while function is not None and not any(function is other for other in met):
        met.append(function)
        yield function
        inner = function.func if isinstance(function, functools.partial) else None
        function = inner or getattr(function, "__wrapped__", None)
