"""A warm run is the cold run, whoever runs it: random steps, artifacts, assets, failures and policies included."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from typing import Any

import pytest

from crystallize_core import Experiment, Pipeline, PipelineStep, Treatment, pipeline_step, step

cloudpickle = pytest.importorskip("cloudpickle")  # comes with the executors
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests

pytestmark = pytest.mark.ecosystem

SIDE_BY_SIDE = ["serial", "thread", "async"]
EXECUTORS = ["SerialExecution", "ThreadExecution", "ProcessExecution", "AsyncExecution"]
STACK = """
[tool.crystallize]
plugins = ["seeding", "logging", "retries", "artifacts"]

[tool.crystallize.options.seeding]
seed = 11
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A project, a cache and a home of its own for each test."""
    for name in ("CRYSTALLIZE_AUTOLOAD", "CRYSTALLIZE_PROFILE", "CRYSTALLIZE_DISABLE", "CRYSTALLIZE_STRICT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(STACK)
    return tmp_path


# The graph ----------------------------------------------------------------------------------------


@step(outputs=["raw"])
def load(ctx, size=3):
    ctx.emit("loaded", size=size)
    return [ctx.rng.random() for _ in range(size)]


@step(outputs=["low", "high"], timeout=60)
async def bounds(raw, ctx):
    ctx.record("low", min(raw), {"of": len(raw)})
    return {"low": min(raw), "high": max(raw)}


@step(outputs=["noisy"], retry=2)
def noisy(raw, ctx):
    ctx.artifacts.add("noisy.txt", repr([number + ctx.rng.random() for number in raw]).encode())
    ctx.add("noise", ctx.rng.random())
    return len(raw)


@step(outputs=["model"])
def train(low, high):
    from crystallize_artifacts import Metrics

    return Metrics({"span": high - low})


@step(outputs=["checked"])
def refuses(low, replicate, condition):
    if (replicate, condition) == (1, "large"):
        raise ValueError(f"replicate {replicate}")
    return low


@step(cache=False, outputs=["report"])
def report(noisy, checked, model, ctx):
    ctx.record("noise", ctx["noise"])
    ctx.record("later", ctx.rng.random())
    return noisy + checked


GRAPH = [report, refuses, train, noisy, bounds, load]


# The chain ----------------------------------------------------------------------------------------


class Shift(PipelineStep):
    cacheable = True

    def __call__(self, data, ctx):
        return [number + ctx.rng.random() for number in data]


@pipeline_step(cacheable=True)
def draw(data, ctx, size=3):
    return [ctx.rng.random() for _ in range(size)], {"drawn": ctx.rng.random()}


@pipeline_step(cacheable=True)
def same(data):
    return 7, {"seven": 7}


@pipeline_step(cacheable=True, retry=1)
async def keep(data, ctx):
    ctx.artifacts.add("kept.txt", repr(data).encode())
    ctx.emit("kept", number=len(data))
    return data


@pipeline_step(cacheable=True)
def total(data, ctx):
    if (ctx["replicate"], ctx["condition"]) == (2, "baseline"):
        raise ValueError("two")
    return sum(data), {"total": sum(data)}


@pipeline_step()
def last(data, ctx):
    return data, {"last": ctx.rng.random()}


CHAIN = [same, draw, Shift, keep, total, last]


def experiment_of(steps: list[Any], executor: str, *, cache: bool) -> Experiment:
    import crystallize

    makes = getattr(crystallize, executor)
    return Experiment(
        datasource=lambda ctx: None,
        pipeline=Pipeline(steps, enable_cache=cache),
        treatments=[Treatment("large", {"size": 5})],
        executor=makes() if executor == "SerialExecution" else makes(max_workers=2),
    )


def ran(steps: list[Any], executor: str, *, cache: bool = True) -> Any:
    return experiment_of(steps, executor, cache=cache).run(replicates=3, provenance="all")


def seen(result: Any) -> dict[str, Any]:
    """All that a run came to."""
    return {
        "baseline": result.metrics.baseline.metrics,
        "large": result.metrics.treatments["large"].metrics,
        "errors": {place: str(error) for place, error in result.errors.items()},
        "artifacts": sorted((a.name, a.record.step, a.record.digest) for a in result.artifacts),
        "digest": result.digest,
    }


def hits(result: Any) -> Counter[str]:
    """How many cells had the output of each step from the cache."""
    records = [r for cells in result.provenance.values() for found in cells.values() for r in found]
    return Counter(record["step"] for record in records if record["cache_hit"])


@pytest.mark.parametrize("steps", [GRAPH, CHAIN], ids=["graph", "chain"])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_cold_warm_and_uncached_runs_are_one_run(steps, executor):
    """Six cells, one of which fails."""
    plain = seen(ran(steps, "SerialExecution", cache=False))
    cold, warm = ran(steps, executor), ran(steps, executor)
    assert len(plain["errors"]) == 1
    assert seen(cold) == seen(warm) == plain
    if steps is GRAPH:
        assert hits(warm) == {"load": 6, "bounds": 6, "noisy": 6, "train": 6, "refuses": 5}
    else:
        assert hits(warm) == {"same": 6, "draw": 6, "Shift": 6, "keep": 6, "total": 5}


def test_what_one_executor_has_stored_answers_another(folder):
    first = ran(CHAIN, "ProcessExecution")
    found = [ran(CHAIN, executor) for executor in EXECUTORS]
    assert [seen(result) for result in found] == [seen(first)] * len(EXECUTORS)
    assert [hits(result)["draw"] for result in found] == [6] * len(EXECUTORS)


def test_replicates_share_what_draws_nothing_and_nothing_else():
    """Serial, so that the second cell finds what the first one has stored."""
    cold = ran(CHAIN, "SerialExecution")
    assert hits(cold) == {"same": 5}
    drawn = cold.metrics.treatments["large"]["drawn"]
    assert len(set(drawn)) == 3


# Pipelines on their own ---------------------------------------------------------------------------


def alone(executor: str, **given: Any) -> Any:
    options = {name: given.pop(name) for name in list(given) if name == "enable_cache"}
    steps = [one for one in GRAPH if one is not refuses]
    checks = step(name="checks", outputs=["checked"])(checks_mode)
    return Pipeline([*steps, checks], name="alone", **options).run(
        executor=executor, context={"mode": given.pop("mode", 0)}, **given
    )


def checks_mode(low, mode):
    if mode == 1:
        raise ValueError("one")
    return low


def told(result: Any) -> dict[str, Any]:
    return {
        "outputs": {name: repr(value) for name, value in result.outputs.items()},
        "metrics": result.metrics,
        "errors": {name: found.error for name, found in result.step_results.items()},
        "artifacts": [(a.name, a.step, a.read()) for a in result.record.artifacts],
        "digest": result.record.digest,
    }


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("executor", SIDE_BY_SIDE)
def test_a_pipeline_on_its_own_is_the_same_cold_warm_and_resumed(executor, mode):
    """Mode 1 lets a step fail."""
    plain = told(alone("serial", mode=mode, enable_cache=False))
    cold, warm = alone(executor, mode=mode), alone(executor, mode=mode)
    resumed = alone(executor, mode=mode, resume=True, enable_cache=False)
    assert [told(result) for result in (cold, warm, resumed)] == [plain] * 3
    again = {name: found.state for name, found in warm.step_results.items() if name not in ("checks", "report")}
    assert again == dict.fromkeys(again, "cached")
    assert [warm.step_results["checks"].state, warm.success] == (["failed", False] if mode else ["cached", True])
    # What may not be cached is resumed all the same, as it was completed.
    assert resumed.step_results["report"].resumed is (mode == 0)


class Gate:
    """Lets two steps go on only when both have started, and is nothing that they depend on."""

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2)
        self.passed = 0

    def __call__(self) -> None:
        self.passed += 1
        self.barrier.wait(10)

    def __getstate__(self):
        return None


def test_random_steps_that_run_at_one_moment_are_found_again_each_with_its_own_numbers():
    """Neither makes the cache forget that the other one has started, and what it has drawn."""
    gate = Gate()

    @step(outputs=["left"])
    def left(ctx):
        gate()
        return float(ctx.rng.random())

    @step(outputs=["right"])
    def right(ctx):
        gate()
        return float(ctx.rng.random())

    found = [Pipeline([left, right], name="two").run(executor="thread") for _ in range(2)]
    assert gate.passed == 2
    assert [{name: one.state for name, one in result.step_results.items()} for result in found] == [
        {"left": "ok", "right": "ok"},
        {"left": "cached", "right": "cached"},
    ]
    assert dict(found[0].outputs) == dict(found[1].outputs)
    assert found[0]["left"] != found[0]["right"]
