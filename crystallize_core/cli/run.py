"""`crystallize run`: find an experiment or a pipeline, run it, print what it came to."""

from __future__ import annotations

import contextlib
import copy
import json
import warnings
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystallize_core.cli.lock_options import LockableCommand, lock_options
from crystallize_core.cli.stack_options import executor_option, stack_options
from crystallize_core.cli.trace import trace_option

if TYPE_CHECKING:
    from crystallize_core.dry_run import DryRun
    from crystallize_core.experiment import Experiment
    from crystallize_core.hypothesis import Hypothesis
    from crystallize_core.pipeline import Pipeline
    from crystallize_core.pipeline_result import PipelineResult
    from crystallize_core.result import Result

__all__ = ["run"]

FAILED = 1
INTERRUPTED = 130


def _check_folder(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    """Refuse before the run what would lose its result afterwards."""
    if path is not None and not path.absolute().parent.is_dir():
        message = f"there is no folder {path.absolute().parent}"
        raise click.BadParameter(message)
    return path and path.absolute()  # the working folder may be another one when it is written


@click.command(cls=LockableCommand)
@click.argument("target")
@click.option("--replicates", type=click.IntRange(min=1), metavar="N", help="Repeat all conditions N times.")
@click.option(
    "--treatment",
    "treatments",
    multiple=True,
    metavar="T",
    help="Compare only this treatment with the baseline; may be repeated. `baseline` alone compares none.",
)
@executor_option
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a key of initial_ctx, or a parameter of a pipeline; VALUE is read as TOML or JSON, and else as text. "
    "May be repeated.",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Give a pipeline this input; VALUE as for --set. May be repeated.",
)
@stack_options
@lock_options
@click.option(
    "--provenance",
    type=click.Choice(["first", "all", "none"]),
    help="Keep records of the steps of the first replicate (the default), of all, or of none.",
)
@click.option("--resume", is_flag=True, help="Take over what the newest run finished.")
@trace_option
@click.option("--debug", is_flag=True, help="Say on standard error what each step of a pipeline gets and makes.")
@click.option("--dry-run", is_flag=True, help="Run no step; show which are cached, which would run, and why.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else, to standard output.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    callback=_check_folder,
    help="Write the result to FILE as JSON, too.",
)
@click.pass_context
def run(
    ctx: click.Context,
    /,
    *,
    target: str,
    as_json: bool,
    output: Path | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Run the experiment or pipeline TARGET and print what it came to.

    TARGET is file.py or package.module, with :NAME behind it where there are several. NAME is an Experiment, a Pipeline
    or a function without arguments that returns one.

    The exit code is 0 when all went well; 1 when cells, steps, verifiers or plugins failed; 2 when nothing ran because
    of a mistake; 130 after Ctrl-C, which prints what was finished.
    """
    asked = _Asked(**options)
    if dry_run and output is not None:
        message = "a dry run has no result to write; --json prints what it came to"
        raise click.UsageError(message)
    with _kept_streams(), _output_for(as_json), _warnings_told() as warned:
        found = _found(target, warned)
        is_pipeline = _is_pipeline(found)
        asked.refuse_what_does_not_go_with(found, target, is_pipeline=is_pipeline)
        if dry_run:
            shown: Any = _dry(found, asked, warned, is_pipeline=is_pipeline)
            failure: BaseException | None = None
        elif is_pipeline:
            shown, failure = _of_pipeline(found, asked, warned)
        else:
            shown, failure = _of_experiment(found, asked, warned)
    if shown is not None:
        _show(shown, as_json=as_json)
        if output is not None:
            _write(shown, output)
    if dry_run:
        for text in warned:  # there is no result that has them
            click.echo(f"warning: {text}", err=True)
        ctx.exit(FAILED if shown.errors else 0)
    ctx.exit(_verdict_on_pipeline(ctx, shown, failure) if is_pipeline else _verdict(ctx, shown, failure))


class _Asked:
    """The options that say how to run."""

    def __init__(
        self,
        *,
        replicates: int | None,
        treatments: tuple[str, ...],
        executor: str | None,
        settings: tuple[str, ...],
        inputs: tuple[str, ...],
        provenance: str | None,
        resume: bool,
        debug: bool,
    ) -> None:
        self.replicates, self.treatments, self.executor, self.settings = replicates, treatments, executor, settings
        self.inputs, self.provenance, self.resume, self.debug = inputs, provenance, resume, debug

    def refuse_what_does_not_go_with(self, found: Any, target: str, *, is_pipeline: bool) -> None:
        """Refuse options that would do nothing.

        Raises:
            DefinitionError: There are such options; all of them are named.

        """
        from crystallize_core.errors import DefinitionError  # noqa: PLC0415 - not for --help

        of_experiments = {
            "--replicates": self.replicates,
            "--treatment": self.treatments,
            "--provenance": self.provenance,
        }
        wrong = of_experiments if is_pipeline else {"--input": self.inputs, "--debug": self.debug}
        named = [option for option, value in wrong.items() if value]
        if named:
            kind, other = ("pipeline", "an experiment") if is_pipeline else ("experiment", "a pipeline")
            message = f"{', '.join(named)} goes with {other}, and {target} is {kind} {found.name!r}"
            raise DefinitionError(message)


def _found(target: str, warned: list[str]) -> Any:
    from crystallize_core.cli.target import find_target  # noqa: PLC0415 - not for --help

    with _warnings_shown(warned):
        return find_target(target)


@contextlib.contextmanager
def _warnings_shown(warned: list[str]) -> Iterator[None]:
    """Show the warnings where there will be no result that has them."""
    from crystallize_core.errors import CrystallizeError  # noqa: PLC0415 - not for --help

    try:
        yield
    except CrystallizeError:
        for text in warned:
            click.echo(f"warning: {text}", err=True)
        raise


def _is_pipeline(found: Any) -> bool:
    from crystallize_core.pipeline import Pipeline  # noqa: PLC0415 - not for --help

    return isinstance(found, Pipeline)


def _of_pipeline(
    pipeline: Pipeline, asked: _Asked, warned: list[str]
) -> tuple[PipelineResult | None, BaseException | None]:
    """The result of a pipeline that runs on its own, and Ctrl-C."""
    from crystallize_core.cli.settings import given_inputs, told, with_context  # noqa: PLC0415 - not for --help

    inputs, context = given_inputs(asked.inputs), told(with_context(pipeline, asked.settings))
    try:
        with _warnings_shown(warned):
            result = pipeline.run(
                inputs=inputs, context=context, debug=asked.debug, resume=asked.resume, executor=asked.executor
            )
    except KeyboardInterrupt as interruption:
        return None, interruption
    return result, None


def _verdict_on_pipeline(ctx: click.Context, result: PipelineResult | None, failure: BaseException | None) -> int:
    from crystallize_core.cli.messages import message_of  # noqa: PLC0415 - not for --help

    if failure is not None:
        click.echo("interrupted: the steps that were finished are kept; --resume goes on from there", err=True)
        return INTERRUPTED
    if result is None or result.success:
        return FAILED if result is None else 0
    if result.error is not None:
        click.echo(message_of(result.error, with_traceback=bool(ctx.find_root().params.get("traceback"))), err=True)
    return FAILED


def _dry(found: Any, asked: _Asked, warned: list[str], *, is_pipeline: bool) -> DryRun:
    """What a run would do."""
    from crystallize_core.cli.settings import given_inputs, told, with_context, with_settings  # noqa: PLC0415 - not for --help

    with _warnings_shown(warned):
        if is_pipeline:
            inputs, context = given_inputs(asked.inputs), told(with_context(found, asked.settings))
            dry: DryRun = found.dry_run(inputs=inputs, context=context, resume=asked.resume, executor=asked.executor)
            return dry
        experiment = told(with_settings(found, asked.settings))
        chosen = _chosen(experiment, asked.treatments)["treatments"] if asked.treatments else None
        return experiment.dry_run(treatments=chosen, replicates=asked.replicates, executor=asked.executor)


def _of_experiment(found: Experiment, asked: _Asked, warned: list[str]) -> tuple[Result | None, BaseException | None]:
    """The result of the run, and what ended it early; what ended it before anything ran is raised."""
    from crystallize_core.cli.settings import told, with_settings  # noqa: PLC0415 - not for --help
    from crystallize_core.errors import CrystallizeError, RunInterrupted  # noqa: PLC0415 - as above

    provenance: Any = asked.provenance or "first"
    try:
        experiment = told(with_settings(found, asked.settings))
        chosen = _chosen(experiment, asked.treatments) if asked.treatments else {}
        result = experiment.run(
            replicates=asked.replicates,
            executor=asked.executor,
            provenance=provenance,
            resume=asked.resume,
            **chosen,
        )
    except RunInterrupted as interruption:
        return interruption.result, interruption
    except CrystallizeError as error:
        if "result" in vars(error):  # an essential plugin failed in this process, and nothing that was finished is lost
            return error.result, error
        for text in warned:  # otherwise they are in the result
            click.echo(f"warning: {text}", err=True)
        raise
    return result, None


def _chosen(experiment: Experiment, names: tuple[str, ...]) -> dict[str, Any]:
    """The treatments of these names, with one that configures the baseline, and the hypotheses that speak of them."""
    from crystallize_core.context import BASELINE_CONDITION  # noqa: PLC0415 - not for --help
    from crystallize_core.errors import DefinitionError, did_you_mean  # noqa: PLC0415 - as above

    by_name = {treatment.name: treatment for treatment in experiment.treatments}
    known = {*by_name, BASELINE_CONDITION}
    problems = [
        f"there is no treatment {name!r}; {did_you_mean(name, known, listing='the conditions are')}"
        for name in names
        if name not in known
    ]
    if problems:
        raise DefinitionError("\n  ".join(problems), experiment=experiment.name)
    treatments = [treatment for name, treatment in by_name.items() if name in names or treatment.is_baseline]
    left_out = by_name.keys() - {treatment.name for treatment in treatments}
    return {"treatments": treatments, "hypotheses": _without(experiment.hypotheses, left_out)}


def _without(hypotheses: Iterable[Hypothesis], left_out: AbstractSet[str]) -> list[Hypothesis]:
    """The hypotheses that still have something to say, as they are about what is left."""
    kept = []
    for hypothesis in hypotheses:
        if hypothesis.treatments is None:
            kept.append(hypothesis)
            continue
        names = tuple(name for name in hypothesis.treatments if name not in left_out)
        if names:
            narrowed = copy.copy(hypothesis)
            narrowed.treatments = names
            kept.append(narrowed)
    return kept


def _show(found: Result | PipelineResult | DryRun, *, as_json: bool) -> None:
    from crystallize_core.cli.output import say  # noqa: PLC0415 - not for --help

    if as_json:
        say(json.dumps(found.to_dict(), indent=2, allow_nan=False))
    else:
        say(found.summary() if hasattr(found, "summary") else str(found))


def _write(result: Result | PipelineResult, path: Path) -> None:
    try:
        if hasattr(result, "to_json"):
            result.to_json(path)
        else:
            path.write_text(json.dumps(result.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        message = f"the result cannot be written to {path}: {error.strerror or error}"
        raise click.ClickException(message) from error


def _verdict(ctx: click.Context, result: Result | None, failure: BaseException | None) -> int:
    """The exit code; says on standard error why it is not 0."""
    from crystallize_core.cli.messages import message_of, place_of  # noqa: PLC0415 - not for --help

    if result is None:
        return FAILED
    if isinstance(failure, KeyboardInterrupt):
        notes = getattr(failure, "__notes__", ())  # which plugin was at work
        click.echo("\n".join([f"interrupted: {_finished(result)}", *notes]), err=True)
        return INTERRUPTED
    with_traceback = bool(ctx.find_root().params.get("traceback"))
    if failure is not None:
        click.echo(message_of(failure, with_traceback=with_traceback), err=True)
        return FAILED
    first = next(iter(result.errors.values()), None)
    if first is not None:
        place = place_of(first)
        if with_traceback:
            click.echo(message_of(first, with_traceback=True), err=True)
        elif place is not None:
            click.echo(f"the first failure came from {place}", err=True)
    return FAILED if first is not None or any(h.errors for h in result.metrics.hypotheses) else 0


def _finished(result: Result) -> str:
    """What is left of an interrupted run, in words."""
    info = result.run.info
    kept = {row.replicate for row in result.rows()}
    for condition in result.metrics.conditions.values():
        kept.update(condition.failed)
    if not kept:
        return f"none of {info.replicates} replicates was finished"
    return f"{len(kept)} of {info.replicates} replicates were finished and are in the result, with their verdicts"


def _kept_streams() -> contextlib.AbstractContextManager[None]:
    from crystallize_core.cli.output import kept_streams  # noqa: PLC0415 - not for --help

    return kept_streams()


def _output_for(as_json: bool) -> contextlib.AbstractContextManager[None]:  # noqa: FBT001 - one flag, one line
    from crystallize_core.cli.output import own_output  # noqa: PLC0415 - not for --help

    return own_output() if as_json else contextlib.nullcontext()


@contextlib.contextmanager
def _warnings_told() -> Iterator[list[str]]:
    """Collect the warnings about plugins, which are in the result as well; show all others as always."""
    from crystallize_core.stack.notices import PluginWarning  # noqa: PLC0415 - not for --help

    told: list[str] = []
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, PluginWarning):
            told.extend([str(message)] * (str(message) not in told))
        else:
            usual(message, category, *where, **more)

    warnings.showwarning = show
    try:
        yield told
    finally:
        warnings.showwarning = usual
