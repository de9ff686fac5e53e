"""`crystallize cache`: what is kept, why a step would run again, and throwing away what is not wanted."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystallize_core.cli.stack_options import stack_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crystallize_core.cache import CachedFile, KeptRun, Sweep
    from crystallize_core.dry_run import DryRun
    from crystallize_core.engine.preview import StepPreview

__all__ = ["cache"]

FAILED = 1


class _Quantity(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # not generic in older versions
    """An amount as people write it: a time span such as `30d` in seconds, or bytes such as `5GB`.

    Args:
        name: The name of its reader in `quantities`.

    """

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The amount."""
        from crystallize_core import quantities  # noqa: PLC0415 - not for --help

        try:
            return getattr(quantities, self.name)(value)
        except ValueError as error:
            self.fail(f"it {error}", param, ctx)


@click.group()
def cache() -> None:
    """Look at the cached outputs of steps, and throw away what is not wanted.

    The cache is the folder that --dir or CRYSTALLIZE_CACHE_DIR names, or `.cache` in the current folder.
    """


def _folder(_ctx: click.Context, _param: click.Parameter, said: Path | None) -> Path:
    from crystallize_core.cache import cache_folder  # noqa: PLC0415 - not for --help

    return (said or cache_folder()).absolute()


_of_folder = click.option(
    "--dir",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="PATH",
    callback=_folder,
    help="The folder of the cache, such as the `cache_dir` of a pipeline.",
)


# Looking ----------------------------------------------------------------------------------------------


@cache.command()
@_of_folder
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def stats(*, folder: Path, as_json: bool) -> None:
    """Show how much is cached: entries and bytes of each step, and the checkpoints of each pipeline."""
    from crystallize_core.cache import cached_files, kept_runs  # noqa: PLC0415 - not for --help
    from crystallize_core.cli.output import say  # noqa: PLC0415 - as above

    found = _stats(folder, list(cached_files(folder)), kept_runs(folder))
    say(json.dumps(found, indent=2) if as_json else _stats_text(found))


def _stats(folder: Path, entries: Sequence[CachedFile], runs: Sequence[KeptRun]) -> dict[str, Any]:
    by_step: dict[str, list[CachedFile]] = {}
    for entry in entries:
        by_step.setdefault(entry.step, []).append(entry)
    by_pipeline: dict[str, list[KeptRun]] = {}
    for run in runs:
        by_pipeline.setdefault(run.pipeline, []).append(run)
    return {
        "folder": str(folder),
        **_amounts(entries),
        "steps": {name: _amounts(found) for name, found in sorted(by_step.items())},
        "checkpoints": {
            name: {"runs": len(found), "bytes": sum(run.size for run in found), "newest": found[-1].folder.name}
            for name, found in sorted(by_pipeline.items())
        },
    }


def _amounts(entries: Sequence[CachedFile]) -> dict[str, Any]:
    written = [entry.written for entry in entries]
    size = sum(entry.size for entry in entries)
    ends = {"oldest": min(written), "newest": max(written)} if written else {"oldest": None, "newest": None}
    return {"entries": len(entries), "bytes": size, **ends}


def _stats_text(found: dict[str, Any]) -> str:
    from crystallize_core.result_text import table  # noqa: PLC0415 - not for --help

    steps = [
        (name or "?", str(of["entries"]), _bytes(of["bytes"]), _moment(of["oldest"]), _moment(of["newest"]))
        for name, of in found["steps"].items()
    ]
    runs = [
        (name or "?", str(of["runs"]), _bytes(of["bytes"]), of["newest"]) for name, of in found["checkpoints"].items()
    ]
    parts = [
        [f"folder: {found['folder']}", f"{_several(found['entries'], 'entry')}, {_bytes(found['bytes'])}"],
        table(("step", "entries", "size", "oldest", "newest"), steps) if steps else [],
        table(("checkpoints", "runs", "size", "newest"), runs) if runs else [],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


@cache.command()
@click.argument("step", required=False)
@_of_folder
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--sort",
    "order",
    type=click.Choice(["age", "size", "used"]),
    help="The oldest first, the largest first, or what was not used for the longest time first.",
)
def ls(*, folder: Path, step: str | None, as_json: bool, order: str | None) -> None:
    """List the entries, or those of the step STEP, one in a line."""
    from crystallize_core.cache import cached_files  # noqa: PLC0415 - not for --help
    from crystallize_core.cli.output import say  # noqa: PLC0415 - as above
    from crystallize_core.result_text import table  # noqa: PLC0415 - as above

    found = list(cached_files(folder))
    if step is not None:
        _check_step(step, found, folder)
        found = [entry for entry in found if entry.step == step]
    keys = {None: lambda e: e.step, "age": lambda e: e.written, "size": lambda e: -e.size, "used": lambda e: e.used}
    found.sort(key=keys[order])
    if as_json:
        say(json.dumps([_as_json(entry) for entry in found], indent=2))
    elif found:
        rows = [
            (
                e.step or "?",
                _bytes(e.size),
                _moment(e.written),
                _moment(e.used),
                f"{e.path.parent.name[:8]}/{e.path.name[:8]}",
            )
            for e in found
        ]
        say("\n".join(table(("step", "size", "written", "used", "entry"), rows)))
    else:
        say(f"nothing is cached in {folder}")


