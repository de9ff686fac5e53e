"""The cache and checkpoints of named steps beside the official plugins: what these do around a step, a hit keeps."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from crystallize_core import Experiment, Pipeline, step

# Imported where they are installed: the core's own tests run without any plugin.
retries = pytest.importorskip("crystallize_retries")
seeding = pytest.importorskip("crystallize_seeding")
artifacts = pytest.importorskip("crystallize_artifacts")
executors = pytest.importorskip("crystallize_executors")

pytestmark = pytest.mark.ecosystem

STACK = """
[tool.crystallize]
plugins = ["seeding", "retries", "artifacts"]

[tool.crystallize.options.seeding]
seed = {seed}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A project of its own for each test, with a cache and a home."""
    for name in ("CRYSTALLIZE_AUTOLOAD", "CRYSTALLIZE_PROFILE", "CRYSTALLIZE_DISABLE", "CRYSTALLIZE_STRICT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    use_seed(7)
    world.calls.clear()
    world.fails = 0
    with retries.use_clock(retries.FakeClock()):
        yield tmp_path


def use_seed(seed: int) -> None:
    Path("pyproject.toml").write_text(STACK.format(seed=seed))


class World:
    """Counts calls of steps and lets the next ones fail; to a step it is the same whatever it has counted."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.fails = 0

    def __call__(self, name: str) -> None:
        self.calls[name] += 1
        if self.fails:
            self.fails -= 1
            raise OSError("wet")

    def __getstate__(self):
        return None


world = World()


def ran(*steps: Any, **given: Any) -> Any:
    options = {name: given.pop(name) for name in list(given) if name in ("enable_cache", "checkpoint")}
    return Pipeline(list(steps), name="study", **options).run(**given)


def states(result: Any) -> dict[str, str]:
    return {name: "resumed" if found.resumed else found.state for name, found in result.step_results.items()}


# Retries ------------------------------------------------------------------------------------------


@step(outputs=["weather"], retry=2)
def observe(ctx):
    world("observe")
    ctx.record("calls", 1)
    return "sunny"


def test_a_step_that_succeeded_at_last_is_cached_with_what_its_last_attempt_wrote():
    world.fails = 2
    cold, warm = ran(observe), ran(observe)
    assert [(states(r)["observe"], r.step_results["observe"].retries, r.metrics) for r in (cold, warm)] == [
        ("ok", 2, {"calls": [1]}),
        ("cached", 0, {"calls": [1]}),
    ]
    assert cold.record.digest == warm.record.digest
    assert world.calls == {"observe": 3}


def test_a_step_that_failed_at_last_is_not_cached():
    world.fails = 3
    assert states(ran(observe)) == {"observe": "failed"}
    assert states(ran(observe, resume=True)) == {"observe": "ok"}
    assert world.calls == {"observe": 4}


@step(outputs=["guess"])
@retries.on_failure(lambda: "cloudy")
def guess(ctx):
    world("guess")
    ctx.record("calls", 1)
    return "sunny"


@step(outputs=["text"])
def say(guess):
    world("say")
    return guess.upper()


@pytest.mark.parametrize("given", [{}, {"resume": True}, {"resume": True, "enable_cache": False}])
def test_what_a_fallback_gave_is_never_kept_and_the_next_run_asks_again(given):
    for _ in range(2):
        world.fails = 1
        result = ran(guess, say, **given)
        found = result.step_results["guess"]
        assert (found.state, found.success, found.fallback_used, result.metrics) == ("ok", True, True, {})
        assert dict(result.outputs) == {"guess": "cloudy", "text": "CLOUDY"}
    better = ran(guess, say, **given)
    assert (better["text"], better.step_results["guess"].fallback_used, better.metrics) == (
        "SUNNY",
        False,
        {"calls": [1]},
    )
    assert states(better) == {"guess": "ok", "say": "ok"}
    assert states(ran(guess, say, resume=True)) == {"guess": "resumed", "say": "resumed"}


def test_a_hit_asks_no_breaker_and_waits_for_no_limit():
    breaker = retries.CircuitBreaker(failure_threshold=1, timeout=60)

    @step(outputs=["made"], timeout=30)
    @breaker
    def fetch(n):
        world("fetch")
        return n

    ran(fetch, context={"n": 1})
    world.fails = 1
    assert states(ran(fetch, context={"n": 2})) == {"fetch": "failed"}  # which opens it
    opened = ran(fetch, context={"n": 3}).step_results["fetch"]
    assert (opened.state, type(opened.exception)) == ("failed", retries.CircuitOpenError)
    assert states(ran(fetch, context={"n": 1})) == {"fetch": "cached"}
    assert world.calls == {"fetch": 2}


# Seeds --------------------------------------------------------------------------------------------


@step(outputs=["own"])
def draw_own(ctx):
    world("draw_own")
    return float(ctx.rng.random())


@step(outputs=["global"])
def draw_global():
    world("draw_global")
    return random.random()


@step(outputs=["other"])
def draw_other(ctx):
    world("draw_other")
    return float(ctx.rng.random()), random.random()


DRAWING = (draw_own, draw_global, draw_other)


def test_seeds_come_from_names_and_not_from_the_order_in_which_steps_run():
    found = [dict(ran(*order, enable_cache=False).outputs) for order in itertools.permutations(DRAWING)]
    assert found == [found[0]] * 6
    alone = [ran(one, enable_cache=False).outputs for one in DRAWING]
    assert {name: value for outputs in alone for name, value in outputs.items()} == found[0]
    assert len(set(map(str, found[0].values()))) == 3


