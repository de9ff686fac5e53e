"""`fallback` and `on_failure`: what happens after the last attempt failed."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs

from crystallize_core.errors import DefinitionError, add_note, describe
from crystallize_core.signature import is_async, name_of
from crystallize_core.step import StepFactory
from crystallize_retries.errors import NOT_THE_STEP

__all__ = ["FALLBACK_USED", "FailureRule", "backed", "backed_async", "checked_action", "checked_fallback"]

Call = Callable[[Any, Any], Any]
AsyncCall = Callable[[Any, Any], Awaitable[Any]]

FALLBACK_USED: Final = "fallback.used"
"""The name of the event that says that the output of a step is that of its fallback."""
_ERROR_NAMES: Final = frozenset({"e", "err", "error", "exc", "exception"})


@attrs.frozen
class FailureRule:
    """What happens on the final failure.

    Attributes:
        fallback: Gives the value in place of the step's; None for the failure itself.
        on: The errors after which the fallback is asked.
        action: Told of each final failure, whether there is a fallback or not.
        recipients: What the action gets beside the error; None for nothing.

    """

    fallback: Callable[..., Any] | None = None
    on: tuple[type[Exception], ...] = (Exception,)
    action: Callable[..., Any] | None = None
    recipients: tuple[Any, ...] | None = None

    @property
    def is_async(self) -> bool:
        """Whether something here has to be awaited."""
        return any(function is not None and is_async(function) for function in (self.fallback, self.action))


def backed(call: Call, name: str, rule: FailureRule) -> Call:
    """`call`, with what happens when it fails for good."""

    def answered(data: Any, ctx: Any) -> Any:
        try:
            return call(data, ctx)
        except Exception as error:
            if isinstance(error, NOT_THE_STEP):
                raise
            ending = _Ending(name, rule, error, ctx)
            try:
                ending.act()
            except Exception as own:  # noqa: BLE001 - an action of a stranger may raise anything
                ending.action_failed(own)
            if not ending.has_fallback:
                raise
            try:
                return ending.used(ending.fallback())
            except Exception as own:
                ending.blame(own)
                raise

    return answered


def backed_async(call: AsyncCall, name: str, rule: FailureRule) -> AsyncCall:
    """The same for a step that is `async def`; fallback and action may be that too."""

    async def answered(data: Any, ctx: Any) -> Any:
        try:
            return await call(data, ctx)
        except Exception as error:
            if isinstance(error, NOT_THE_STEP):
                raise
            ending = _Ending(name, rule, error, ctx)
            try:
                await _awaited(ending.act())
            except Exception as own:  # noqa: BLE001 - an action of a stranger may raise anything
                ending.action_failed(own)
            if not ending.has_fallback:
                raise
            try:
                return ending.used(await _awaited(ending.fallback()))
            except Exception as own:
                ending.blame(own)
                raise

    return answered


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


class _Ending:
    """One final failure."""

    def __init__(self, name: str, rule: FailureRule, error: Exception, ctx: Any) -> None:
        self._name, self._rule, self._error, self._ctx = name, rule, error, ctx
        self.has_fallback = rule.fallback is not None and isinstance(error, rule.on)

    def act(self) -> Any:
        """Tell the action."""
        rule = self._rule
        if rule.action is None:
            return None
        return rule.action(self._error) if rule.recipients is None else rule.action(self._error, rule.recipients)

    def action_failed(self, own: Exception) -> None:
        """An action is told of a failure and does not change what comes of it."""
        text = f"on_failure of {self._name!r}: the action {name_of(self._rule.action)} raised {describe(own)}"
        add_note(self._error, text)
        self._ctx.logger.warning(text)

    def fallback(self) -> Any:
        """Ask the fallback."""
        fallback = self._rule.fallback
        assert fallback is not None
        # An inner policy may have refused what a successful attempt came to; that attempt counts no more.
        self._ctx.abandon(self._error)
        return fallback(self._error) if _wants_error(fallback) else fallback()

    def used(self, value: Any) -> Any:
        """Say that the value is the fallback's."""
        self._ctx.emit(FALLBACK_USED, error=describe(self._error))
        return value

    def blame(self, own: Exception) -> None:
        """The failure is now that of the fallback, and what it was to replace is the cause."""
        if own is not self._error and own.__cause__ is None:
            with contextlib.suppress(Exception):  # one that is frozen takes no cause in this way
                own.__cause__ = self._error


def checked_fallback(value: Any) -> Callable[..., Any]:
    """A function that takes nothing, or the error.

    Raises:
        DefinitionError: It is none.

    """
    is_mistake = isinstance(value, (FailureRule, StepFactory))  # these make something else when they are called
    if callable(value) and not is_mistake and (_accepts(value) or _accepts(value, None)):
        return value  # type: ignore[no-any-return]  # whatever is callable
    message = (
        f"a fallback must be a function that takes nothing, or the error; found {value!r}; "
        f"a fixed value is given by lambda: value"
    )
    raise DefinitionError(message)


def checked_action(value: Any, recipients: tuple[Any, ...] | None) -> Callable[..., Any]:
    """A function that takes the error, and the recipients if there are any.

    Raises:
        DefinitionError: It is none.

    """
    takes = (None,) if recipients is None else (None, None)
    if callable(value) and _accepts(value, *takes):
        return value  # type: ignore[no-any-return]  # whatever is callable
    shape = "action(error)" if recipients is None else "action(error, recipients)"
    message = f"the action of on_failure must be a function that can be called as {shape}; found {value!r}"
    raise DefinitionError(message)


def _accepts(function: Callable[..., Any], *arguments: Any) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # written in C, and says nothing about its parameters
        return True
    return True


def _wants_error(fallback: Callable[..., Any]) -> bool:
    """Whether it needs an argument, or takes one whose name says that it is an error."""
    if not _accepts(fallback):
        return True
    try:
        parameters = list(inspect.signature(fallback).parameters.values())
    except ValueError:
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return bool(parameters) and parameters[0].kind in positional and parameters[0].name in _ERROR_NAMES
