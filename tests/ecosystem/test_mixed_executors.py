"""Pipelines of steps of all kinds under every executor: the same result, artifacts and failures."""

from __future__ import annotations

import asyncio
import functools
import sys

import pytest

from crystallize_core import Artifact, Experiment, Pipeline, PipelineStep, Treatment, pipeline_step, step

cloudpickle = pytest.importorskip("cloudpickle")  # comes with the executors
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests

pytestmark = pytest.mark.ecosystem


@step(outputs=["raw"])
def load(ctx, size=3):
    return [ctx.rng.random() for _ in range(size)]


@pipeline_step(cacheable=True)
def scale(data, ctx, *, factor=1.0):
    ctx.record("scaled", sum(data))
    return [factor * number for number in data]


class Shift(PipelineStep):
    def __call__(self, data, ctx):
        return [number + ctx.rng.random() for number in data]


def total(data):
    return sum(data), {"total": sum(data)}


@step(retry=1, timeout=60, outputs=["low", "high"])
async def bounds(raw):
    return min(raw), max(raw)


@step(condition=lambda high: high > 0.7)
def save(low, high, total, span: Artifact, replicate):
    if replicate == 2:
        raise ValueError("two")
    span.write(f"{low} {high}".encode())
    return None, {"span": high - low}


STEPS = [save, load, Shift, functools.partial(scale, factor=2.0), scale, total, bounds]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Nothing is written into the checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))


def run(executor):
    from crystallize import ArtifactPlugin, SeedPlugin

    return Experiment(
        datasource=lambda ctx: None,
        pipeline=Pipeline(STEPS),
        treatments=[Treatment("large", {"size": 5})],
        outputs=[Artifact("span")],
        plugins=[SeedPlugin(seed=7), ArtifactPlugin("./out"), executor],
    ).run(replicates=3)


def values_of(result):
    """The metrics by condition."""
    return [result.metrics.baseline.metrics, result.metrics.treatments["large"].metrics]


@pytest.mark.parametrize("name", ["ThreadExecution", "ProcessExecution", "AsyncExecution"])
def test_the_executor_makes_no_difference(name, monkeypatch, tmp_path):
    """Metrics, artifacts and failures are those of serial execution, with a cold and with a warm cache."""
    import crystallize

    serial = run(crystallize.SerialExecution())
    warm = run(getattr(crystallize, name)(max_workers=2))
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "another"))
    cold = run(getattr(crystallize, name)(max_workers=2))
    assert {name: len(values) for name, values in serial.metrics.baseline.metrics.items()} == {
        "scaled": 4,
        "total": 2,
        "span": 1,
    }
    assert {place: str(error) for place, error in serial.errors.items()} == {
        f"{condition}_rep_2": "step 'save' failed: ValueError: two [experiment 'experiment', replicate 2, condition "
        f"{condition!r}, step 'save']"
        for condition in ("baseline", "large")
    }
    for result in (warm, cold):
        assert values_of(result) == values_of(serial)
        assert result.errors.keys() == serial.errors.keys()
        assert [a.record.digest for a in result.artifacts] == [a.record.digest for a in serial.artifacts]
        assert result.digest == serial.digest


def test_a_pipeline_on_its_own_may_run_its_steps_side_by_side():
    """With the outputs and the order of results that it has one after the other: in threads, and as tasks."""

    @step
    async def left(raw):
        return raw[0]

    @step
    async def right(raw):
        return raw[-1]

    both = step(name="both")(lambda left, right: left + right)
    pipeline, inputs = Pipeline([both, left, right], enable_cache=False), {"raw": [1, 2]}
    results = [pipeline.run(executor=executor, inputs=inputs) for executor in ("serial", "thread")]
    results.append(asyncio.run(pipeline.arun(executor="async", inputs=inputs)))
    assert [list(result.step_results) for result in results] == [["left", "right", "both"]] * 3
    assert [dict(result.outputs) for result in results] == [{"left": 1, "right": 2, "both": 3}] * 3
