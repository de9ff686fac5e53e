"""`--trace-hooks`: a line on standard error for each call of a hook."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["trace_option"]

F = TypeVar("F", bound=Callable[..., Any])


def _set_trace(_: click.Context, __: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click calls it
    """Switch it on before anything is loaded; workers inherit the environment."""
    if wanted:
        os.environ["CRYSTALLIZE_TRACE_HOOKS"] = "1"


def trace_option(command: F) -> F:
    """The option, for a command that runs something."""
    option: Callable[[F], F] = click.option(
        "--trace-hooks",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_set_trace,
        help="Write a line to standard error for each call of a hook, in this process and in workers.",
    )
    return option(command)
