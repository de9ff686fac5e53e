"""`SeedPlugin` in experiments: what is seeded, what is recorded, and what it refuses."""

import gc
import json
import random
import threading

import pytest

from crystallize_core import (
    BasePlugin,
    ConfigurationError,
    DataSource,
    Experiment,
    HookError,
    Result,
    Treatment,
    WiringError,
    pipeline_step,
    standalone_context,
)
from crystallize_seeding import SeedPlugin
from crystallize_seeding._plugin import _going_on


def source(ctx):
    return [random.random(), ctx.rng.random()]


def draw(data, ctx):
    ctx.record("source", data)
    ctx.record("global", random.random())
    ctx.record("stream", float(ctx.rng.random()))
    ctx.record("seed", ctx["seed_used"])
    return data


def experiment(*plugins, steps=(draw,), **settings):
    settings = {"replicates": 3, "treatments": [Treatment("other", {"x": 1})], **settings}
    return Experiment(source, list(steps), plugins=list(plugins), autoload=False, **settings)


def values(result, condition="baseline"):
    chosen = result.metrics.baseline if condition == "baseline" else result.metrics.treatments[condition]
    return chosen.metrics


# --- the numbers ----------------------------------------------------------------------------------


def test_a_seed_repeats_everything():
    """Two runs with one seed are the same to the byte; another seed gives other numbers."""
    first, again, other = (experiment(SeedPlugin(seed)).run() for seed in (7, 7, 8))
    assert values(first) == values(again)
    assert first.digest == again.digest
    assert not {*values(first)["stream"]} & {*values(other)["stream"]}
    assert not {*values(first)["global"]} & {*values(other)["global"]}


def test_replicates_differ_and_conditions_do_not():
    """Conditions are compared on the same numbers, replicate by replicate."""
    result = experiment(SeedPlugin(7)).run()
    assert values(result) == values(result, "other")
    assert [len({*map(str, column)}) for column in values(result).values()] == [3, 3, 3, 3]


def test_conditions_get_their_own_numbers_on_request():
    """With `common=False` a treatment does not change what the baseline gets, and gets other numbers itself."""
    result = experiment(SeedPlugin(7, common=False)).run()
    alone = experiment(SeedPlugin(7, common=False), treatments=[]).run()
    assert values(result) == values(alone)
    assert not {*values(result)["stream"]} & {*values(result, "other")["stream"]}
    assert not {*values(result)["global"]} & {*values(result, "other")["global"]}


def test_more_replicates_leave_the_first_ones_alone():
    """What somebody ran with three replicates is the beginning of what ten give."""
    three, ten = (values(experiment(SeedPlugin(7), replicates=n).run()) for n in (3, 10))
    assert {name: column[:3] for name, column in ten.items()} == three


def test_what_one_step_draws_does_not_shift_another():
    """A greedy step in front, or none at all, gives the step behind it the same numbers."""

    def greedy(data, ctx):
        random.random()
        ctx.rng.random()
        return data

    alone, behind = (values(experiment(SeedPlugin(7), steps=steps).run()) for steps in ([draw], [greedy, draw]))
    assert alone == behind


def test_two_steps_of_one_function_draw_different_numbers():
    """Each place in a pipeline has its own numbers."""
    columns = values(experiment(SeedPlugin(7), steps=[draw, draw], replicates=1).run())
    assert len({*columns["global"]}) == len({*columns["stream"]}) == 2


def test_a_second_attempt_sees_the_numbers_of_the_first():
    """A step that failed and is called again starts from the same place, global generators included."""
    seen = []

    class TwiceOver(BasePlugin):
        def wrap_step(self, experiment, step, call):
            def twice(data, ctx):
                try:
                    return call(data, ctx)
                except ZeroDivisionError:
                    return call(data, ctx)

            return twice

    def flaky(data, ctx):
        seen.append((ctx.attempt, random.random(), float(ctx.rng.random())))
        return 1 / (ctx.attempt - 1)

    experiment(SeedPlugin(7), TwiceOver(), steps=[flaky], replicates=1, treatments=[]).run()
    assert [attempt for attempt, *_ in seen] == [1, 2]
    assert seen[0][1:] == seen[1][1:]


def test_the_stream_of_a_step_is_one_stream():
    """Reading `ctx.rng` twice goes on drawing, and says nothing about the global generators."""

    def twice(data, ctx):
        return [float(ctx.rng.random()), float(ctx.rng.random()), random.random()]

    assert len({*experiment(SeedPlugin(7), steps=[twice]).apply()}) == 3


def test_apply_and_debug_draw_what_the_run_drew():
    """One cell on its own has the numbers that it has in a run."""
    definition = experiment(SeedPlugin(7))
    assert [values(definition.run())["global"][2]] == [
        v for n, v, _ in definition.debug(replicate=2).metrics if n == "global"
    ]


