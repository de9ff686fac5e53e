"""`crystallize plugins new`: a distribution with a plugin, an executor or a step, that passes its own tests at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from crystallize_core.cli.scaffold.render import Plan

__all__ = ["new"]


@click.command()
@click.argument("name")
@click.option("--hooks", metavar="HOOK,...", help="The hooks of the plugin; `all` stands for all of them.")
@click.option("--executor", is_flag=True, help="Write an executor, which runs replicates.")
@click.option("--step", is_flag=True, help="Write a step for the pipelines of others.")
@click.option("--observer", is_flag=True, help="Write a plugin that looks on and changes no result.")
@click.option(
    "--dir",
    "parent",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="PATH",
    help="The folder in which that of the distribution is made; default the current one.",
)
def new(name: str, *, hooks: str | None, executor: bool, step: bool, observer: bool, parent: Path) -> None:
    """Write the distribution crystallize-NAME: a plugin with typed hooks, options, tests, README and tox.ini.

    It passes its own `tox` as it is. Where something is wrong with what is asked for, nothing is written.
    """
    from crystallize_core.cli.output import say  # noqa: PLC0415 - not for --help
    from crystallize_core.cli.scaffold.render import files_of, write_whole  # noqa: PLC0415 - as above

    plan = _plan(name, hooks, executor=executor, step=step, observer=observer)
    folder = parent / plan.names.distribution
    _refuse(plan, hooks, folder, executor=executor, step=step, observer=observer)
    files = files_of(plan)
    write_whole(files, folder)
    say(
        "\n".join(
            [
                *(f"{folder / path}" for path in sorted(files)),
                "",
                f"try it: cd {folder} && tox",
                f"use it: pip install -e {folder}",
            ]
        )
    )


def _plan(name: str, hooks: str | None, *, executor: bool, step: bool, observer: bool) -> Plan:
    from crystallize_core.cli.scaffold.hooks import DEFAULT  # noqa: PLC0415 - not for --help
    from crystallize_core.cli.scaffold.names import Names  # noqa: PLC0415 - as above
    from crystallize_core.cli.scaffold.render import Plan  # noqa: PLC0415 - as above

    kind = "executor" if executor else "step" if step else "plugin"
    return Plan(Names(name), kind, DEFAULT if hooks is None else _listed(hooks), observer)


def _listed(hooks: str) -> list[str]:
    from crystallize_core.hookspecs import HOOKS  # noqa: PLC0415 - not for --help

    if hooks.strip() == "all":
        return [hook for hook in HOOKS if hook != "run_experiment_loop"]
    return [hook.strip() for hook in hooks.split(",") if hook.strip()]


def _refuse(plan: Plan, hooks: str | None, folder: Path, *, executor: bool, step: bool, observer: bool) -> None:
    """Say everything that is wrong with what was asked for.

    Raises:
        DefinitionError: Something is.

    """
    from crystallize_core.cli.scaffold import hooks as code  # noqa: PLC0415 - not for --help
    from crystallize_core.cli.scaffold.names import problems_of  # noqa: PLC0415 - as above
    from crystallize_core.errors import DefinitionError  # noqa: PLC0415 - as above

    problems = problems_of(plan.names)
    problems += code.problems_of(plan.hooks) if hooks is not None else []
    if executor and step:
        problems.append("--executor and --step: a distribution of this command has one of them; make two")
    if (executor or step) and (hooks is not None or observer):
        problems.append(
            f"--hooks and --observer are for plugins, and this is to be {'an executor' if executor else 'a step'}"
        )
    if hooks is not None and not plan.hooks:
        problems.append("--hooks: no hook is named; leave the option out for a few to begin with")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        problems.append(f"{folder} is there already and is not empty; choose another name or --dir, or remove it")
    if problems:
        raise DefinitionError("\n  ".join([f"{plan.names.given} cannot be made:", *problems]))
