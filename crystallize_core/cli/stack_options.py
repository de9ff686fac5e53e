"""`--profile` and `-o`: the options of every command that looks for a stack; `--executor`, of those that run something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["executor_option", "stack_options"]

F = TypeVar("F", bound=Callable[..., Any])


def stack_options(command: F) -> F:
    """Give a command `--profile` and `-o`; they hold wherever a stack is made while it runs, and are no arguments."""
    for option in (_OPTION, _PROFILE):
        command = option(command)
    return command


def executor_option(command: F) -> F:
    """Give a command `--executor`, as its argument `executor`; options for that executor then count as used."""
    return _EXECUTOR(command)


def _use_executor(ctx: click.Context, _: click.Parameter, executor: str | None) -> str | None:
    if executor is not None and not ctx.resilient_parsing:
        from crystallize_core.stack.overrides import overridden  # noqa: PLC0415 - not for --help

        ctx.with_resource(overridden(executor=executor))
    return executor


def _use_profile(ctx: click.Context, _: click.Parameter, profile: str | None) -> None:
    if profile is not None and not ctx.resilient_parsing:
        from crystallize_core.stack.overrides import overridden  # noqa: PLC0415 - not for --help

        ctx.with_resource(overridden(profile=profile))


def _use_options(ctx: click.Context, _: click.Parameter, options: tuple[str, ...]) -> None:
    if options and not ctx.resilient_parsing:
        from crystallize_core.stack.overrides import overridden  # noqa: PLC0415 - not for --help

        ctx.with_resource(overridden(options=options))


_EXECUTOR = click.option(
    "--executor",
    metavar="E",
    callback=_use_executor,
    help="Run the replicates with this executor, such as serial or process.",
)
_PROFILE = click.option(
    "--profile",
    metavar="P",
    expose_value=False,
    is_eager=True,
    callback=_use_profile,
    help="Use this profile of the project's configuration.",
)
_OPTION = click.option(
    "--option",
    "-o",
    multiple=True,
    metavar="PLUGIN.OPTION=VALUE",
    expose_value=False,
    is_eager=True,
    callback=_use_options,
    help="Give a plugin this option, or set executor=, plugins=, disable= or allow=. May be repeated.",
)
