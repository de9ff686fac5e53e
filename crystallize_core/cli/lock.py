"""`crystallize lock`: write the lock of the project's stack, compare it, or print what pip needs for it."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from crystallize_core.cli.stack_options import stack_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crystallize_core.stack.lock.document import Lock
    from crystallize_core.stack.lock.drift import Difference
    from crystallize_core.stack.lock.project import Project

__all__ = ["lock"]

DRIFT = 1


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; say what differs, and exit with 1 if anything does.")
@click.option("--requirements", is_flag=True, help="Print what pip needs to install again what is locked.")
@click.option(
    "--also",
    multiple=True,
    metavar="REQUIREMENT",
    help="Lock this distribution as well, such as one that steps import. May be repeated; kept when locking again.",
)
@stack_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def lock(ctx: click.Context, /, *, check: bool, requirements: bool, also: tuple[str, ...], as_json: bool) -> None:
    """Lock the stack of this project: write crystallize.lock beside its configuration.

    It holds the plugins in their order with their options, the versions of all that they need, and the digests of
    their files. `crystallize run --locked` runs with nothing else.
    """
    _refuse_together(check=check, requirements=requirements, also=also, as_json=as_json)
    if requirements:
        _print_requirements()
    elif check:
        ctx.exit(_check(as_json=as_json))
    else:
        _write(also, as_json=as_json)


def _refuse_together(*, check: bool, requirements: bool, also: tuple[str, ...], as_json: bool) -> None:
    wrong = {
        "--check and --requirements": check and requirements,
        "--also and --check": also and check,
        "--also and --requirements": also and requirements,
        "--json and --requirements": as_json and requirements,
    }
    named = [words for words, is_wrong in wrong.items() if is_wrong]
    if named:
        message = f"{', '.join(named)} do not go together"
        raise click.UsageError(message)


def _print_requirements() -> None:
    from crystallize_core.cli.output import say  # noqa: PLC0415 - not for --help
    from crystallize_core.stack.lock.document import read_lock  # noqa: PLC0415 - as above
    from crystallize_core.stack.lock.project import Project  # noqa: PLC0415 - as above
    from crystallize_core.stack.lock.requirements import requirements  # noqa: PLC0415 - as above

    project = Project.found()
    say(requirements(read_lock(project.lock_file), project.folder).rstrip("\n"))


def _check(*, as_json: bool) -> int:
    from crystallize_core.cli.output import own_output, say  # noqa: PLC0415 - not for --help
    from crystallize_core.stack.lock.check import differences  # noqa: PLC0415 - as above
    from crystallize_core.stack.lock.document import read_lock  # noqa: PLC0415 - as above
    from crystallize_core.stack.lock.guard import ADVICE  # noqa: PLC0415 - as above
    from crystallize_core.stack.lock.project import Project  # noqa: PLC0415 - as above

    with own_output(), _warnings_told():
        project = Project.found()
        locked = read_lock(project.lock_file)
        found = differences(locked, project)
    if as_json:
        say(json.dumps(_as_json(project, locked.digest, found), indent=2, default=str))
    elif found:
        lines = "".join(f"\n  {difference.text}" for difference in found)
        say(f"what is here is not what {project.lock_file} says:{lines}\n{ADVICE}")
    else:
        say(f"what is here is what {project.lock_file} says (digest {locked.digest})")
    return DRIFT if found else 0


def _write(also: tuple[str, ...], *, as_json: bool) -> None:
    from crystallize_core.cli.output import own_output, say  # noqa: PLC0415 - not for --help
    from crystallize_core.stack.lock.check import differences  # noqa: PLC0415 - as above
    from crystallize_core.stack.lock.document import write_lock  # noqa: PLC0415 - as above
    from crystallize_core.stack.lock.project import Project, lock_of  # noqa: PLC0415 - as above

    with own_output(), _warnings_told():
        project = Project.found()
        before = _before(project)
        made = lock_of(project, also or (() if before is None else before.also))
        changes = [] if before is None else differences(before, project)
        write_lock(made, project.lock_file)
    if as_json:
        say(json.dumps(_as_json(project, made.digest, changes), indent=2, default=str))
        return
    counts = f"{len(made.plugins)} plugins, {len(made.distributions)} distributions, digest {made.digest}"
    lines = "".join(f"\n  {difference.text}" for difference in changes)
    say(
        f"wrote {project.lock_file}: {counts}"
        + (f"\nwhat was locked before, and is locked now:{lines}" if lines else "")
    )


def _before(project: Project) -> Lock | None:
    """The lock that is to be replaced; None where there is none yet, or none that can be read."""
    from crystallize_core.errors import LockError  # noqa: PLC0415 - not for --help
    from crystallize_core.stack.lock.document import read_lock  # noqa: PLC0415 - as above

    try:
        return read_lock(project.lock_file)
    except LockError:
        return None


def _as_json(project: Project, digest: str, found: Sequence[Difference]) -> dict[str, Any]:
    import attrs  # noqa: PLC0415 - not for --help

    differences = [attrs.asdict(difference) for difference in found]
    return {"file": str(project.lock_file), "digest": digest, "same": not found, "differences": differences}


@contextlib.contextmanager
def _warnings_told() -> Iterator[None]:
    """Say on standard error which installed plugins cannot be used."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        click.echo(f"warning: {text}", err=True)
