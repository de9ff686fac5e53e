"""Whole experiments under every executor: one result, one digest."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from crystallize_core import Experiment, Treatment, pipeline_step
from crystallize_executors import (
    AsyncExecution,
    ParallelExecution,
    ProcessExecution,
    SerialExecution,
    ThreadExecution,
)

PARALLEL = [
    ThreadExecution(max_workers=3),
    AsyncExecution(max_workers=3),
    ProcessExecution(max_workers=1),
    ProcessExecution(max_workers=2),
    ProcessExecution(max_workers=2, start_method="spawn"),
    ParallelExecution(max_workers=2),
    ParallelExecution(max_workers=2, executor_type="process"),
]


@pytest.fixture(autouse=True)
def only_what_is_named(monkeypatch, tmp_path):
    """No other plugin that may be installed takes part, and nothing is written beside the tests."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)


def experiment(executor, *, replicates=12, failing=()):
    """Two conditions, a sync and an async step, metrics with tags; fails where it is told to.

    The steps are local, so that a worker process gets them by value.
    """

    @pipeline_step()
    def scale(data, ctx, *, factor=1.0):
        time.sleep(0.001 * (ctx["replicate"] % 3))  # so that they end in another order
        return [value * factor for value in data]

    @pipeline_step()
    async def total(data, ctx):
        await asyncio.sleep(0)
        if ctx["replicate"] in failing and ctx["condition"] == "double":
            raise ValueError(f"no {ctx['replicate']}")
        ctx.metrics.add("largest", max(data), tags={"unit": "cm"})
        return data, {"total": sum(data)}

    return Experiment(
        datasource=lambda ctx: [ctx["replicate"], 2.0, 3.0],
        pipeline=[scale, total],
        treatments=[Treatment("double", {"factor": 2.0})],
        replicates=replicates,
        plugins=[executor],
    )


@pytest.mark.parametrize("executor", PARALLEL, ids=repr)
def test_the_result_is_that_of_the_serial_executor(executor):
    """Same metrics in the order of the replicates, same digest."""
    expected = experiment(SerialExecution()).run()
    found = experiment(executor).run()
    assert found.metrics.baseline.metrics == expected.metrics.baseline.metrics
    assert found.metrics.baseline.metrics["total"] == [5.0 + number for number in range(12)]
    assert found.metrics.treatments["double"].metrics["total"] == [10.0 + 2 * number for number in range(12)]
    assert found.digest == expected.digest


@pytest.mark.parametrize("executor", [SerialExecution(), *PARALLEL], ids=repr)
def test_a_failing_cell_loses_nothing_else(executor):
    """The errors name their cells, everything else is there."""
    result = experiment(executor, failing={3, 8}).run()
    assert [(e.replicate, e.condition, e.step, str(e.__cause__)) for e in result.errors.values()] == [
        (3, "double", "total", "no 3"),
        (8, "double", "total", "no 8"),
    ]
    assert len(result.metrics.baseline.metrics["total"]) == 12


@pytest.mark.parametrize("executor", PARALLEL[:5], ids=repr)
def test_a_thousand_tiny_replicates(executor):
    """Many small replicates are no trouble."""
    result = experiment(executor, replicates=1000).run()
    assert result.metrics.baseline.metrics["total"] == [5.0 + number for number in range(1000)]


@pytest.mark.parametrize("executor", [SerialExecution(), *PARALLEL[:4]], ids=repr)
def test_a_stream_that_is_left_early_ends_at_once(executor):
    """Nobody waits for replicates that nobody wants."""
    seen = []
    for replicate in experiment(executor, replicates=100_000).stream():
        seen.append(replicate)
        if len(seen) == 3:
            break
    assert len(seen) == 3
    deadline = time.monotonic() + 10
    while any(t.name.startswith("replicates-") for t in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("replicates-")]


@pytest.mark.parametrize("executor", [AsyncExecution(), ThreadExecution(), ProcessExecution(max_workers=2)], ids=repr)
def test_it_runs_inside_a_running_event_loop(executor):
    """As in a notebook, by `run` and by `arun`."""
    expected = experiment(SerialExecution()).run().digest

    async def notebook():
        return experiment(executor).run().digest, (await experiment(executor).arun()).digest

    assert asyncio.run(notebook()) == (expected, expected)