def test_python_streams_need_no_numpy():
    """`rng="python"` gives a `random.Random`, whatever is installed."""

    def kind(data, ctx):
        return type(ctx.rng)

    assert experiment(SeedPlugin(7, rng="python"), steps=[kind]).apply() is random.Random


def test_numpy_streams_are_generators():
    """Where numpy is installed, `ctx.rng` is one of its generators unless asked otherwise."""
    np = pytest.importorskip("numpy")

    def kind(data, ctx):
        return type(ctx.rng), type(ctx.rng.bit_generator)

    for plugin in (SeedPlugin(7), SeedPlugin(7, rng="numpy")):
        assert experiment(plugin, steps=[kind]).apply() == (np.random.Generator, np.random.PCG64)


def test_numpy_globals_are_seeded_too():
    """`numpy.random.rand` in a step repeats."""
    np = pytest.importorskip("numpy")

    def legacy(data, ctx):
        return float(np.random.random_sample())

    definition = experiment(SeedPlugin(7), steps=[legacy])
    assert definition.apply() == definition.apply()


def test_async_steps_are_seeded():
    """An `async def` step draws the numbers of a plain one of its name."""

    def make(name):
        async def draw(data, ctx):
            return random.random(), float(ctx.rng.random())

        def plain(data, ctx):
            return random.random(), float(ctx.rng.random())

        plain.__name__ = "draw"
        return {"async": draw, "plain": plain}[name]

    assert (
        experiment(SeedPlugin(7), steps=[make("async")]).apply()
        == experiment(SeedPlugin(7), steps=[make("plain")]).apply()
    )


# --- seed_fn --------------------------------------------------------------------------------------


def test_a_seed_function_replaces_ours():
    """It is called outside the steps and before each, with numbers that every library takes."""
    got = []
    experiment(SeedPlugin(7, seed_fn=got.append), steps=[lambda data: data], replicates=2, treatments=[]).run()
    again = []
    experiment(SeedPlugin(7, seed_fn=again.append), steps=[lambda data: data], replicates=2, treatments=[]).run()
    assert got == again
    assert len({*got}) == 4
    assert all(0 <= seed < 2**32 for seed in got)


def test_a_failing_seed_function_fails_the_cell_with_its_address():
    """Numbers that could not be seeded are not used."""

    def refuse(seed):
        raise OSError("no entropy today")

    result = experiment(SeedPlugin(7, seed_fn=refuse), replicates=1, treatments=[]).run()
    error = result.errors["baseline_rep_0"]
    assert isinstance(error, HookError)
    assert isinstance(error.__cause__, OSError)
    assert (error.plugin, error.hook, error.replicate, error.condition) == (
        "seeding",
        "before_replicate",
        0,
        "baseline",
    )


# --- what is left alone ---------------------------------------------------------------------------


def test_a_run_leaves_no_trace_in_the_numbers_of_its_caller():
    """What the caller draws after a run is what it would have drawn without it."""
    random.seed(11)
    expected = random.random()
    random.seed(11)
    experiment(SeedPlugin(7)).run()
    assert random.random() == expected


def test_without_auto_seed_global_generators_are_the_users():
    """`auto_seed=False` with a seed derives the streams and nothing else."""
    random.seed(11)
    expected = random.Random(11)
    result = experiment(SeedPlugin(7, auto_seed=False), replicates=1, treatments=[]).run()
    assert values(result)["source"][0][0] == expected.random()
    assert values(result)["global"] == [expected.random()]
    assert values(result)["stream"] == values(experiment(SeedPlugin(7), replicates=1).run())["stream"]


def test_without_any_seed_streams_come_from_entropy():
    """`auto_seed=False` without a seed cannot be repeated, and the record says so."""
    first, again = (experiment(SeedPlugin(auto_seed=False)).run() for _ in range(2))
    assert not {*values(first)["stream"]} & {*values(again)["stream"]}
    described = first.run.described["seeding"]
    assert (described["seed"], described["drawn"], described["globals"]) == (None, False, False)


# --- the record -----------------------------------------------------------------------------------


def test_the_record_names_the_seed():
    """The options say what was asked, the description what was done."""
    result = experiment(SeedPlugin(7, rng="python")).run()
    assert result.run.described["seeding"] == {
        "seed": 7,
        "drawn": False,
        "common": True,
        "globals": True,
        "rng": "python",
    }
    assert result.seeds["baseline"] == dict(enumerate(values(result)["seed"]))


def test_a_drawn_seed_can_be_used_again():
    """Without a seed every run draws its own; the recorded one repeats the run, also after JSON."""
    first, other = (experiment(SeedPlugin()).run() for _ in range(2))
    recorded = Result.from_json(first.to_json()).run.described["seeding"]
    assert recorded["drawn"] is True
    assert first.digest != other.digest
    assert experiment(SeedPlugin(recorded["seed"])).run().digest == first.digest


