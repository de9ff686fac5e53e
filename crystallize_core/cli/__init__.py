"""The command `crystallize`: its commands by name, and what becomes of errors.

A mistake of the user is one message and exit code 2; a mistake of ours keeps its traceback. What a command needs is
imported when it runs, so that `crystallize --help` stays quick and imports no plugin.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from crystallize_core.cli.cache import cache
from crystallize_core.cli.config import config
from crystallize_core.cli.extra import ExtensibleGroup
from crystallize_core.cli.lock import lock
from crystallize_core.cli.plugins import plugins
from crystallize_core.cli.run import run
from crystallize_core.errors import CrystallizeError
from crystallize_core.stack.here import current_folder

__all__ = ["main"]


class _Failure(click.ClickException):
    """A user's mistake: the message is all there is to say."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(self.message, file=file, err=file is None)


class _Main(ExtensibleGroup):
    def main(self, args: Sequence[str] | None = None, *more: Any, **settings: Any) -> Any:
        """Run the command; where it is the whole program, see to it that the program ends."""
        try:
            return super().main(args, *more, **settings)
        except SystemExit as end:
            if args is None:
                _end(end.code)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            current_folder()  # whatever is read or written next starts from there
            return super().invoke(ctx)
        except CrystallizeError as error:
            from crystallize_core.cli.messages import message_of  # noqa: PLC0415 - only where something failed

            raise _Failure(message_of(error, with_traceback=ctx.params["traceback"])) from error
        except KeyboardInterrupt as error:  # click would exit with 1, the shell expects 130
            click.echo("\n".join(["interrupted", *getattr(error, "__notes__", ())]), err=True)
            ctx.exit(130)


def _end(code: object) -> None:
    if threading.active_count() > 1:
        from crystallize_core.cli.ending import end_in_time  # noqa: PLC0415 - not for --help

        end_in_time(code)


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click calls it
    if wanted and not ctx.resilient_parsing:
        _print_version(ctx)


def _print_version(ctx: click.Context) -> NoReturn:
    from crystallize_core.version import version  # noqa: PLC0415 - reads the metadata of what is installed

    click.echo(f"crystallize-core {version()}")
    ctx.exit()


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--traceback", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def main(*, traceback: bool) -> None:
    """Run experiments and pipelines, and look at the plugins and at what is cached."""


main.add_command(run)
main.add_command(plugins)
main.add_command(cache)
main.add_command(config)
main.add_command(lock)
