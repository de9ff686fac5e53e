"""Random numbers and the cache: an output that they went into is used again only for the same numbers."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from crystallize_core import BasePlugin, Experiment, Treatment, pipeline_step, step
from crystallize_seeding import SeedPlugin

calls = []


@pytest.fixture(autouse=True)
def _fresh(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls.clear()


@pytest.fixture
def put_back():
    state = random.getstate()
    yield
    random.setstate(state)


@pipeline_step(cacheable=True)
def plain(data, ctx):
    return data + 1


@pipeline_step(cacheable=True)
def streaming(data, ctx):
    return float(ctx.rng.random())


@pipeline_step(cacheable=True)
def drawing(data, ctx):
    return random.random()


def keep(data, ctx):
    ctx.record("x", data)
    return 0


class Threads(BasePlugin):
    concurrency = "thread"

    def run_experiment_loop(self, experiment, replicate_fn):
        with ThreadPoolExecutor(1) as pool:
            return list(pool.map(replicate_fn, replicate_fn.pending))


class Calls(BasePlugin):
    """Steps of which the output came from the cache are not called."""

    def before_step(self, experiment, step, ctx):
        if step.cacheable:
            calls.append(step.name)


def run(*steps, seed=7, replicates=3, plugins=(), **options):
    return Experiment(
        lambda ctx: 1,
        list(steps),
        plugins=[SeedPlugin(seed, **options), Calls(), *plugins],
        treatments=[Treatment("other", {"unused": 1})],
        replicates=replicates,
        autoload=False,
    ).run()


def test_a_step_that_draws_nothing_is_shared_by_all_replicates():
    """Seeding costs such a step no hit."""
    run(plain, keep)
    run(plain, keep, seed=8)
    assert calls == ["plain"]


@pytest.mark.parametrize("step", [streaming, drawing])
def test_a_step_that_draws_has_an_entry_per_number(step):
    """Every replicate gets its own draw, and a second run with the same seed gets the same from the cache."""
    first = run(step, keep)
    assert len({*first.metrics.baseline.metrics["x"]}) == 3
    drawn = len(calls)
    again = run(step, keep)
    assert len(calls) == drawn
    assert again.digest == first.digest


@pytest.mark.parametrize("step", [streaming, drawing])
def test_another_seed_is_another_draw(step):
    """An entry of seed 7 is none for seed 8."""
    first, other = run(step, keep), run(step, keep, seed=8)
    assert not {*first.metrics.baseline.metrics["x"]} & {*other.metrics.baseline.metrics["x"]}


@pytest.mark.parametrize("step", [streaming, drawing])
def test_the_same_step_twice_draws_twice(step):
    """Two places in a pipeline never share an entry, even for the same input."""
    columns = run(step, keep, step, keep, replicates=1).metrics.baseline.metrics["x"]
    assert len({*columns}) == 2


def test_a_warm_cache_shifts_no_later_numbers():
    """Behind a hit the next step draws what it drew behind a miss."""

    def behind(data, ctx):
        ctx.record("behind", [random.random(), float(ctx.rng.random())])
        return data

    assert run(drawing, streaming, behind).digest == run(drawing, streaming, behind).digest


@pytest.mark.parametrize("step", [streaming, drawing])
def test_numbers_that_nobody_seeded_are_never_used_again(step, put_back):
    """Without any seed each cell of each run draws anew."""
    results = [run(step, keep, seed=None, auto_seed=False) for _ in range(2)]
    drawn = [x for result in results for x in result.metrics.baseline.metrics["x"]]
    assert len(calls) == 12
    assert len({*drawn}) == 6


def test_global_draws_under_threads_are_never_used_again(put_back):
    """They belong to no seed there."""
    run(drawing, keep, plugins=[Threads()])
    run(drawing, keep, plugins=[Threads()])
    assert len(calls) == 12


def test_a_seed_function_may_seed_anything():
    """With one, every cacheable step depends on its seed, because what it seeds cannot be watched."""
    run(plain, keep, seed_fn=random.seed, replicates=2)
    run(plain, keep, seed_fn=random.seed, replicates=2)
    assert calls == ["plain", "plain"]


class SideBySide(BasePlugin):
    concurrency = "thread"
    step_workers = 2

    def run_experiment_loop(self, experiment, replicate_fn):
        return None


both = threading.Barrier(2, timeout=20)


@step
def left(ctx):
    both.wait()
    return float(ctx.rng.random())


@step
def right(ctx):
    both.wait()
    return float(ctx.rng.random())


@pytest.mark.parametrize("seed", [1, 2])
def test_steps_that_draw_side_by_side_are_used_again(seed):
    """Each is known to depend on its own numbers only, though the other one starts and draws in between."""

    def run():
        plugins = [SeedPlugin(seed=seed), SideBySide(), Calls()]
        experiment = Experiment(lambda ctx: 0, [left, right], plugins=plugins, autoload=False)
        (first, second) = experiment.run().provenance["baseline"][0]
        return first["cache_hit"], second["cache_hit"]

    assert [run(), run()] == [(False, False), (True, True)]
    assert sorted(calls) == ["left", "right"]
