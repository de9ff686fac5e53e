"""The errors of this plugin, and which errors no policy has to do with."""

from __future__ import annotations

from typing import Any, Final

from crystallize_core.errors import DefinitionError, HookError, Interruption, add_note

__all__ = ["NOT_THE_STEP", "AttemptExpired", "CircuitOpenError", "StepTimeout", "expired", "take_notes"]

NOT_THE_STEP: Final = (DefinitionError, HookError)
"""Not failures of the step, and no better the next time: wrong wiring, and plugins that fail."""


class _WithFields:
    """Pickles an exception with the fields that its constructor takes by keyword."""

    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, dict(self.__dict__)


class StepTimeout(_WithFields, TimeoutError):  # noqa: N818 - the name that the documentation promises
    """An attempt of a step took longer than its option `timeout` allows.

    Args:
        message: Which step, after how long, and whether the attempt could be stopped.

    Attributes:
        step: The name of the step.
        seconds: The limit.
        stopped: False where the attempt still runs because nothing could end it.

    """

    def __init__(
        self, message: str, *, step: str | None = None, seconds: float | None = None, stopped: bool = True
    ) -> None:
        super().__init__(message)
        self.step, self.seconds, self.stopped = step, seconds, stopped


class CircuitOpenError(_WithFields, RuntimeError):
    """A function was not called, because its last calls failed and it is given time to recover.

    Args:
        message: Which function, why, and when it will be tried again.

    Attributes:
        step: The name of the step or function.
        retry_after: Seconds until a call is let through; 0 where one is on trial now.

    """

    def __init__(self, message: str, *, step: str | None = None, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.step, self.retry_after = step, retry_after


class AttemptExpired(Interruption):
    """Raised inside an attempt to end it when its time is over; it becomes a `StepTimeout` outside.

    Not an `Exception`, so that `except Exception` in a step does not swallow it.
    """


def expired(
    step: str, seconds: float, *, still_runs_in: str | None = None, ended_with: str | None = None
) -> StepTimeout:
    """The error for an attempt whose time is over.

    Args:
        step: The name of the step.
        seconds: The limit.
        still_runs_in: Where the attempt still runs, in words; None if it has ended.
        ended_with: What had to be ended to end the attempt, in words; None if it ended by itself.

    """
    message = f"step {step!r} did not finish within {seconds:g} s"
    if still_runs_in is not None:
        message += f"; the attempt still runs in {still_runs_in} that could not be stopped, and nothing it does counts"
    if ended_with is not None:
        message += f"; nothing inside could stop the attempt, so that {ended_with} was ended, and it is not retried"
    return StepTimeout(message, step=step, seconds=seconds, stopped=still_runs_in is None)


def take_notes(error: BaseException, other: BaseException) -> None:
    """Keep the notes of an exception that this error replaces: who was interrupted may say what it left behind."""
    for note in getattr(other, "__notes__", ()):
        add_note(error, note)
