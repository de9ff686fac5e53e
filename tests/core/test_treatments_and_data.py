"""Conditions: what a treatment changes, where the data comes from, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from crystallize_core import (
    DataSource,
    DatasourceError,
    DefinitionError,
    Experiment,
    ExperimentInput,
    FrozenContext,
    Treatment,
    TreatmentError,
    data_source,
    treatment,
)


def tell(data, ctx):
    """A step that records what it was given."""
    return data, {"factor": ctx.get("factor", "none"), "data": data}


def seen(experiment: Experiment, metric: str = "factor") -> dict[str, list[Any]]:
    """The values of one metric by condition."""
    return {name: condition[metric] for name, condition in experiment.run().metrics.conditions.items()}


def made(**parts: Any) -> Experiment:
    return Experiment(**{"datasource": lambda ctx: 0, "pipeline": [tell], "autoload": False, **parts})


# Treatments ---------------------------------------------------------------------------------------


def test_a_mapping_adds_keys_under_its_condition_only():
    """Conditions do not see each other's keys."""
    treatments = [Treatment("two", {"factor": 2}), Treatment("three", {"factor": 3})]
    assert seen(made(treatments=treatments)) == {"baseline": ["none"], "two": [2], "three": [3]}


def test_a_function_is_applied_in_each_cell():
    """A function treatment sees replicate and condition."""
    change = Treatment("by-replicate", lambda ctx: ctx.add("factor", (ctx["replicate"], ctx["condition"])))
    assert seen(made(treatments=[change], replicates=2)) == {
        "baseline": ["none", "none"],
        "by-replicate": [(0, "by-replicate"), (1, "by-replicate")],
    }


def test_a_treatment_named_baseline_configures_the_baseline():
    """It is no condition of its own."""
    treatments = [Treatment("two", {"factor": 2}), Treatment("baseline", {"factor": 1})]
    experiment = made(treatments=treatments, replicates=2)
    assert seen(experiment) == {"baseline": [1, 1], "two": [2, 2]}
    assert experiment.run().run.info.conditions == ("baseline", "two")


def test_a_mapping_that_meets_an_existing_key_is_refused_with_advice():
    """Changing a baseline value has to be said."""
    with pytest.raises(DefinitionError) as caught:
        made(initial_ctx={"factor": 1, "size": 1}, treatments=[Treatment("two", {"size": 2, "factor": 2})]).run()
    assert str(caught.value) == (
        "treatment 'two' sets 'size', 'factor', which initial_ctx has already; to change a baseline value on purpose "
        "write Treatment('two', {...}, override=True), or a function that calls ctx.override [condition 'two']"
    )


def test_override_replaces_and_is_recorded():
    """`override=True` wins over `initial_ctx`, and the run record names treatment and keys."""
    experiment = made(
        initial_ctx={"factor": 1}, treatments=[Treatment("two", {"factor": 2, "other": 1}, override=True)]
    )
    assert seen(experiment) == {"baseline": [1], "two": [2]}
    assert experiment.run().run.overrides == {"two": ("factor",)}


def test_a_function_overrides_on_purpose():
    """`ctx.override` in a treatment replaces a value for that condition."""
    experiment = made(initial_ctx={"factor": 1}, treatments=[Treatment("two", lambda ctx: ctx.override("factor", 2))])
    assert seen(experiment) == {"baseline": [1], "two": [2]}


def test_a_function_that_adds_an_existing_key_fails_its_cells_only():
    """`ctx.add` of a key that is there fails the cells of that treatment, with advice; the baseline is fine."""
    experiment = made(initial_ctx={"factor": 1}, treatments=[Treatment("two", lambda ctx: ctx.add("factor", 2))])
    result = experiment.run()
    assert result.metrics.baseline["factor"] == [1]
    assert str(result.errors["two_rep_0"]) == (
        "treatment 'two' failed: ContextMutationError: the context has a key 'factor' already (1) and a key is written "
        "once; a treatment that means to change a baseline value says ctx.override('factor', ...) or Treatment(..., "
        "override=True) [experiment 'experiment', replicate 0, condition 'two']"
    )


def test_the_cell_cannot_be_overridden():
    """`replicate` and `condition` stay what they are."""
    result = made(treatments=[Treatment("lie", lambda ctx: ctx.override("replicate", 7))]).run()
    assert "the context key 'replicate' says which cell this is and cannot be overridden" in str(
        result.errors["lie_rep_0"]
    )