def test_seeds_are_the_same_whoever_runs_the_steps_and_in_which_order_they_end():
    one_by_one = ran(*DRAWING, enable_cache=False)
    side_by_side = ran(draw_own, draw_other, enable_cache=False, executor=executors.ParallelExecution(max_workers=2))
    assert side_by_side["own"] == one_by_one["own"]


def test_a_hit_does_not_shift_the_numbers_of_other_steps():
    cold = ran(*DRAWING, enable_cache=False)
    ran(draw_own)
    mixed = ran(*DRAWING)
    assert states(mixed) == {"draw_own": "cached", "draw_global": "ok", "draw_other": "ok"}
    assert dict(mixed.outputs) == dict(cold.outputs)
    assert mixed.record.digest == cold.record.digest


def test_what_draws_runs_again_under_another_seed_and_is_found_again_under_the_first():
    @step(outputs=["plain"])
    def plain():
        return 1

    def run(seed: int) -> Any:
        use_seed(seed)
        return ran(*DRAWING, plain)

    first, other, again = run(7), run(8), run(7)
    drew = dict.fromkeys(("draw_own", "draw_global", "draw_other"))
    assert states(other) == {**dict.fromkeys(drew, "ok"), "plain": "cached"}
    assert states(again) == {**dict.fromkeys(drew, "cached"), "plain": "cached"}
    assert dict(first.outputs) == dict(again.outputs)
    assert not set(map(str, first.outputs.values())) & {str(other[name]) for name in ("own", "global", "other")}


def test_a_resumed_run_draws_what_it_would_have_drawn():
    cold = ran(*DRAWING, enable_cache=False)
    ran(draw_own, draw_global, enable_cache=False)
    resumed = ran(*DRAWING, enable_cache=False, resume=True)
    assert states(resumed) == {"draw_own": "resumed", "draw_global": "resumed", "draw_other": "ok"}
    assert dict(resumed.outputs) == dict(cold.outputs)
    assert resumed.record.digest == cold.record.digest


def test_each_replicate_of_an_experiment_has_its_own_draw_cold_and_warm():
    @step(outputs=["drawn"])
    def draw(ctx):
        world("draw")
        return float(ctx.rng.random())

    @step
    def score(drawn, ctx):
        ctx.record("score", drawn)

    experiment = Experiment(datasource=lambda ctx: None, pipeline=Pipeline([draw, score]), replicates=4)
    cold, warm = experiment.run(), experiment.run()
    assert cold.errors == warm.errors == {}
    scores = cold.metrics.baseline["score"]
    assert len(set(scores)) == 4
    assert warm.metrics.baseline["score"] == scores
    assert (cold.digest == warm.digest, world.calls) == (True, {"draw": 4})


# Assets and artifacts -----------------------------------------------------------------------------


@step(outputs=["model", "scores"])
def train(n, ctx):
    world("train")
    ctx.artifacts.add("log.txt", f"{n} rows".encode())
    return artifacts.Model({"weights": [n]}, name="net"), artifacts.Metrics({"accuracy": n / 10})


@step(outputs=["size"])
def weigh(model):
    world("weigh")
    return len(model.data["weights"])


def stored(result: Any) -> dict[str, bytes]:
    return {record.name: record.read() for record in result.record.artifacts}


def test_a_hit_brings_back_artifacts_and_assets_into_the_results_of_its_own_run(folder):
    cold, warm, resumed = (ran(train, weigh, context={"n": 5}, **given) for given in ({}, {}, {"resume": True}))
    assert [states(result)["train"] for result in (cold, warm, resumed)] == ["ok", "cached", "resumed"]
    assert world.calls == {"train": 1, "weigh": 1}
    for result in (cold, warm, resumed):
        assert (result.metrics, result["size"], result["model"].data) == ({"accuracy": [0.5]}, 1, {"weights": [5]})
        uris = result.step_results["train"].artifacts
        assert sorted(uris) == sorted(stored(cold))
        assert all(uri is not None for uri in uris.values())
    assert stored(cold) == stored(warm) == stored(resumed)
    assert stored(cold)["log.txt"] == b"5 rows"
    assert len({result.record.digest for result in (cold, warm, resumed)}) == 1


def test_side_by_side_and_one_by_one_share_their_entries():
    @step(outputs=["left"])
    def left(n, ctx):
        world("left")
        ctx.record("n", n)
        return n

    @step(outputs=["right"])
    def right(n, ctx):
        world("right")
        ctx.record("n", -n)
        return -n

    @step(outputs=["both"])
    def both(left, right):
        world("both")
        return [left, right]

    threads = {"executor": "thread"}
    found = [ran(left, right, both, context={"n": 3}, **given) for given in (threads, {}, threads)]
    assert [set(states(result).values()) for result in found] == [{"ok"}, {"cached"}, {"cached"}]
    assert [(result["both"], result.metrics) for result in found] == [([3, -3], {"n": [3, -3]})] * 3
    assert len({result.record.digest for result in found}) == 1
    assert world.calls == {"left": 1, "right": 1, "both": 1}


def test_the_result_says_which_steps_were_not_run_here():
    ran(observe)
    found = json.loads(json.dumps(ran(observe).to_dict()))["step_results"]["observe"]
    assert {name: found[name] for name in ("state", "success", "cached", "resumed", "retries", "fallback_used")} == {
        "state": "cached",
        "success": True,
        "cached": True,
        "resumed": False,
        "retries": 0,
        "fallback_used": False,
    }
