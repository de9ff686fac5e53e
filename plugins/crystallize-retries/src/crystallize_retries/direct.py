"""Decorators: the policies around a function that is called without any pipeline.

A decorated function brings its policies along as step options, so that in a pipeline the engine runs them
around each attempt, with everything that an attempt entails. The function must then not do it a second
time: who runs the policies of a function says so in a context variable, and the function stands aside.
"""

from __future__ import annotations

import functools
import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from crystallize_core import PipelineStep
from crystallize_core.errors import DefinitionError
from crystallize_core.signature import is_async, name_of
from crystallize_core.step_options import carried_options, merged_options
from crystallize_retries.circuit import body_of
from crystallize_retries.policies import Policies

__all__ = ["Decorator", "has_own_policies", "standing_aside"]

F = TypeVar("F", bound=Callable[..., Any])

_OWN: Final = "__crystallize_policies__"
_in_force: Final[ContextVar[Any]] = ContextVar("policies_in_force", default=None)
"""The function whose policies somebody further out runs already."""


class Decorator(ABC):
    """What can be written above a function, and given as a step option as well."""

    @abstractmethod
    def options(self) -> Mapping[str, Any]:
        """The step options that mean the same."""

    def __call__(self, function: F) -> F:
        """Decorate a function, sync or async, or a step."""
        found: F = _decorated(function, self.options(), type(self).__name__)
        return found


def _decorated(function: Any, options: Mapping[str, Any], what: str) -> Any:
    if hasattr(type(function), "decorated"):  # a step: as if it had been written below the decorator of the step
        merged_options(function.name, function.options, options)
        return function.decorated(lambda inner: _decorated(inner, options, what))
    _check(function, what)
    merged = merged_options(name_of(function), carried_options(function, name_of(function)), options)
    Policies.of(merged, name_of(function), is_async=is_async(function))
    own = _own(function)
    target = function if own is None else own.target
    direct = _Direct(target, merged)

    def call(*args: Any, **kwargs: Any) -> Any:
        return direct.call(args, kwargs)

    async def acall(*args: Any, **kwargs: Any) -> Any:
        return await direct.acall(args, kwargs)

    wrapper: Any = acall if is_async(target) else call
    functools.update_wrapper(wrapper, target)
    wrapper.__dict__.update({_OWN: direct, "__crystallize_options__": merged})
    return wrapper


def _check(function: Any, what: str) -> None:
    hint = None
    if isinstance(function, type):
        hint = "a step class has them as options = {...}, or decorates its __call__"
    elif isinstance(function, PipelineStep):
        hint = "decorate what makes the step, not the step"
    elif not callable(function):
        hint = f"found {function!r}"
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        hint = f"{name_of(function)} is a generator, whose errors come only when it is read"
    if hint is not None:
        message = f"{what} decorates functions and steps made by @pipeline_step(); {hint}"
        raise DefinitionError(message)


def _own(function: Any) -> _Direct | None:
    """The policies that this very function runs; `functools.wraps` copies the attribute to others."""
    found = getattr(function, "__dict__", {}).get(_OWN)
    is_own = isinstance(found, _Direct) and getattr(function, "__wrapped__", None) is found.target
    return found if is_own else None


def has_own_policies(function: Any) -> bool:
    """Whether the function, or something that it wraps, runs policies of its own where nobody else does."""
    return bool(_all_own(function))


def _all_own(function: Any) -> list[_Direct]:
    found = []
    while function is not None:
        own = _own(function)
        if own is not None:
            found.append(own)
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.isroutine(function) or hasattr(function, "__wrapped__"):
            function = getattr(function, "__wrapped__", None)
        else:
            function = getattr(type(function), "__call__", None)  # noqa: B004 - the function itself is wanted
    return found


