"""`crystallize plugins check` and `ablate`: whether a plugin keeps the contract, and whether an observer changes results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from crystallize_core.cli.stack_options import stack_options

if TYPE_CHECKING:
    from crystallize_core.testing.ablation import Ablation
    from crystallize_core.testing.plugins.check import Report

__all__ = ["ablate", "check"]

FAILED = 1


@click.command()
@click.argument("name")
@stack_options
@click.option("--only", multiple=True, metavar="CHECK", help="Run only this check. May be repeated.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1.0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="End a process of checks after so many seconds.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(ctx: click.Context, name: str, *, only: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Check the installed plugin or executor NAME against what every plugin promises.

    The same checks as those of PluginConformance in crystallize_core.testing, without pytest. The plugin runs in a
    process of its own, in empty folders, with the options that it has here.
    """
    from crystallize_core.cli.output import say  # noqa: PLC0415 - as above
    from crystallize_core.testing.plugins.installed import check_installed  # noqa: PLC0415 - not for --help

    reports = check_installed(name, only, timeout=timeout)
    say(json.dumps(_as_json(name, reports), indent=2) if as_json else _as_text(name, reports))
    if any(report.outcome == "failed" for report in reports):
        ctx.exit(FAILED)


def _as_json(name: str, reports: list[Report]) -> dict[str, Any]:
    import attrs  # noqa: PLC0415 - not for --help

    counts = {outcome: sum(r.outcome == outcome for r in reports) for outcome in ("passed", "failed", "skipped")}
    return {"plugin": name, **counts, "checks": [attrs.asdict(report) for report in reports]}


def _as_text(name: str, reports: list[Report]) -> str:
    from crystallize_core.result_text import table  # noqa: PLC0415 - not for --help

    lines = table(("check", "outcome"), [(r.check, r.outcome) for r in reports], words=True)
    for report in reports:
        if report.outcome == "skipped":
            lines += ["", f"{report.check} was skipped: {report.reason}"]
    for report in reports:
        if report.outcome == "failed":
            reason = report.reason.replace("\n", "\n  ")
            lines += ["", f"{report.check} failed: {report.promise}", f"  {reason}"]
    counts = [f"{sum(r.outcome == outcome for r in reports)} {outcome}" for outcome in ("passed", "failed", "skipped")]
    return "\n".join([*lines, "", f"plugin {name!r}: {', '.join(counts)}"])


@click.command()
@click.argument("target")
@click.argument("name", required=False)
@stack_options
@click.option("--replicates", type=click.IntRange(min=1), metavar="N", help="Repeat all conditions N times.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def ablate(ctx: click.Context, target: str, name: str | None, *, replicates: int | None, as_json: bool) -> None:
    """Run the experiment TARGET with and without the observer NAME, and compare the digests.

    Default each observer of the stack in turn. TARGET is an experiment as for `crystallize run`.
    """
    from crystallize_core.cli.output import own_output, say  # noqa: PLC0415 - not for --help
    from crystallize_core.cli.target import find_target  # noqa: PLC0415 - as above
    from crystallize_core.errors import DefinitionError  # noqa: PLC0415 - as above
    from crystallize_core.experiment import Experiment  # noqa: PLC0415 - as above
    from crystallize_core.testing.ablation import ablate as run_without  # noqa: PLC0415 - as above

    with own_output():  # steps may print
        experiment = find_target(target)
        if not isinstance(experiment, Experiment):
            message = f"{target} is a pipeline; only an experiment has plugins that may be left out"
            raise DefinitionError(message)
        found = run_without(experiment, name, replicates=replicates)
    say(json.dumps(_ablation_as_json(found), indent=2) if as_json else str(found))
    if not found.same:
        ctx.exit(FAILED)


def _ablation_as_json(found: Ablation) -> dict[str, Any]:
    import attrs  # noqa: PLC0415 - not for --help

    return {**attrs.asdict(found), "same": found.same}