def test_a_treatment_that_raises_fails_its_cells_only():
    """The cause is kept."""

    def fails(ctx):
        raise ValueError("no")

    result = made(treatments=[Treatment("bad", fails), Treatment("good", {"factor": 2})], replicates=2).run()
    assert set(result.errors) == {"bad_rep_0", "bad_rep_1"}
    assert type(result.errors["bad_rep_0"]) is TreatmentError
    assert type(result.errors["bad_rep_0"].__cause__) is ValueError
    assert result.metrics.treatments["good"]["factor"] == [2, 2]


def test_the_values_of_a_treatment_are_copies():
    """Neither a step nor a later change of the mapping reaches the next replicate."""

    def spoil(data, ctx):
        ctx["factor"].append("spoilt")
        return data, {"seen": len(ctx["factor"])}

    values = [1]
    experiment = made(pipeline=[spoil], treatments=[Treatment("baseline", {"factor": values})], replicates=3)
    assert experiment.run().metrics.baseline["seen"] == [2, 2, 2]
    assert values == [1]


def test_a_treatment_can_be_made_of_a_mapping_or_a_function_by_name():
    """`treatment(name, mapping)` is a treatment, and `@treatment(name)` decorates a function."""
    assert treatment("two", {"factor": 2}).apply_map == {"factor": 2}

    @treatment("three")
    def three(ctx):
        """Three of them."""
        ctx.add("factor", 3)

    assert (three().name, three.__name__, three.__doc__, three().apply_map) == ("three", "three", "Three of them.", {})
    assert repr(three()) == "Treatment('three', three)"
    assert repr(treatment("two", {"factor": 2})) == "Treatment('two', {'factor': 2})"


# Datasources --------------------------------------------------------------------------------------


class Numbers(DataSource):
    def __init__(self, size=2):
        self.size = size

    def fetch(self, ctx):
        return [ctx["replicate"]] * self.size

    @property
    def params(self):
        return {"size": self.size}


class Foreign:
    def fetch(self, ctx):
        return ctx["condition"]


@data_source
def sized(ctx, *, size=3):
    return size


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Numbers(1), [0]),
        (Numbers, [0, 0]),
        (Foreign(), "baseline"),
        (sized, 3),
        (sized(), 3),
        (sized(size=5), 5),
        (lambda ctx: ctx["replicate"], 0),
        (lambda: "nothing needed", "nothing needed"),
        (lambda c: c["condition"], "baseline"),
        (lambda replicate, ctx: replicate, 0),
    ],
    ids=["object", "class", "foreign", "factory", "called", "bound", "function", "no ctx", "by position", "injected"],
)
def test_a_datasource_is_whatever_gives_data(source, expected):
    """Objects, classes, decorated functions with and without parameters, and plain functions."""
    assert Experiment(source, [lambda data: data], autoload=False).apply() == expected


def test_parameters_of_a_datasource_come_from_the_context():
    """Bound before context before default, as for steps; a treatment changes them."""
    experiment = made(datasource=sized, treatments=[Treatment("five", {"size": 5})])
    assert seen(experiment, "data") == {"baseline": [3], "five": [5]}
    assert seen(made(datasource=sized(size=4), initial_ctx={"size": 5}), "data") == {"baseline": [4]}


def test_a_positional_only_parameter_of_a_datasource_is_filled():
    """Parameters before `/` work for datasources too."""

    def source(size, ctx, /, offset=1):
        return size + offset + ctx["replicate"]

    assert made(datasource=source, initial_ctx={"size": 10}, pipeline=[lambda data: data]).apply() == 11


def test_a_parameter_of_a_datasource_that_nothing_fills_fails_with_its_name():
    """The error says datasource and parameter."""

    def source(ctx, size):
        return size

    result = made(datasource=source).run()
    assert str(result.errors["baseline_rep_0"]) == (
        "the datasource failed: DefinitionError: datasource 'source': nothing fills the parameter 'size'; it is neither "
        "bound nor in the context [experiment 'experiment', replicate 0, condition 'baseline']"
    )


def test_a_bound_parameter_that_does_not_exist_is_refused():
    """A misspelt parameter is an error when the source is made."""
    with pytest.raises(DefinitionError) as caught:
        sized(sise=3)
    assert str(caught.value) == "datasource 'sized' has no parameter 'sise'"


