"""`apply` and `debug`: one cell, by the same engine, seeds and plugins as in a run."""

from __future__ import annotations

import asyncio
import random

import pytest

from crystallize_core import BasePlugin, DefinitionError, Experiment, StepError, Treatment


class Draws(BasePlugin):
    """Gives each step a random stream that depends on the replicate."""

    def before_replicate(self, experiment, ctx):
        ctx.provide("rng", lambda view: random.Random(f"{view['replicate']} {view.step_name}"))


def draw(data, ctx, factor=1):
    value = ctx.rng.random() * factor
    return value, {"draw": value}


def made(**parts):
    return Experiment(
        **{
            "datasource": lambda ctx: ctx["replicate"],
            "pipeline": [draw],
            "plugins": [Draws()],
            "treatments": [Treatment("ten", {"factor": 10})],
            "replicates": 3,
            "autoload": False,
            "name": "draws",
        }
        | parts
    )


@pytest.mark.parametrize("condition", [None, "baseline", "ten"])
@pytest.mark.parametrize("replicate", [0, 2])
def test_apply_and_debug_give_the_numbers_of_the_run(condition, replicate):
    """Output and metrics of a single cell are those of that cell in a run."""
    experiment = made()
    expected = experiment.run().metrics.conditions[condition or "baseline"]["draw"][replicate]
    assert experiment.apply(condition, replicate=replicate) == expected
    trace = experiment.debug(condition, replicate=replicate)
    assert (trace.output, trace.metrics) == (expected, [("draw", expected, None)])
    assert (trace.condition, trace.replicate, trace.error) == (condition or "baseline", replicate, None)


def test_a_replicate_beyond_those_of_the_experiment_can_be_tried():
    """`replicate` is a number from 0, whatever `replicates` says."""
    assert made(replicates=1).apply(replicate=9) == made(replicates=10).run().metrics.baseline["draw"][9]


def test_a_treatment_object_can_be_tried():
    """A treatment that the experiment does not have; its own baseline treatment still holds."""
    experiment = made(
        pipeline=[lambda data, ctx: (ctx["a"], ctx.get("b"))], treatments=[Treatment("baseline", {"a": 1})]
    )
    assert experiment.apply() == (1, None)
    assert experiment.apply(Treatment("baseline", {"a": 5})) == (5, None)
    with pytest.raises(StepError):
        experiment.apply(Treatment("new", {"b": 2}))


def test_data_can_be_given():
    """Instead of what the datasource gives; its own errors do not matter then."""

    def broken(ctx):
        raise OSError("never called")

    assert made(datasource=broken, pipeline=[sum]).apply(data=[1, 2]) == 3
    assert made(datasource=broken, pipeline=[sum]).debug(data=[1, 2]).output == 3


def test_an_unknown_treatment_is_refused_with_a_suggestion():
    """A misspelt name is an error."""
    with pytest.raises(DefinitionError) as caught:
        made().apply("tem")
    assert str(caught.value) == "there is no treatment 'tem'; did you mean 'ten'? [experiment 'draws']"


@pytest.mark.parametrize("replicate", [-1, "0", True, 1.0])
def test_the_replicate_is_a_number_from_zero(replicate):
    """Other values are refused."""
    with pytest.raises(DefinitionError) as caught:
        made().debug(replicate=replicate)
    assert str(caught.value) == (f"replicate must be an int of at least 0, found {replicate!r} [experiment 'draws']")


def fails(data):
    raise ValueError("no")


def test_apply_raises_what_the_step_raised():
    """With the whole address and the cause."""
    with pytest.raises(StepError) as caught:
        made(pipeline=[draw, fails]).apply("ten", replicate=1)
    assert str(caught.value) == (
        "step 'fails' failed: ValueError: no [experiment 'draws', replicate 1, condition 'ten', step 'fails']"
    )
    assert type(caught.value.__cause__) is ValueError


def test_debug_keeps_the_error():
    """`debug` raises nothing; the steps before the failed one are there."""
    trace = made(pipeline=[draw, fails]).debug()
    assert type(trace.error) is StepError
    assert trace.output is None
    assert [(record["step"], record.get("error")) for record in trace.steps] == [
        ("draw", None),
        ("fails", "ValueError: no"),
    ]
    assert trace.steps[1]["input"] == trace.steps[0]["output"]


def test_a_trace_shows_every_step():
    """Its text has inputs, how parameters were filled, reads, metrics, outputs and the error."""

    def scale(data, ctx, factor=1):
        ctx.get("factor")
        return data * factor, {"m": factor}

    trace = made(pipeline=[scale, fails], plugins=[], datasource=lambda ctx: 2).debug("ten")
    assert str(trace) == (
        "condition ten, replicate 0\n"
        "step scale  input: 2\n"
        "    data <- data\n"
        "    ctx <- ctx\n"
        "    factor <- context\n"
        "    reads factor = 10\n"
        "    records m = 10\n"
        "    output: 20\n"
        "step fails  input: 20\n"
        "    data <- data\n"
        "    failed: ValueError: no\n"
        "error: step 'fails' failed: ValueError: no "
        "[experiment 'draws', replicate 0, condition 'ten', step 'fails']"
    )


def test_long_values_are_cut_in_a_trace():
    """A megabyte of data is not printed."""
    text = str(made(pipeline=[lambda data: "x" * 1000], plugins=[]).debug())
    assert f"output: '{'x' * 199}… (1002 characters)" in text


def test_a_trial_is_a_run_that_says_so():
    """Plugins see it begin and end with `run.trial`, so that they keep nothing of it; nothing is aggregated."""
    calls = []

    class Watch(BasePlugin):
        def before_run(self, experiment, run):
            calls.append(("before_run", run.trial))

        def after_run(self, experiment, result):
            calls.append(("after_run", result.run.info.trial, list(result.rows())))

        def replicate_done(self, experiment, replicate, outcome):
            calls.append("replicate_done")

    experiment = made(plugins=[Watch()], pipeline=[lambda data: (data, {"m": 1})])
    experiment.apply()
    assert calls == [("before_run", True), ("after_run", True, [])]
    calls.clear()
    experiment.run(replicates=1, treatments=[])
    assert [call[:2] for call in calls if call != "replicate_done"] == [("before_run", False), ("after_run", False)]


def test_artifacts_of_a_trial_are_in_the_trace():
    """With their content, and nowhere else."""

    def write(data, ctx):
        ctx.artifacts.add("a.txt", "text")
        return data

    trace = made(pipeline=[write], plugins=[]).debug()
    assert [(artifact.name, artifact.read()) for artifact in trace.artifacts] == [("a.txt", b"text")]


def test_a_trial_works_inside_a_running_loop():
    """Also with async steps."""

    async def later(data):
        await asyncio.sleep(0)
        return data + 1

    async def main():
        return made(pipeline=[later], plugins=[]).apply(replicate=4)

    assert asyncio.run(main()) == 5
