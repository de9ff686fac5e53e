"""What a pipeline says when it is used in a way that it cannot be used: who, what was found, what to do."""

from __future__ import annotations

import asyncio

import pytest

from crystallize_core import BasePlugin, DefinitionError, FrozenContext, Pipeline, StepError, WiringError, step


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    """The cache and the runs of a test stay with it."""
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")


@step
def count(rows):
    return len(rows)


def _said(error, action):
    with pytest.raises(error) as caught:
        action()
    return str(caught.value)


def test_what_goes_with_data_is_refused_without():
    """All of it at once, with both ways to write it."""
    pipeline = Pipeline([count], name="counting")
    found = _said(DefinitionError, lambda: pipeline.run(inputs={"rows": []}, ctx=FrozenContext(), rep=1))
    assert found == (
        "pipeline 'counting' is run without data, which does not go with ctx=, rep=; write run(data, ctx, ...), or "
        "give a run without data inputs= and context="
    )


def test_what_goes_without_data_is_refused_with_it():
    """The data has a name then."""
    pipeline = Pipeline([count], name="counting")
    assert _said(DefinitionError, lambda: pipeline.run([1], debug=True, inputs={"rows": []})) == (
        "pipeline 'counting' is run with data, which does not go with inputs=, debug=; write "
        "run(inputs={'data': ...}, ...) to give it the data by name"
    )


def test_a_run_to_resume_is_named_by_its_id():
    """Or is the newest one."""
    pipeline = Pipeline([count], name="counting")
    assert _said(DefinitionError, lambda: pipeline.run(inputs={"rows": []}, resume=3)) == (
        "resume must be True for the newest run, False, or the id of a run as text; found 3 in a run of pipeline 'counting'"
    )


class _Executor(BasePlugin):
    """Never asked to run replicates, because a pipeline on its own has one."""

    plugin_name = "mine"

    def __init__(self, concurrency):
        self.concurrency = concurrency

    def run_experiment_loop(self, experiment, replicate_fn):
        raise AssertionError


def test_an_executor_that_would_change_nothing_is_refused():
    """It was asked for, and steps would run one after the other all the same."""
    pipeline = Pipeline([count], name="counting")
    refusal = (
        "executor 'mine' (process) cannot run the steps of pipeline 'counting' side by side; executor='thread' runs them "
        "in threads, executor='async' as tasks of an event loop"
    )
    inputs, executor = {"rows": []}, _Executor("process")
    assert _said(DefinitionError, lambda: pipeline.run(inputs=inputs, executor=executor)) == refusal
    assert _said(DefinitionError, lambda: asyncio.run(pipeline.arun(inputs=inputs, executor=executor))) == refusal


@pytest.mark.parametrize("concurrency", ["serial", "thread", "async"])
def test_an_executor_of_any_other_kind_runs_the_steps(concurrency):
    """Under `run`, under `arun`, and under `run` where an event loop is running already."""
    pipeline = Pipeline([count], name="counting")
    inputs, executor = {"rows": [1, 2]}, _Executor(concurrency)
    executor.step_workers = 2

    async def inside():
        return pipeline.run(inputs=inputs, executor=executor)

    results = [
        pipeline.run(inputs=inputs, executor=executor),
        asyncio.run(pipeline.arun(inputs=inputs, executor=executor)),
        asyncio.run(inside()),
    ]
    assert [result["count"] for result in results] == [2, 2, 2]


def test_a_pipeline_without_checkpoints_says_how_to_have_some():
    """Whoever wants to go on from an earlier run."""
    pipeline = Pipeline([count], name="counting", checkpoint=False)
    assert _said(DefinitionError, lambda: pipeline.rerun("x")) == (
        "pipeline 'counting' keeps no checkpoints, so that no run of it can be run again; make it with checkpoint=True"
    )


def test_a_failed_step_is_addressed_by_its_pipeline():
    """There is no experiment of which anybody has heard."""

    @step
    def fails():
        raise ValueError("no")

    result = Pipeline([fails], name="failing").run()
    assert _said(StepError, result.raise_for_status) == (
        "step 'fails' failed: ValueError: no [pipeline 'failing', step 'fails']"
    )


def test_a_condition_without_a_source_says_what_there_is():
    """Entries of outputs are known only now, so that this cannot be said before."""

    @step
    def look():
        return {"size": 3}

    @step(condition=lambda look, sizes: sizes > 1)
    def use():
        return 1

    result = Pipeline([look, use]).run()
    assert result.step_results["use"].error == (
        "WiringError: a condition needs 'sizes', which is no parameter of its step, no output, input or context value, "
        "and no entry of an output that is a mapping; did you mean 'size'?"
    )


def test_a_cycle_through_the_data_says_where_that_comes_from():
    """It is the one name for which it matters which step was added before."""

    @step
    def use(made):
        return made

    @step(outputs=["made"])
    def make(data):
        return data

    assert _said(WiringError, lambda: Pipeline([use, make], name="round").run(inputs={"data": 1})) == (
        "pipeline 'round': 1 problem(s)\n"
        "  steps wait for each other: use -> make -> use ('make' takes 'data' from 'use', which was added before it; "
        "'use' takes 'made' from 'make')"
    )