def test_seeds_of_cells_are_plain_json():
    """They fit the integers of other languages."""
    result = experiment(SeedPlugin()).run()
    assert all(0 <= seed < 2**63 for seed in json.loads(result.to_json())["seeds"]["baseline"].values())


# --- several runs at once -------------------------------------------------------------------------


def test_two_runs_of_one_experiment_keep_their_seeds_apart():
    """Each describes its own seed, its streams do not notice the other, and global draws are warned about."""
    meet = threading.Barrier(2, timeout=60)
    results = []

    def wait(data, ctx):
        if ctx["replicate"] == 0 and ctx["condition"] == "baseline":
            meet.wait()
        return data

    definition = experiment(SeedPlugin(), steps=[wait, draw])
    threads = [threading.Thread(target=lambda: results.append(definition.run())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seeds = [result.run.described["seeding"]["seed"] for result in results]
    assert seeds[0] != seeds[1]
    for result, other, seed in zip(results, results[::-1], seeds, strict=True):
        assert values(result)["stream"] == values(experiment(SeedPlugin(seed)).run())["stream"]
        assert [f"run {other.run.id} went on in this process" in text for text in result.warnings] == [True]


def test_an_experiment_inside_a_step_disturbs_nobody():
    """The step waits for it and goes on with its own numbers."""

    def nested(data, ctx):
        before = random.random()
        experiment(SeedPlugin(1)).run()
        return before, random.random()

    def plain(data, ctx):
        return random.random(), random.random()

    plain.__name__ = "nested"
    inside = experiment(SeedPlugin(7), steps=[nested])
    assert inside.apply() == experiment(SeedPlugin(7), steps=[plain]).apply()
    assert inside.run().warnings == []


def test_runs_are_forgotten():
    """Nothing of a run is kept when it is over, also of a trial, which has no end of its own."""
    definition = experiment(SeedPlugin(7))
    definition.run()
    definition.debug()
    gc.collect()
    assert list(_going_on.values()) == []


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", ["7", 7.0, True, [7]])
def test_a_seed_is_an_integer(seed):
    """Everything else is refused with what was found."""
    with pytest.raises(TypeError, match=r"seed must be an int or None, found (str|float|bool|list)"):
        SeedPlugin(seed)


def test_a_seed_function_can_be_called():
    """A number in its place is refused."""
    with pytest.raises(TypeError, match="seed_fn must be a function that takes the seed, found int 3"):
        SeedPlugin(7, seed_fn=3)


@pytest.mark.parametrize("options", [{"rng": "torch"}, {"auto_seed": 1}, {"common": None}])
def test_other_options_are_checked(options):
    """Values of the wrong kind do not become something else silently."""
    with pytest.raises((TypeError, ValueError)):
        SeedPlugin(7, **options)


def test_numpy_that_is_missing_is_asked_for(monkeypatch):
    """`rng="numpy"` without numpy says what to install before anything runs."""
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    with pytest.raises(HookError) as failure:
        experiment(SeedPlugin(7, rng="numpy")).run()
    assert isinstance(failure.value.__cause__, ConfigurationError)
    assert "pip install 'crystallize-seeding[numpy]'" in str(failure.value)


def test_automatic_streams_are_python_s_where_numpy_is_missing(monkeypatch):
    """And the record says which they were, because the numbers are others."""
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    result = experiment(SeedPlugin(7)).run()
    assert result.run.described["seeding"]["rng"] == "python"
    assert result.digest == experiment(SeedPlugin(7, rng="python")).run().digest


def test_parameters_that_nothing_fills_are_still_found_before_the_run():
    """The core can read from our code which keys it adds."""

    @pipeline_step()
    def scale(data, factor):
        return data

    @pipeline_step()
    def knows(data, seed_used):
        return seed_used

    class Rows(DataSource):
        def fetch(self, ctx):
            return [1]

    with pytest.raises(WiringError, match="factor"):
        Experiment(Rows(), [scale], plugins=[SeedPlugin(7)], autoload=False).validate()
    Experiment(Rows(), [knows], plugins=[SeedPlugin(7)], autoload=False).validate()


def test_it_comes_before_everything_else():
    """Seeding is in place when other plugins begin, wherever the user put it."""
    seen = []

    class Early(BasePlugin):
        def before_replicate(self, experiment, ctx):
            seen.append("seed_used" in ctx)

    experiment(Early(), SeedPlugin(7), replicates=1, treatments=[]).run()
    assert seen == [True]


def test_a_context_without_an_experiment_has_no_stream():
    """The message says where streams come from."""
    with pytest.raises(AttributeError, match="pip install crystallize-seeding"):
        standalone_context().rng
