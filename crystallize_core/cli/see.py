"""`crystallize plugins show`, `explain`, `doctor` and `profile`: a closer look at plugins, also at broken ones."""

from __future__ import annotations

import json
from typing import Any

import click

from crystallize_core.cli.stack_options import executor_option, stack_options

__all__ = ["doctor", "explain", "profile", "show"]

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.argument("name")
@stack_options
@_as_json
def show(*, name: str, as_json: bool) -> None:
    """Show what there is to know about the plugin, executor or local plugin NAME.

    That is where it comes from, its hooks and step options, its options with the values that are in effect here, whether
    it is active, and where it stands and why. Works where it is broken.
    """
    from crystallize_core.cli.output import own_output, say  # noqa: PLC0415 - not for --help
    from crystallize_core.cli.show import show as look_at  # noqa: PLC0415 - as above
    from crystallize_core.cli.show_text import text_of  # noqa: PLC0415 - as above

    with own_output():  # plugins may print while they are imported
        found = look_at(name)
    say(_dumped([one.to_dict() for one in found]) if as_json else "\n\n".join(map(text_of, found)))


@click.command()
@click.argument("hook", required=False)
@stack_options
@_as_json
def explain(*, hook: str | None, as_json: bool) -> None:
    """Show in which order the implementations of HOOK are called here, with the reason for each place.

    Without HOOK, the order of the stack.
    """
    from crystallize_core.cli.output import own_output, say  # noqa: PLC0415 - not for --help
    from crystallize_core.cli.reasons import explain as look_at  # noqa: PLC0415 - as above
    from crystallize_core.cli.show_text import text_of_order  # noqa: PLC0415 - as above

    with own_output():  # as above
        found = look_at(hook)
    say(_dumped(found.to_dict()) if as_json else text_of_order(found))


@click.command()
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    default=0.5,
    show_default=True,
    metavar="SECONDS",
    help="What takes longer to import is called slow.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="What has not ended by then is said to hang.",
)
@click.option("--strict", is_flag=True, help="Fail where there are only warnings, too.")
@stack_options
@_as_json
@click.pass_context
def doctor(ctx: click.Context, /, *, budget: float, timeout: float, strict: bool, as_json: bool) -> None:
    """Find what is wrong with the plugins that are installed, and with the stack of this folder.

    Each distribution is imported in a process of its own, so that none can take the others down. What is disabled is
    not imported. docs/doctor.md explains the codes. The exit code is 1 where there are errors.
    """
    from crystallize_core.cli.doctor import doctor as examine  # noqa: PLC0415 - not for --help
    from crystallize_core.cli.output import say  # noqa: PLC0415 - as above

    if not as_json:
        click.echo("each distribution is examined in a process of its own", err=True)
    found = examine(budget=budget, timeout=timeout)
    say(_dumped(found.to_dict()) if as_json else found.summary())
    ctx.exit(1 if found.count("error") or (strict and found.findings) else 0)


@click.command()
@click.argument("target")
@click.option("--replicates", type=click.IntRange(min=1), metavar="N", help="Repeat all conditions N times.")
@executor_option
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="As for `crystallize run`. May be repeated."
)
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=VALUE", help="As for `crystallize run`. May be repeated."
)
@stack_options
@_as_json
def profile(*, target: str, as_json: bool, **asked: Any) -> None:
    """Run TARGET, and show what the hooks of each plugin took of its time.

    TARGET is an experiment or a pipeline, as for `crystallize run`. What it comes to is not shown. Hooks that workers
    call count as well; the time of a policy is its own, without the attempts of the step.
    """
    from crystallize_core.cli.output import own_output, say  # noqa: PLC0415 - not for --help
    from crystallize_core.cli.profile import profile as measure  # noqa: PLC0415 - as above

    with own_output():  # steps may print
        found = measure(target, **asked)
    say(_dumped(found.to_dict()) if as_json else found.summary())


def _dumped(found: Any) -> str:
    return json.dumps(found, indent=2)
