"""The three experiments of the matrix: pure Python, random numbers with NumPy, and a model of scikit-learn.

Each has two treatments, a hypothesis, steps that are cached, and one that is not and may be disturbed.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from crystallize_core.context import BASELINE_CONDITION
from crystallize_core.experiment import Experiment
from crystallize_core.hypothesis import Hypothesis, verifier
from crystallize_core.named import step
from crystallize_core.treatment import Treatment

__all__ = ["EXPERIMENTS", "KILLED", "MISHAPS", "NONE", "RETRIED", "experiment"]

NONE: Final = "no failures"
RETRIED: Final = "failures that retries heal"
KILLED: Final = "workers killed"
MISHAPS: Final = (NONE, RETRIED, KILLED)
EVERY: Final = 3
"""Of so many replicates, one meets with the mishap; under one condition where a worker dies of it, which takes time."""


class MishapError(RuntimeError):
    """What the first attempt of some replicates raises."""


@step(retry=1, cache=False, outputs=["disturbed"])
def disturb(made: Any, ctx: Any, mishap: str, folder: str) -> Any:
    """Hand on what it is given; in some replicates, something happens at the first attempt."""
    happens = mishap == RETRIED or (mishap == KILLED and ctx["condition"] == BASELINE_CONDITION)
    if happens and ctx["replicate"] % EVERY == 1:
        mark = Path(folder, f"{ctx['condition']}-{ctx['replicate']}")
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:  # it has happened
            return made
        if mishap == KILLED:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        raise MishapError
    return made


@step(outputs=["made"])
def smooth(data: Sequence[int], width: int = 3) -> list[float]:
    """A moving mean."""
    return [sum(data[at : at + width]) / width for at in range(len(data) - width + 1)]


@step(cache=False)
def roughness(disturbed: Sequence[float], replicate: int) -> tuple[float, dict[str, float]]:
    """How much neighbours differ, scaled by the number of the replicate."""
    found = sum(abs(a - b) for a, b in itertools.pairwise(disturbed)) / (replicate + 1)
    return found, {"score": found}


@step(outputs=["made"])
def walk(data: int, ctx: Any, drift: float = 0.0) -> Any:
    """A random walk, as an array."""
    import numpy as np  # noqa: PLC0415 - only this experiment needs it

    return np.cumsum(np.random.default_rng(int(ctx.rng.integers(2**32))).normal(drift, 1.0, size=data))


@step(cache=False)
def spread(disturbed: Any) -> tuple[Any, dict[str, float]]:
    """The standard deviation, and the last value."""
    return disturbed, {"score": float(disturbed.std()), "last": float(disturbed[-1])}


@step(outputs=["made"])
def split(data: tuple[Any, Any], ctx: Any) -> Any:
    """Rows for training and for testing, by chance."""
    from sklearn.model_selection import train_test_split  # noqa: PLC0415 - only this experiment needs it

    return train_test_split(*data, random_state=int(ctx.rng.integers(2**32)))


@step
def model(disturbed: Any, ctx: Any, depth: int = 1) -> Any:
    """A forest of a few trees."""
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - as above

    rows, _, labels, _ = disturbed
    forest = RandomForestClassifier(8, max_depth=depth, random_state=int(ctx.rng.integers(2**32)), n_jobs=1)
    return forest.fit(rows, labels)


@step(cache=False)
def accuracy(model: Any, disturbed: Any) -> tuple[float, dict[str, float]]:
    """The share of rows that it gets right."""
    found = float(model.score(disturbed[1], disturbed[3]))
    return found, {"score": found}


def numbers(ctx: Any) -> list[int]:  # noqa: ARG001 - how a datasource is called
    """What the pure experiment starts from."""
    return [(7 * number) % 11 for number in range(40)]


def length(ctx: Any) -> int:  # noqa: ARG001 - as above
    """How long the walks are."""
    return 500


def flowers(ctx: Any) -> Any:  # noqa: ARG001 - as above
    """Measurements of irises, with their species."""
    from sklearn.datasets import load_iris  # noqa: PLC0415 - only this experiment needs it

    return load_iris(return_X_y=True)


@verifier
def difference(baseline: Mapping[str, Sequence[float]], treatment: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """By how much the means differ."""
    mean, other = (sum(found["score"]) / len(found["score"]) for found in (baseline, treatment))
    return {"difference": other - mean, "p_value": 1.0}


_PARTS: Final[Mapping[str, tuple[Any, list[Any], str, list[Any]]]] = {
    "pure Python": (numbers, [smooth, disturb, roughness], "width", [2, 5]),
    "NumPy": (length, [walk, disturb, spread], "drift", [0.1, 1.0]),
    "scikit-learn": (flowers, [split, disturb, model, accuracy], "depth", [2, 4]),
}
EXPERIMENTS: Final = tuple(_PARTS)


def experiment(name: str, mishap: str, folder: Path, replicates: int, executor: Any = None) -> Experiment:
    """One of the experiments.

    Args:
        name: Which of `EXPERIMENTS`.
        mishap: Which of `MISHAPS`.
        folder: Where it is noted that a mishap has happened; all workers see it.
        replicates: How many.
        executor: Who runs them, by name or as an object.

    """
    source, steps, parameter, values = _PARTS[name]
    return Experiment(
        source,
        steps,
        treatments=[Treatment(f"{parameter} {value}", {parameter: value}) for value in values],
        hypotheses=[Hypothesis(difference(), "score", name="score differs")],
        initial_ctx={"mishap": mishap, "folder": str(folder)},
        replicates=replicates,
        name=name,
        executor=executor,
    )
