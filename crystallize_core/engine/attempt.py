"""Attempts: what the policies around a step call, as often as they like.

A policy gets `call(data, ctx)`. Each call makes a fresh view of the cell for the step, so that an attempt
starts from the same state as the one before it and leaves nothing when it fails. The context that the
policy itself holds remembers which attempt succeeded last; the engine commits that one and no other. An
attempt that was given up and still runs in some thread holds a view that nobody will commit.

What an attempt is given it may change before it fails, so that each attempt gets a copy where more than one
can be made. A policy that never makes a second one says so, and then nothing is copied.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from crystallize_core.context import StepContext, forget_reads
from crystallize_core.copying import hand_out
from crystallize_core.errors import DefinitionError, HookError
from crystallize_core.state import SHARED_TYPES

if TYPE_CHECKING:
    from crystallize_core.engine.hooks import HookCalls
    from crystallize_core.wiring import WiredStep

__all__ = ["Attempts", "PolicyContext", "failure_reporter"]


class PolicyContext(StepContext):
    """The context of one execution of a step, as the policies around it see it.

    What a policy emits or records here is committed with the step.

    Attempts may end in other threads, and late. There is no lock: what became of an attempt is noted on its own
    view, an attempt that failed or was given up stays so whatever is noted of it later, and only the view that
    was begun last can be the one that counts.
    """

    # What an execution starts with is a class attribute, so that making a context sets three attributes only.
    _failed: Callable[[StepContext, BaseException], None]
    _attempts = 0
    _current: StepContext | None = None
    _reason: BaseException | None = None
    last_error: BaseException | None = None
    """What the last attempt that failed raised."""

    def begin(self) -> StepContext:
        """A fresh view for the next attempt."""
        fields = self.__dict__
        view: StepContext = StepContext(_state=fields["_state"], step_name=fields["step_name"])
        number = fields.get("_attempts", 0) + 1
        if number > 1:
            view.__dict__["_attempt"] = number
            fields.pop("_reason", None)
        fields["_attempts"], fields["_current"] = number, view
        return view

    def succeed(self, view: StepContext) -> None:
        """Note that this attempt succeeded, unless it was condemned meanwhile."""
        if "_reason" not in self.__dict__:
            view.__dict__["_succeeded"] = True

    def fail(self, view: StepContext, error: BaseException) -> None:
        """Note that this attempt failed, unless it was given up or overtaken meanwhile."""
        fields = self.__dict__
        mark = object()
        if fields.get("_current") is view and view.__dict__.setdefault("_ended_by", mark) is mark:
            fields["last_error"] = error
            self._failed(view, fields.get("_reason") or error)

    @property
    def winner(self) -> StepContext | None:
        """The view of the attempt that counts; None where a policy answered without one that succeeded."""
        view: StepContext | None = self.__dict__.get("_current")
        if view is None or "_succeeded" not in view.__dict__ or "_ended_by" in view.__dict__:
            return None
        return view

    def abandon(self, error: BaseException) -> None:
        """Give up the attempt that runs now, or the one that ended last, if it succeeded.

        For policies that cannot wait for the end of an attempt, or that do not accept what it came to.

        Args:
            error: Why; it is what `step_failed` is told.

        """
        view = self._current
        if view is not None:
            self.fail(view, error)

    def condemn(self, error: BaseException) -> None:
        """Say that the attempt that runs now fails, whatever it comes to; for policies that interrupt it.

        It takes no lock, so that a signal handler may call it.

        Args:
            error: Why; it is what `step_failed` is told in place of what the attempt raises.

        """
        self.__dict__["_reason"] = error

    @property
    def attempt(self) -> int:  # counts here, and is fixed in the view of an attempt
        """How many attempts there were so far."""
        return self._attempts


class Attempts:
    """What policies call for one attempt of a step.

    Args:
        wired: The step.
        hooks: Of them, `before_step` is called for each attempt.
        experiment: What hooks get.

    Attributes:
        call: `call(data, ctx)` runs one attempt, sync or async as the step is.

    """

    def __init__(self, wired: WiredStep, hooks: HookCalls, experiment: Any) -> None:
        self._wired, self._hooks, self._experiment = wired, hooks, experiment
        self._copy: Callable[[Any, PolicyContext], Any] | None = None
        self.call: Callable[[Any, Any], Any] = self._async_call() if wired.step.is_async else self._sync_call()

    def copy_input(self) -> None:
        """Give each attempt a copy of what the step takes, because a policy may make more than one."""
        # What several steps take is copied for each of them in any case.
        keys = [fill.key for fill in self._wired.fills if fill.key is not None]
        self._copy = self._fresh
        if self._wired.takes_assets:
            self._copy = lambda assets, ctx: {k: self._fresh(assets[k], ctx, k) for k in keys if k in assets}

    def _fresh(self, value: Any, ctx: PolicyContext, name: object = "data") -> Any:
        """What an attempt gets, as it was before the first one.

        Raises:
            DefinitionError: It can be read only once, and an attempt before has read it.

        """
        found = hand_out(value)
        if found is value and ctx.attempt > 1 and isinstance(value, (Iterator, AsyncIterator)):
            message = (
                f"step {self._wired.name!r} cannot be tried again: {name!r} is a {type(value).__qualname__}, which can "
                f"be read only once, and the attempt before has read it; make a list of it"
            )
            raise DefinitionError(message) from ctx.last_error
        return found

    # Functions and not methods, because what they use is then at hand: they are called for every attempt.

    def _sync_call(self) -> Callable[[Any, Any], Any]:
        hooks, invoke = self._hooks, self._wired.invoke

        def attempt(data: Any, ctx: PolicyContext) -> Any:
            view = ctx.begin()
            if hooks.before_step is not None:
                self._prepare(view)
            try:
                # Copied inside the attempt, so that a copy that takes long counts as part of it.
                copy = self._copy
                output = invoke(data if copy is None or type(data) in SHARED_TYPES else copy(data, ctx), view)
            except BaseException as error:
                ctx.fail(view, error)
                raise
            ctx.succeed(view)
            return output

        return attempt

    def _async_call(self) -> Callable[[Any, Any], Any]:
        hooks, invoke = self._hooks, self._wired.invoke

        async def attempt(data: Any, ctx: PolicyContext) -> Any:
            view = ctx.begin()
            if hooks.before_step is not None:
                self._prepare(view)
            try:
                copy = self._copy
                output = await invoke(data if copy is None or type(data) in SHARED_TYPES else copy(data, ctx), view)
            except BaseException as error:
                ctx.fail(view, error)
                raise
            ctx.succeed(view)
            return output

        return attempt

    def _prepare(self, view: StepContext) -> None:
        assert self._hooks.before_step is not None
        self._hooks.before_step(self._experiment, self._wired.step, view)
        forget_reads(view)


def failure_reporter(
    wired: WiredStep, hooks: HookCalls, experiment: Any
) -> Callable[[StepContext, BaseException], None]:
    """What tells `step_failed` of a failed attempt."""

    def report(view: StepContext, error: BaseException) -> None:
        if hooks.step_failed is not None and not isinstance(error, HookError):
            hooks.step_failed(experiment, wired.step, view, error, view.attempt)

    return report