def test_params_tell_what_a_source_was_made_with():
    """For the record of a run."""
    assert sized(size=2).params == {"size": 2}
    assert ExperimentInput(a=sized(size=2), b=Numbers(4)).params == {"a": {"size": 2}, "b": {"size": 4}}


def test_an_experiment_input_gives_a_dictionary():
    """Several sources under names; sync and async ones mix."""

    async def later(ctx):
        await asyncio.sleep(0)
        return "later"

    both = ExperimentInput(train=Numbers(1), test=later, other=sized(size=1))
    assert made(datasource=both, pipeline=[lambda data: data]).apply() == {"train": [0], "test": "later", "other": 1}
    assert ExperimentInput(a=Numbers).fetch(FrozenContext({"replicate": 3})) == {"a": [3, 3]}


def test_an_experiment_input_needs_sources():
    """Without a name there is nothing to give, and a number is no source."""
    with pytest.raises(DefinitionError) as caught:
        ExperimentInput()
    assert str(caught.value) == (
        "ExperimentInput needs at least one named datasource: ExperimentInput(train=..., test=...)"
    )
    with pytest.raises(DefinitionError, match="found int 5"):
        ExperimentInput(a=5)


@pytest.mark.parametrize("way", ["run", "arun"])
def test_an_async_datasource_is_awaited(way):
    """`async def` functions and `async def fetch` are sources, under `run` and `arun`."""

    class Later(DataSource):
        async def fetch(self, ctx):
            await asyncio.sleep(0)
            return ctx["replicate"]

    async def later(ctx):
        return ctx["replicate"]

    for source in (Later(), later):
        experiment = made(datasource=source, replicates=2)
        result = experiment.run() if way == "run" else asyncio.run(experiment.arun())
        assert result.metrics.baseline["data"] == [0, 1]


def test_a_treatment_brings_its_own_data():
    """Only its condition reads it."""
    other = Treatment("other", {}, datasource=lambda ctx: "other data")
    assert seen(made(treatments=[other]), "data") == {"baseline": [0], "other": ["other data"]}


def test_the_baseline_may_bring_its_own_data():
    """A treatment named baseline with a datasource replaces that of the experiment for the baseline only."""
    base = Treatment("baseline", datasource=lambda ctx: "base data")
    assert seen(made(treatments=[base, Treatment("a", {})]), "data") == {"baseline": ["base data"], "a": [0]}


def test_the_treatment_is_applied_before_the_data_is_fetched():
    """The datasource of a cell sees what the treatment changed."""
    experiment = made(
        datasource=lambda ctx: ctx.get("factor"), treatments=[Treatment("two", lambda ctx: ctx.add("factor", 2))]
    )
    assert seen(experiment, "data") == {"baseline": [None], "two": [2]}


def test_a_datasource_that_raises_in_one_replicate_fails_that_cell_only():
    """The other nine replicates and the other condition have all their values; the address says which one failed."""

    def source(ctx):
        if ctx["replicate"] == 7 and ctx["condition"] == "baseline":
            raise OSError("disk gone")
        return ctx["replicate"]

    result = made(datasource=source, treatments=[Treatment("a", {})], replicates=10, name="reads").run()
    assert result.metrics.baseline["data"] == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert result.metrics.treatments["a"]["data"] == list(range(10))
    assert {name: str(error) for name, error in result.errors.items()} == {
        "baseline_rep_7": "the datasource failed: OSError: disk gone "
        "[experiment 'reads', replicate 7, condition 'baseline']"
    }
    assert type(result.errors["baseline_rep_7"]) is DatasourceError
    assert type(result.errors["baseline_rep_7"].__cause__) is OSError


def test_a_datasource_that_fails_leaves_no_trace():
    """What it recorded and added before it raised is gone."""

    def source(ctx):
        ctx.record("size", 1)
        ctx.emit("reading")
        raise OSError("disk gone")

    outcome = next(made(datasource=source).stream())["baseline"]
    assert (outcome.metrics, outcome.events) == ([], [])


def test_a_datasource_may_record_and_add():
    """What a datasource records and adds is committed once it has succeeded."""

    def source(ctx):
        ctx.record("size", 3)
        ctx.add("factor", 5)
        return 1

    assert seen(made(datasource=source)) == {"baseline": [5]}
    assert made(datasource=source).run().metrics.baseline["size"] == [3]
