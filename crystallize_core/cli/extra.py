"""Commands that plugins add, by the entry-point group `crystallize.commands`.

An entry point is a name and a `click.Command`. It is imported when its command runs, never to list it.
"""

from __future__ import annotations

from typing import Any, NoReturn

import click

from crystallize_core.errors import PluginError, did_you_mean
from crystallize_core.stack.discovery import COMMANDS, Installed, installed

__all__ = ["ExtensibleGroup"]


class ExtensibleGroup(click.Group):
    """A group with the commands that it was given, and behind them those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names: first ours, then those of plugins."""
        ours = super().list_commands(ctx)
        return [*ours, *(name for name in _extra(ctx) if name not in ours)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; one of a plugin is not imported yet."""
        ours = super().get_command(ctx, cmd_name)
        if ours is not None:
            return ours
        found = _extra(ctx).get(cmd_name)
        return None if found is None else _PluginCommand(cmd_name, found)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; an unknown one is refused with a suggestion."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = did_you_mean(name, self.list_commands(ctx), listing="the commands are")
            ctx.fail(f"there is no command {name!r}; {hint}")
        if name in self.commands:
            self._warn(ctx, name)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands in the help."""
        for name in self.commands:
            self._warn(ctx, name)
        super().format_commands(ctx, formatter)

    def _warn(self, ctx: click.Context, name: str) -> None:
        """Say that a plugin cannot take the place of one of our commands."""
        for item in _extra(ctx).get(name, ()):
            click.echo(f"warning: command {name!r} of {_owner(item)} is ignored, it cannot replace ours", err=True)


def _extra(ctx: click.Context) -> dict[str, list[Installed]]:
    """The entry points by name, looked up once for each invocation."""
    key = f"{__name__}.found"
    if key not in ctx.meta:
        found: dict[str, list[Installed]] = {}
        for item in installed(COMMANDS):
            found.setdefault(item.name, []).append(item)
        ctx.meta[key] = found
    by_name: dict[str, list[Installed]] = ctx.meta[key]
    return by_name


def _owner(item: Installed) -> str:
    return f"{item.distribution} {item.version}"


def _check_allowed(what: str, item: Installed) -> None:
    from crystallize_core.stack.allowing import Allowance  # noqa: PLC0415 - not for --help
    from crystallize_core.stack.config import find_config, from_environment  # noqa: PLC0415 - as above

    Allowance.here(find_config(), from_environment()).check(what, item)


class _PluginCommand(click.Command):
    """Stands for a command of a plugin until it runs."""

    def __init__(self, name: str, found: list[Installed]) -> None:
        super().__init__(name, short_help=f"from {' and '.join(map(_owner, found))}")
        self.found = found

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Import the command and hand over to it."""
        return self._loaded().make_context(info_name, args, parent, **extra)

    def _loaded(self) -> click.Command:
        if len(self.found) > 1:
            self._refuse(f"is shipped by {' and '.join(map(_owner, self.found))}; uninstall one of them")
        item = self.found[0]
        _check_allowed(f"command {self.name!r}", item)
        try:
            command = item.load()
        except PluginError as error:
            self._refuse(f"cannot be imported from {item.value}: {error.__cause__!r}", error)
        if not isinstance(command, click.Command):
            found = f"{item.value} is {type(command).__qualname__} {command!r}"
            self._refuse(f"is no command: {found}; decorate a function with @click.command()")
        return command

    def _refuse(self, problem: str, cause: BaseException | None = None) -> NoReturn:
        message = f"command {self.name!r} {problem}"
        raise PluginError(message, distribution=" and ".join(map(_owner, self.found))) from cause
