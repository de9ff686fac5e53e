"""`crystallize plugins profile`: what each hook of each plugin costs in a real run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from time import perf_counter_ns
from typing import Any

import attrs

from crystallize_core.cli.settings import given_inputs, told, with_context, with_settings
from crystallize_core.cli.target import find_target
from crystallize_core.engine.timing import Row, timing
from crystallize_core.errors import DefinitionError
from crystallize_core.pipeline import Pipeline
from crystallize_core.result_text import table

__all__ = ["Cost", "Profile", "profile"]

ENCLOSES = "run_experiment_loop"
"""The hook whose time is mostly that of the replicates."""


@attrs.frozen
class Cost:
    """What the calls of one hook of one plugin took.

    Attributes:
        plugin, hook: Whose calls; `policy` for those of what `wrap_step` returned, without the step and its attempts.
        side: `coordinator`, or `workers` where they were made in other processes.
        processes: In how many processes.
        calls, failed: How many calls there were, and how many raised.
        seconds, mean, longest: How long they took: in all, on average, at most.
        share: The part of the time of the run, from 0 to 1, or more where calls ran side by side; None for the executor,
            whose time is mostly that of the replicates.

    """

    plugin: str
    hook: str
    side: str
    processes: int
    calls: int
    failed: int
    seconds: float
    mean: float
    longest: float
    share: float | None


@attrs.frozen
class Profile:
    """What the plugins took of one run.

    Attributes:
        experiment: Its name.
        replicates: How many were run.
        executor: What ran them; None for the plain loop.
        seconds: How long the run took.
        failed: How many cells failed.
        costs: The most expensive first.

    """

    experiment: str
    replicates: int
    executor: str | None
    seconds: float
    failed: int
    costs: tuple[Cost, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return attrs.asdict(self)

    def summary(self) -> str:
        """A table, and below it what it does not say."""
        header = ("plugin", "hook", "in", "calls", "total ms", "mean ms", "max ms", "share")
        ran = (
            f"{self.experiment}: {self.replicates} replicates, {self.seconds:.3f} s, executor {self.executor or 'none'}"
        )
        lines = [ran, "", *(table(header, map(_cells, self.costs)) if self.costs else ["no hook was called"])]
        shares = [cost.share for cost in self.costs if cost.share is not None]
        lines += ["", f"all hooks but the executor's: {sum(shares):.1%} of the time of the run"]
        if any(cost.side == "workers" for cost in self.costs):
            lines.append("workers run side by side, so that their shares may add up to more than the whole")
        if any(cost.failed for cost in self.costs):
            lines += [f"{c.hook} of {c.plugin} raised {c.failed} times" for c in self.costs if c.failed]
        if self.failed:
            lines.append(f"{self.failed} cells failed; `crystallize run` says why")
        return "\n".join(lines)


def _cells(cost: Cost) -> Sequence[str]:
    times = (f"{seconds * 1000:.3f}" for seconds in (cost.seconds, cost.mean, cost.longest))
    share = "-" if cost.share is None else f"{cost.share:.1%}"
    side = cost.side if cost.processes == 1 else f"{cost.processes} {cost.side}"
    return (cost.plugin, cost.hook, side, str(cost.calls), *times, share)


def profile(
    target: str,
    *,
    replicates: int | None = None,
    executor: str | None = None,
    settings: Sequence[str] = (),
    inputs: Sequence[str] = (),
) -> Profile:
    """Run an experiment or a pipeline and say what the hooks took.

    Args:
        target: Which, as for `crystallize run`.
        replicates: How many to run; default as many as the experiment says.
        executor: What runs them; default what the stack says.
        settings, inputs: Values, as for `crystallize run`.

    Raises:
        CrystallizeError: It cannot run.

    """
    with timing() as times:
        found = find_target(target)
        start = perf_counter_ns()
        if isinstance(found, Pipeline):
            _refuse("--replicates", "an experiment", found, replicates)
            context = told(with_context(found, settings))
            result = found.run(inputs=given_inputs(inputs), context=context, executor=executor)
            ran = found.name, 1, executor, int(not result.success)
        else:
            _refuse("--input", "a pipeline", found, inputs)
            experiment = told(with_settings(found, settings))
            done = experiment.run(replicates=replicates, executor=executor)
            ran = found.name, done.run.finished, done.run.executor, len(done.errors)
        seconds = (perf_counter_ns() - start) / 1e9
        rows = times.take()
    return Profile(*ran[:3], seconds, ran[3], tuple(_costs(rows, seconds)))


def _refuse(option: str, goes_with: str, found: Any, value: Any) -> None:
    if value:
        message = f"{option} goes with {goes_with}, and the target is {found.name!r}, which is none"
        raise DefinitionError(message)


def _costs(rows: Iterable[Row], duration: float) -> list[Cost]:
    here = os.getpid()
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        side = "coordinator" if row.process == here else "workers"
        found.setdefault((row.plugin, row.hook, side), []).append(row)
    costs = [_cost(*key, same, duration) for key, same in found.items()]
    return sorted(costs, key=lambda cost: (cost.share is None, -cost.seconds, cost.plugin, cost.hook))


def _cost(plugin: str, hook: str, side: str, rows: Sequence[Row], duration: float) -> Cost:
    whole = Row(plugin, hook, 0)
    for row in rows:
        whole.add(row)
    seconds = whole.nanoseconds / 1e9
    return Cost(
        plugin=plugin,
        hook=hook,
        side=side,
        processes=len(rows),
        calls=whole.calls,
        failed=whole.failed,
        seconds=seconds,
        mean=seconds / whole.calls,
        longest=whole.longest / 1e9,
        share=None if hook == ENCLOSES or duration <= 0 else seconds / duration,
    )