def standing_aside(call: Callable[[Any, Any], Any], function: Any, *, is_async: bool) -> Callable[[Any, Any], Any]:
    """`call(data, ctx)`, during which `function` leaves its policies to whoever calls this."""
    body = body_of(function)

    def attempt(data: Any, ctx: Any) -> Any:
        token = _in_force.set(body)
        try:
            return call(data, ctx)
        finally:
            _in_force.reset(token)

    async def async_attempt(data: Any, ctx: Any) -> Any:
        token = _in_force.set(body)
        try:
            return await call(data, ctx)
        finally:
            _in_force.reset(token)

    return async_attempt if is_async else attempt


class _NoRun:
    """Stands for the context where a function is called without a pipeline: there is nothing to commit."""

    logger = logging.getLogger("crystallize")

    def abandon(self, error: BaseException) -> None:
        """Nothing that an attempt did can be taken back."""

    def condemn(self, error: BaseException) -> None:
        """As above."""

    def emit(self, name: str, /, **payload: Any) -> None:
        """Events go to the log."""
        self.logger.info("%s %s", name, payload)


_NO_RUN: Final = _NoRun()


class _Direct:
    """A function with its policies.

    Args:
        target: What the policies are around.
        options: They, as step options.

    """

    def __init__(self, target: Callable[..., Any], options: Mapping[str, Any]) -> None:
        self.target, self.options = target, options

    def __reduce__(self) -> tuple[Any, ...]:
        return _Direct, (self.target, self.options)

    def __crystallize_digest__(self) -> str:
        # What a successful call returns does not depend on its policies, so that a cached output does not either.
        return "policies"

    # What follows is made at the first call: where this is unpickled, the target may not be complete yet.

    @functools.cached_property
    def _name(self) -> str:
        return name_of(self.target)

    @functools.cached_property
    def _body(self) -> Any:
        return body_of(self.target)

    @functools.cached_property
    def _is_innermost(self) -> bool:
        return not _all_own(self.target)

    @functools.cached_property
    def _signature(self) -> inspect.Signature | None:
        try:
            return inspect.signature(self.target)
        except (TypeError, ValueError):
            return None

    @functools.cached_property
    def _composed(self) -> Callable[[Any, Any], Any]:
        target, awaits = self.target, is_async(self.target)

        def call(data: Any, ctx: Any) -> Any:  # noqa: ARG001 - the shape of all calls
            args, kwargs = data
            return target(*args, **kwargs)

        async def acall(data: Any, ctx: Any) -> Any:  # noqa: ARG001 - as above
            args, kwargs = data
            return await target(*args, **kwargs)

        attempt: Callable[[Any, Any], Any] = acall if awaits else call
        if not self._is_innermost:
            attempt = standing_aside(attempt, target, is_async=awaits)
        policies = Policies.of(self.options, self._name, is_async=awaits)
        composed: Callable[[Any, Any], Any] = policies.around(attempt, target, self._name, is_async=awaits)
        return composed

    def _fits(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether the function can be called so; if not, that is no failure of the function."""
        try:
            if self._signature is not None:
                self._signature.bind(*args, **kwargs)
        except TypeError:
            return False
        return True

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call it, with the policies unless somebody runs them already."""
        if _in_force.get() is not self._body:
            return self._composed((args, kwargs), _NO_RUN) if self._fits(args, kwargs) else self.target(*args, **kwargs)
        if not self._is_innermost:
            return self.target(*args, **kwargs)
        token = _in_force.set(None)  # a function that calls itself has its policies there
        try:
            return self.target(*args, **kwargs)
        finally:
            _in_force.reset(token)

    async def acall(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same for `async def`."""
        if _in_force.get() is not self._body:
            fits = self._fits(args, kwargs)
            return await (self._composed((args, kwargs), _NO_RUN) if fits else self.target(*args, **kwargs))
        if not self._is_innermost:
            return await self.target(*args, **kwargs)
        token = _in_force.set(None)
        try:
            return await self.target(*args, **kwargs)
        finally:
            _in_force.reset(token)
