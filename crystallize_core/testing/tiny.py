"""A tiny experiment: two treatments, three replicates, random numbers, a metric and an artifact, and the same every time.

Its steps are at the top of this module, so that any worker finds them by name.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from crystallize_core.experiment import Experiment
from crystallize_core.step import pipeline_step
from crystallize_core.treatment import Treatment

__all__ = ["STEPS", "TREATMENTS", "make_tiny", "noise", "own_noise", "scale", "source", "total"]


def source(ctx: Any) -> list[float]:
    """Three numbers that differ from replicate to replicate."""
    return [float(ctx["replicate"] + number) for number in range(3)]


@pipeline_step()
def scale(data: list[float], *, factor: float = 1.0) -> list[float]:
    """What the treatments change."""
    return [number * factor for number in data]


def own_noise(data: list[float], ctx: Any) -> list[float]:
    """Random numbers that depend on the cell alone, whatever plugins there are."""
    stream = random.Random(f"{ctx['replicate']} {ctx['condition']}")  # noqa: S311 - for experiments, not for secrets
    return [number + stream.random() for number in data]


def noise(data: list[float], ctx: Any) -> list[float]:
    """Random numbers of `ctx.rng` where a plugin provides it; else numbers that depend on the cell alone."""
    stream = getattr(ctx, "rng", None)
    return own_noise(data, ctx) if stream is None else [number + float(stream.random()) for number in data]


def total(data: list[float], ctx: Any) -> tuple[list[float], dict[str, float]]:
    """A metric, an artifact and an event."""
    ctx.artifacts.add("total.txt", f"{sum(data):.6f}")
    ctx.emit("summed", total=sum(data))
    return data, {"total": sum(data)}


STEPS: Final = (scale, noise, total)
TREATMENTS: Final = (Treatment("double", {"factor": 2.0}), Treatment("half", {"factor": 0.5}))


def make_tiny(
    plugins: Sequence[Any] = (),
    *,
    steps: Sequence[Any] = STEPS,
    treatments: Sequence[Treatment] = TREATMENTS,
    replicates: int = 3,
    datasource: Callable[..., Any] = source,
    initial_ctx: Mapping[str, Any] | None = None,
    executor: Any = None,
    autoload: bool = False,
    name: str = "tiny",
) -> Experiment:
    """An experiment of milliseconds.

    Args:
        plugins: The plugins that take part.
        steps: Default `scale` by `factor`, add `noise`, and `total`: the metric `total`, an artifact and an event.
        treatments: Default `double` and `half`, which set `factor`.
        replicates: How many.
        datasource: Default three numbers, of which the first is that of the replicate.
        initial_ctx: What the contexts start with.
        executor: By name or as an object; default the plain loop.
        autoload: Whether what is installed and configured takes part as well.
        name: Its name.

    """
    return Experiment(
        datasource,
        list(steps),
        list(plugins),
        name=name,
        treatments=list(treatments),
        replicates=replicates,
        initial_ctx=initial_ctx,
        executor=executor,
        autoload=autoload,
    )
