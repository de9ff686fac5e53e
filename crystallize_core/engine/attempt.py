"""Attempts: what the policies around a step call, as often as they like.

A policy gets `call(data, ctx)`. Each call makes a fresh view of the cell for the step, so that an attempt
starts from the same state as the one before it and leaves nothing when it fails. The context that the
policy itself holds remembers which attempt succeeded last; the engine commits that one and no other. An
attempt that was given up and still runs in some thread holds a view that nobody will commit.

What an attempt is given it may change before it fails, so that each attempt gets a copy where more than one
can be made. A policy that never makes a second one says so, and then nothing is copied.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from crystallize_core.assets import Assets
from crystallize_core.context import StepContext, forget_reads
from crystallize_core.copying import hand_out
from crystallize_core.errors import HookError
from crystallize_core.state import CellState

if TYPE_CHECKING:
    from crystallize_core.engine.hooks import HookCalls
    from crystallize_core.wiring import WiredStep

__all__ = ["Attempts", "PolicyContext", "failure_reporter"]


class PolicyContext(StepContext):
    """The context of one execution of a step, as the policies around it see it.

    What a policy emits or records here is committed with the step.
    """

    def __init__(self, state: CellState, step_name: str, failed: Callable[[StepContext, BaseException], None]) -> None:
        super().__init__(
            _state=state,
            step_name=step_name,
            _failed=failed,
            _attempts=0,
            _current=None,
            _winner=None,
            _reason=None,
            _lock=threading.Lock(),
        )

    def begin(self) -> StepContext:
        """A fresh view for the next attempt."""
        fields = self.__dict__
        with fields["_lock"]:
            fields["_attempts"] += 1
            view: StepContext = StepContext(_state=self._state, step_name=self.step_name, _attempt=fields["_attempts"])
            fields["_current"] = view
            fields["_winner"] = None
            fields["_reason"] = None
        return view

    def succeed(self, view: StepContext) -> None:
        """Note that this attempt succeeded, unless it was given up or overtaken meanwhile."""
        fields = self.__dict__
        with fields["_lock"]:
            if fields["_current"] is view and fields["_reason"] is None:
                fields["_winner"] = view

    def fail(self, view: StepContext, error: BaseException) -> None:
        """Note that this attempt failed, unless it was given up or overtaken meanwhile."""
        fields = self.__dict__
        with fields["_lock"]:
            if fields["_current"] is not view:
                return
            fields["_current"] = None
            fields["_winner"] = None
        fields["_failed"](view, fields["_reason"] or error)

    def abandon(self, error: BaseException) -> None:
        """Give up the attempt that runs now, or the one that ended last, if it succeeded.

        For policies that cannot wait for the end of an attempt, or that do not accept what it came to.

        Args:
            error: Why; it is what `step_failed` is told.

        """
        view = self.__dict__["_current"]
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
        count: int = self.__dict__["_attempts"]
        return count

    @property
    def winner(self) -> StepContext | None:
        """The view of the attempt that succeeded; None where a policy answered without one."""
        winner: StepContext | None = self.__dict__["_winner"]
        return winner


class Attempts:
    """What policies call for one attempt of a step: `call(data, ctx)`, sync or async as the step is.

    Args:
        wired: The step.
        hooks: Of them, `before_step` is called for each attempt.
        experiment: What hooks get.

    Attributes:
        call: Runs one attempt.
        copies: Whether each attempt gets a copy of the data.

    """

    def __init__(self, wired: WiredStep, hooks: HookCalls, experiment: Any) -> None:
        self._wired, self._hooks, self._experiment = wired, hooks, experiment
        self._invoke = wired.invoke
        # What several steps take is copied for each of them in any case.
        self._keys = [fill.key for fill in wired.fills if fill.key is not None]
        self.copies = True
        self.call: Callable[[Any, Any], Any] = self._async_attempt if wired.step.is_async else self._attempt

    def _attempt(self, data: Any, ctx: PolicyContext) -> Any:
        view = self._started(ctx)
        try:
            output = self._invoke(self._given(data) if self.copies else data, view)
        except BaseException as error:
            ctx.fail(view, error)
            raise
        ctx.succeed(view)
        return output

    async def _async_attempt(self, data: Any, ctx: PolicyContext) -> Any:
        view = self._started(ctx)
        try:
            output = await self._invoke(self._given(data) if self.copies else data, view)
        except BaseException as error:
            ctx.fail(view, error)
            raise
        ctx.succeed(view)
        return output

    def _started(self, ctx: PolicyContext) -> StepContext:
        view = ctx.begin()
        hooks = self._hooks
        if hooks.before_step is not None:
            hooks.before_step(self._experiment, self._wired.step, view)
            forget_reads(view)
        return view

    def _given(self, data: Any) -> Any:
        if isinstance(data, Assets):
            return {key: hand_out(data[key]) for key in self._keys if key in data}
        return hand_out(data)


def failure_reporter(
    wired: WiredStep, hooks: HookCalls, experiment: Any
) -> Callable[[StepContext, BaseException], None]:
    """What tells `step_failed` of a failed attempt."""

    def report(view: StepContext, error: BaseException) -> None:
        if hooks.step_failed is not None and not isinstance(error, HookError):
            hooks.step_failed(experiment, wired.step, view, error, view.attempt)

    return report
