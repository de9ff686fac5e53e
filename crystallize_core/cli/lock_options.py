"""`--locked` and `--provision`: commands that run only what was locked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import click

__all__ = ["LockableCommand", "lock_options"]

F = TypeVar("F", bound=Callable[..., Any])
_GIVEN: Final = f"{__name__}.given"
_VARIABLE: Final = "CRYSTALLIZE_LOCKED"


def lock_options(command: F) -> F:
    """Give a command of the class `LockableCommand` its options; they are no arguments of its function."""
    for option in (_PROVISION, _LOCKED):
        command = option(command)
    return command


class LockableCommand(click.Command):
    """A command that compares what is here with the lock before it does anything, if that is wanted."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments as they were given, for the same command elsewhere."""
        ctx.meta[_GIVEN] = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Go into the environment of the lock, or compare this one, before the target is imported."""
        locked, provision = ctx.params.pop("locked"), ctx.params.pop("provision")
        if provision:
            from crystallize_core.cli.provision import run_there  # noqa: PLC0415 - not for --help

            first = ["--traceback"] if ctx.find_root().params.get("traceback") else []
            rest = [argument for argument in ctx.meta[_GIVEN] if argument != "--provision"]
            ctx.exit(run_there([*first, ctx.command.name or "", "--locked", *rest]))
        if locked:
            ctx.with_resource(_demanded())
        _refuse_drift()
        return super().invoke(ctx)


_LOCKED = click.option(
    "--locked", is_flag=True, help="Refuse to run with anything but the stack of crystallize.lock, before importing it."
)
_PROVISION = click.option(
    "--provision", is_flag=True, help="Make an environment from crystallize.lock, unless it is there, and run in it."
)


@contextlib.contextmanager
def _demanded() -> Iterator[None]:
    """Let every experiment of this command be locked; workers inherit the environment."""
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before


def _refuse_drift() -> None:
    from crystallize_core.stack.config import from_environment  # noqa: PLC0415 - not for --help
    from crystallize_core.stack.locked import guard_of  # noqa: PLC0415 - as above

    guard_of(None, from_environment())
