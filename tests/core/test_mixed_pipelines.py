"""Steps of all kinds in one pipeline: `@step`, `@pipeline_step`, plain functions, partials, classes."""

from __future__ import annotations

import copy
import functools
import pickle

import pytest

from crystallize_core import (
    Artifact,
    Experiment,
    ExperimentInput,
    Pipeline,
    PipelineStep,
    Treatment,
    WiringError,
    pipeline_step,
    step,
)


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No project, no installed plugin and no folder of the user takes part."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path))


@step(outputs=["raw"])
def load(size=3):
    return list(range(size))


@pipeline_step(cacheable=True)
def scale(data, ctx, *, factor=1):
    ctx.record("scaled", len(data))
    return [factor * number for number in data]


def total(numbers):
    return sum(numbers), {"total": sum(numbers)}


class Shift(PipelineStep):
    def __init__(self, by=1):
        self.by = by

    @property
    def params(self):
        return {"by": self.by}

    def __call__(self, data, ctx):
        return [number + self.by for number in data]


@step
async def report(raw, total, scale):
    return (len(raw), total, scale), {"size": len(raw)}


STEPS = [load, scale, Shift, Shift(5), functools.partial(scale, factor=2), total, report]
EXPECTED = (3, 42, [0, 1, 2])


def test_all_kinds_run_in_one_pipeline():
    """Those without names take what the step before them returned, and make an output of their name."""
    result = Pipeline(STEPS).run()
    assert dict(result.outputs) == {
        "raw": [0, 1, 2], "scale": [0, 1, 2], "Shift": [1, 2, 3], "Shift_2": [6, 7, 8], "scale_2": [12, 14, 16],
        "total": 42, "report": EXPECTED,
    }  # fmt: skip
    assert result.metrics == {"scaled": [3, 3], "total": [42], "size": [3]}


def test_an_asset_is_found_wherever_its_step_stands():
    """Also by the steps without names, which take it by the name of a parameter."""

    def count(data, raw):
        return data + len(raw)

    result = Pipeline([count, load]).run(inputs={"data": 10})
    assert (list(result.step_results), result["count"]) == (["load", "count"], 13)


def test_a_value_that_a_step_adds_to_the_context_reaches_the_next():
    """Whatever kind either of them is."""

    def add(data, ctx):
        ctx.add("found", data + 1)

    assert Pipeline([add, step(lambda found: found * 2)]).run(1) == 4
    with pytest.raises(WiringError, match=r"parameter 'found' is neither bound, made by a step, an input nor in"):
        Pipeline([step(lambda found: found), add]).run(1)


def test_a_named_step_in_a_chain_takes_what_the_run_is_given():
    """`data` of the first step is the data of the run."""
    assert Pipeline([step(lambda data: [data]), Shift(2), total]).run(1) == 3


def test_either_kind_can_wait_for_the_other():
    """A condition of a pipeline step may ask for an asset, and a named step may need what it makes."""
    guarded = pipeline_step(condition=lambda raw: len(raw) > 5)(total)
    pipeline = Pipeline([step(name="last")(lambda total=None: total), load, guarded])
    found = [pipeline.run(context={"size": size}) for size in (3, 6)]
    assert [list(result.step_results) for result in found] == [["load", "total", "last"]] * 2
    assert [result["last"] for result in found] == [None, 15]


def test_a_pipeline_survives_copying_and_pickling():
    """With all kinds of steps in it."""
    pipeline = Pipeline([load, scale, Shift(5), functools.partial(scale, factor=2), total], name="p")
    for again in (pickle.loads(pickle.dumps(pipeline)), copy.deepcopy(pipeline)):
        assert (again.name, again.step_names, again.run()["total"]) == ("p", pipeline.step_names, 36)
        assert again.signature() == pipeline.signature()


# In an experiment ----------------------------------------------------------------------------------------


