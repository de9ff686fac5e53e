"""Public errors as users write them; read by mypy, never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from crystallize_core.errors import ContextKeyError, CrystallizeError, RunInterrupted, StepError

if TYPE_CHECKING:
    from collections.abc import Mapping


def an_error_has_words_and_an_address(error: CrystallizeError) -> Mapping[str, object]:
    assert_type(error.message, str)
    return error.address


def a_missing_key_is_a_key_error(error: ContextKeyError) -> KeyError:
    return error


def failures_of_a_run_are_caught_by_their_base() -> str:
    try:
        raise StepError("the step failed", step="scale", replicate=3)
    except CrystallizeError as error:
        return str(error)


def an_interruption_is_no_crystallize_error(error: RunInterrupted) -> KeyboardInterrupt:
    return error