def _as_json(entry: CachedFile) -> dict[str, Any]:
    found = {"step": entry.step, "bytes": entry.size, "written": entry.written, "used": entry.used}
    return {**found, "path": str(entry.path)}


def _check_step(step: str, entries: Iterable[CachedFile], folder: Path) -> None:
    from crystallize_core.errors import DefinitionError, did_you_mean  # noqa: PLC0415 - not for --help

    known = sorted({entry.step for entry in entries} - {""})
    if step not in known:
        hint = did_you_mean(step, known, listing="cached are outputs of") if known else "the cache is empty."
        message = f"no output of step {step!r} is cached in {folder}; {hint}"
        raise DefinitionError(message)


# Why ----------------------------------------------------------------------------------------------------


@cache.command()
@click.argument("target")
@click.argument("step")
@click.option("--treatment", metavar="T", help="Look at the cell of this treatment; default the baseline.")
@click.option("--replicate", type=click.IntRange(min=0), metavar="R", help="Look at this replicate; default 0.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As for `crystallize run`.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="An input of a pipeline, as for `run`.")
@stack_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def why(
    *,
    target: str,
    step: str,
    treatment: str | None,
    replicate: int | None,
    settings: tuple[str, ...],
    inputs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say whether the cache would answer the step STEP of the experiment or pipeline TARGET, and what has changed.

    No step runs. Where STEP stands on a step that would run, its input is unknown, and it is said why that one would.
    """
    from crystallize_core.cli.output import own_output, say  # noqa: PLC0415 - not for --help

    with own_output():  # what is loaded may print
        found = _looked_at(target, treatment, replicate, settings, inputs)
        preview = _of_step(found, step)
    if as_json:
        rests_on = [other.to_dict() for other in _roots(found, preview)]
        say(json.dumps({**preview.to_dict(), "because_of": rests_on}, indent=2))
    else:
        say(_why_text(found, preview))


def _looked_at(
    target: str, treatment: str | None, replicate: int | None, settings: tuple[str, ...], inputs: tuple[str, ...]
) -> DryRun:
    from crystallize_core.cli.settings import given_inputs, told, with_context, with_settings  # noqa: PLC0415 - not for --help
    from crystallize_core.cli.target import find_target  # noqa: PLC0415 - as above
    from crystallize_core.errors import DefinitionError  # noqa: PLC0415 - as above
    from crystallize_core.experiment import Experiment  # noqa: PLC0415 - as above

    found = find_target(target)
    if isinstance(found, Experiment):
        if inputs:
            message = f"--input goes with a pipeline, and {target} is an experiment, which has a datasource"
            raise DefinitionError(message, experiment=found.name)
        return told(with_settings(found, settings)).dry_run(treatment, replicate=replicate or 0)
    if treatment is not None or replicate is not None:
        message = f"--treatment and --replicate go with an experiment, and {target} is pipeline {found.name!r}"
        raise DefinitionError(message)
    return found.dry_run(inputs=given_inputs(inputs), context=told(with_context(found, settings)))


def _of_step(found: DryRun, step: str) -> StepPreview:
    from crystallize_core.errors import DefinitionError, did_you_mean  # noqa: PLC0415 - not for --help

    for error in found.errors.values():
        raise error
    try:
        return found[step]
    except KeyError:
        hint = did_you_mean(step, [other.step for other in found.steps], listing="its steps are")
        message = f"{found.name} has no step {step!r}; {hint}"
        raise DefinitionError(message) from None


def _roots(found: DryRun, preview: StepPreview) -> list[StepPreview]:
    """The steps that would run, and for which it cannot be said what becomes of this one."""
    by_name = {other.step: other for other in found.steps}
    roots: dict[str, StepPreview] = {}
    pending = list(preview.waits_for)
    while pending:
        other = by_name[pending.pop(0)]
        if other.waits_for:
            pending += other.waits_for
        else:
            roots[other.step] = other
    return list(roots.values())


def _why_text(found: DryRun, preview: StepPreview) -> str:
    is_experiment = not found.name.startswith("pipeline ")
    cell = f", condition {preview.condition}, replicate {preview.replicate}" if is_experiment else ""
    lines = [f"step {preview.step!r}{cell}: {preview.state}"]
    if preview.waits_for:
        lines.append("  its input is unknown, because others would run before it:")
        lines += [f"  step {other.step!r}: {line}" for other in _roots(found, preview) for line in _reasons(other)]
    else:
        lines += [f"  {line}" for line in _reasons(preview)]
    return "\n".join(lines)


def _reasons(preview: StepPreview) -> list[str]:
    return [f"changed since it ran last: {change}" for change in preview.changes] or [preview.reason]


# Throwing away ----------------------------------------------------------------------------------------


@cache.command()
@_of_folder
@click.option(
    "--older-than", type=_Quantity("seconds"), metavar="AGE", help="Remove what was not used for so long: 12h, 30d, 8w."
)
@click.option(
    "--max-size", type=_Quantity("size"), metavar="SIZE", help="Keep so much, and what was used last: 500MB, 5GB."
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
def gc(*, folder: Path, older_than: float | None, max_size: int | None, dry_run: bool) -> None:
    """Remove what is old or too much, and what killed processes left half written.

    Without options, only what is left over goes.
    """
    from crystallize_core.cache import sweep  # noqa: PLC0415 - not for --help
    from crystallize_core.cli.output import say  # noqa: PLC0415 - as above

    unused_since = None if older_than is None else time.time() - older_than
    found = sweep(folder, unused_since=unused_since, most_bytes=max_size)
    words = _words(found)  # before the sizes of files are gone with them
    if not dry_run:
        found.remove()
    say(f"{'would remove' if dry_run else 'removed'} {words} from {found.folder}")


@cache.command()
@click.argument("step", required=False)
@_of_folder
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def clear(ctx: click.Context, *, folder: Path, step: str | None, yes: bool) -> None:
    """Remove all entries and checkpoints, or only the entries of the step STEP.

    What has no name of our form stays, and links are not followed.
    """
    from crystallize_core.cache import cached_files  # noqa: PLC0415 - not for --help
    from crystallize_core.cache import clear as to_clear  # noqa: PLC0415 - as above
    from crystallize_core.cli.output import say  # noqa: PLC0415 - as above
    from crystallize_core.errors import DefinitionError  # noqa: PLC0415 - as above

    if step is not None:
        _check_step(step, cached_files(folder), folder)
    found = to_clear(folder, step)
    words = _words(found)  # before the sizes of files are gone with them
    if not yes and not sys.stdin.isatty():
        message = f"this would remove {words} from {folder}, and there is no terminal to ask; say --yes"
        raise DefinitionError(message)
    if not yes and not click.confirm(f"Remove {words} from {folder}?"):
        ctx.exit(FAILED)
    found.remove()
    say(f"removed {words} from {folder}")


def _words(found: Sweep) -> str:
    parts = [_several(len(found.entries), "entry")]
    if found.runs:
        parts.append(f"the checkpoints of {_several(len(found.runs), 'run')}")
    if found.unfinished:
        parts.append(_several(len(found.unfinished), "half-written file"))
    return f"{' and '.join(parts)} ({_bytes(found.size)})"


def _several(number: int, what: str) -> str:
    if number == 1:
        return f"1 {what}"
    return f"{number} {what[:-1]}ies" if what.endswith("y") else f"{number} {what}s"


def _bytes(amount: int) -> str:
    from crystallize_core.quantities import in_words  # noqa: PLC0415 - not for --help

    return in_words(amount)


def _moment(seconds: float | None) -> str:
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
