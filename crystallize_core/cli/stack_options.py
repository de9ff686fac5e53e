"""`--profile` and `-o`: the options of every command that looks for a stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["stack_options"]

F = TypeVar("F", bound=Callable[..., Any])


def stack_options(command: F) -> F:
    """Give a command `--profile` and `-o`; they hold wherever a stack is made while it runs, and are no arguments."""
    for option in (_OPTION, _PROFILE):
        command = option(command)
    return command


def _use_profile(ctx: click.Context, _: click.Parameter, profile: str | None) -> None:
    if profile is not None and not ctx.resilient_parsing:
        from crystallize_core.stack.overrides import overridden  # noqa: PLC0415 - not for --help

        ctx.with_resource(overridden(profile=profile))


def _use_options(ctx: click.Context, _: click.Parameter, options: tuple[str, ...]) -> None:
    if options and not ctx.resilient_parsing:
        from crystallize_core.stack.overrides import overridden  # noqa: PLC0415 - not for --help

        ctx.with_resource(overridden(options=options))


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