def test_treatments_reach_all_kinds():
    """Each gets the values of its condition by name; a bound argument stays."""
    treatments = [Treatment("large", {"size": 4}), Treatment("tenfold", {"factor": 10})]
    with pytest.warns(UserWarning, match="step 'scale_2' has its parameter 'factor' bound"):
        result = Experiment(lambda ctx: None, Pipeline(STEPS), treatments=treatments).run(replicates=2)
    found = {"baseline": result.metrics.baseline.metrics} | {
        name: metrics.metrics for name, metrics in result.metrics.treatments.items()
    }
    assert found == {
        "baseline": {"scaled": [3] * 4, "total": [42] * 2, "size": [3] * 2},
        "large": {"scaled": [4] * 4, "total": [60] * 2, "size": [4] * 2},
        "tenfold": {"scaled": [3] * 4, "total": [96] * 2, "size": [3] * 2},
    }
    assert result.errors == {}


def test_the_result_is_the_same_with_a_warm_cache():
    """Metrics of cached steps are recorded again."""
    experiment = Experiment(lambda ctx: None, Pipeline(STEPS))
    assert experiment.run(replicates=2).digest == experiment.run(replicates=2).digest


def test_the_output_of_an_experiment_is_that_of_its_last_step():
    """For the baseline and for a treatment, as in a run of the pipeline."""
    experiment = Experiment(lambda ctx: None, Pipeline(STEPS), treatments=[Treatment("large", {"size": 4})])
    assert (experiment.apply(), Pipeline(STEPS).run()["report"]) == (EXPECTED, EXPECTED)
    assert experiment.apply(treatment="large") == (4, 60, [0, 1, 2, 3])


def test_the_data_of_a_named_step_is_that_of_the_datasource():
    """Unless a step makes an asset of that name, or one stands before it."""
    source = ExperimentInput(train=lambda ctx: [1, 2], test=lambda ctx: [ctx["replicate"]])

    @step
    def fit(data):
        return None, {"n": len(data["train"]), "first": data["test"][0]}

    result = Experiment(source, Pipeline([fit])).run(replicates=2)
    assert result.metrics.baseline.metrics == {"n": [2, 2], "first": [0, 1]}


def test_all_kinds_write_artifacts():
    """A parameter with the name of an artifact gets it, in named and in other steps."""

    @step(cache=False)
    def save(raw, model: Artifact):
        model.write(bytes(raw))
        return raw

    def note(data, ctx, notes: Artifact):
        notes.write(b"n")
        return data

    pipeline = Pipeline([load, save, note])
    result = Experiment(lambda ctx: None, pipeline, outputs=[Artifact("model"), Artifact("notes")]).run(replicates=2)
    found = [(a.replicate, a.record.name, a.record.step, a.record.size) for a in result.artifacts]
    assert found == [
        (0, "model", "save", 3), (0, "notes", "note", 1), (1, "model", "save", 3), (1, "notes", "note", 1),
    ]  # fmt: skip


def test_a_failure_in_an_experiment_names_cell_and_step():
    """One failing cell does not cost the others; independent steps of the cell ran."""

    @step
    def odd(raw, replicate):
        if replicate == 1:
            raise ValueError("one")
        return None, {"odd": replicate}

    @step
    def count(raw):
        return None, {"count": len(raw)}

    result = Experiment(lambda ctx: None, Pipeline([load, odd, count])).run(replicates=3)
    assert {place: str(error) for place, error in result.errors.items()} == {
        "baseline_rep_1": "step 'odd' failed: ValueError: one [experiment 'experiment', replicate 1, condition "
        "'baseline', step 'odd']",
    }
    assert result.metrics.baseline.metrics["odd"] == [0, 2]


def test_what_an_experiment_cannot_wire_is_said_before_anything_runs():
    """With the name of the experiment, and of the condition that lacks a value."""
    pipeline = Pipeline([load, step(name="fit")(lambda raw, rate: rate)])
    experiment = Experiment(lambda ctx: None, pipeline, treatments=[Treatment("fast", {"rate": 1})], name="lab")
    with pytest.raises(WiringError) as caught:
        experiment.run(replicates=1)
    assert str(caught.value).split("\n  ") == [
        "experiment 'lab': 1 problem(s)",
        (
            "step 'fit': parameter 'rate' is neither bound, made by a step, an input nor in the context under 'baseline'; "
            "give it a default, or a value in initial_ctx; only ['fast'] set it (it also takes: raw)"
        ),
    ]
