"""What a pipeline that ran on its own comes to: outputs, what became of each step, and where everything came from."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import pickle
from typing import Any

import pytest

from crystallize_core import (
    FrozenContext,
    HookError,
    Pipeline,
    PipelineResult,
    StepError,
    content_digest,
    pipeline_step,
    step,
)


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No project, no installed plugin and no folder of the user takes part."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))


@step(outputs=["numbers"])
def load(path, size=3):
    return list(range(size))


@step(outputs=["train", "test"])
def split(numbers):
    return numbers[:2], numbers[2:]


@step
def fit(train, rate):
    return sum(train) * rate, {"loss": 0.5}


@step
def fails(train):
    raise ValueError("no luck")


@step
def after(fails):
    return fails


@step(condition=lambda numbers: len(numbers) > 100)
def large(numbers):
    return numbers


@step
def of_large(large):
    return large


def run(*steps: Any, **kwargs: Any) -> PipelineResult:
    return Pipeline("etl", context={"rate": 2}).add_steps(*(steps or (load, split, fit))).run(
        inputs={"path": "a.csv"}, **kwargs
    )  # fmt: skip


# A run that succeeded ------------------------------------------------------------------------------------


def test_outputs_are_found_by_their_names():
    """By the asset; what a step returned as a whole, by the name of the step; going through them gives the assets."""
    result = run()
    assert dict(result.outputs) == {"numbers": [0, 1, 2], "train": [0, 1], "test": [2], "fit": 2}
    assert (result.outputs["split"], result["split"], result["load"]) == (([0, 1], [2]), ([0, 1], [2]), [0, 1, 2])
    assert ("split" in result.outputs, "split" in result, "x" in result) == (True, True, False)
    assert list(result) == list(result.outputs) == ["numbers", "train", "test", "fit"]
    assert (len(result.outputs), repr(result.outputs)) == (4, "Outputs(numbers, train, test, fit)")


def test_an_asset_wins_over_a_step_of_its_name():
    """The step `model` makes `model` and more; its whole return is then not under its name."""
    made = step(name="model", outputs=["model", "score"])(lambda: (1, 2))
    assert run(made)["model"] == 1


def test_a_name_that_is_not_there_says_what_there_is():
    """As a `KeyError`."""
    result = run()
    with pytest.raises(KeyError) as caught:
        result["trian"]
    assert caught.value.args == ("the run made no 'trian'; did you mean 'train'?",)
    with pytest.raises(KeyError) as caught:
        result.outputs["zzz"]
    assert caught.value.args == ("the run made no 'zzz'; it made: 'fit', 'load', 'numbers', 'split', 'test', 'train'.",)


def test_the_state_of_the_run():
    """Success, name, id, duration, metrics; an id per run."""
    result, again = run(), run()
    assert (result.success, result.state, result.pipeline_name, result.error) == (True, "completed", "etl", None)
    assert (result.metrics, result.context) == ({"loss": [0.5]}, {"rate": 2})
    assert result.run_id != again.run_id
    assert result.duration_seconds >= sum(found.duration_seconds for found in result.step_results.values()) > 0
    assert result.raise_for_status() is result
    assert repr(result) == "<PipelineResult of 'etl': completed, 3 steps>"


def test_there_is_a_result_for_each_step():
    """In the order in which they ran, with all that became of it."""
    began = dt.datetime.now(dt.UTC)
    first, again = run(fit, split, load), run(fit, split, load)
    assert list(first.step_results) == ["load", "split", "fit"]
    found = first.step_results["fit"]
    assert (found.step_name, found.success, found.state, found.output) == ("fit", True, "ok", 2)
    assert (found.error, found.exception, found.reason) == (None, None, None)
    assert (found.cached, found.skipped, found.retries, found.fallback_used, found.resumed) == (False, False, 0, False, False)  # fmt: skip
    assert (found.artifact_uri, dict(found.artifacts)) == (None, {})
    assert began <= found.timestamp <= dt.datetime.now(dt.UTC)
    assert [(f.state, f.success, f.cached, f.output) for f in again.step_results.values()] == [
        ("cached", True, True, [0, 1, 2]), ("cached", True, True, ([0, 1], [2])), ("cached", True, True, 2),
    ]  # fmt: skip
    assert again.metrics == first.metrics


def test_the_sources_of_parameters_are_said():
    """Where each came from: an output, an input, the context, the default, or a bound argument."""
    result = run(load, split, fit.bound({"rate": 3}))
    assert {name: dict(found.sources) for name, found in result.step_results.items()} == {
        "load": {"path": "input", "size": "default"},
        "split": {"numbers": "output 'numbers' of 'load'"},
        "fit": {"train": "output 'train' of 'split'", "rate": "bound"},
    }
    assert run(load, context={"size": 1}).step_results["load"].sources == {"path": "input", "size": "context"}


def test_lineage_says_where_each_asset_came_from():
    """The digests of its content and of what it was made of, the step with its code, and the sources of parameters."""
    lineage = run().lineage
    assert list(lineage) == ["path", "numbers", "train", "test", "fit"]
    assert (lineage["path"].digest, lineage["path"].step) == (content_digest("a.csv"), None)
    assert (lineage["train"].digest, lineage["train"].step) == (content_digest([0, 1]), "split")
    assert lineage["train"].inputs == {"numbers": lineage["numbers"].digest}
    assert lineage["fit"].parameters == {"train": "output 'train' of 'split'", "rate": "context"}
    assert lineage["numbers"].parameters == {"path": "input", "size": "default"}
    assert lineage["train"].code == lineage["test"].code != lineage["fit"].code
    assert all(len(found.digest) == 64 for found in lineage.values())


def test_lineage_knows_what_was_taken_as_data():
    """The whole return of a step with several outputs stands under the name of the step."""
    lineage = run(load, split, step(name="count")(lambda data: [*data])).lineage
    assert lineage["count"].inputs == {"split": content_digest(([0, 1], [2]))}
    assert lineage["count"].parameters == {"data": "output of 'split'"}


def test_steps_of_all_kinds_are_in_the_result():
    """Plain functions and pipeline steps make an output of their name."""
    result = run(load, lambda data: [*data], pipeline_step()(lambda data, ctx: ctx.record("n", len(data)) or data))
    assert (dict(result.outputs), result.metrics) == ({"numbers": [0, 1, 2], "<lambda>": [0, 1, 2], "<lambda>_2": [0, 1, 2]}, {"n": [3]})  # fmt: skip


# A run that failed ---------------------------------------------------------------------------------------


def test_a_failure_costs_only_those_that_need_the_step():
    """Others run; what did not run is neither successful nor cached nor skipped, and says why."""
    result = run(load, split, fails, after, fit)
    assert {name: found.state for name, found in result.step_results.items()} == {
        "load": "ok", "split": "ok", "fails": "failed", "after": "not run", "fit": "ok",
    }  # fmt: skip
    found = result.step_results["after"]
    assert (found.success, found.cached, found.skipped, found.error, found.exception) == (False, False, False, None, None)  # fmt: skip
    assert found.reason == "it needs output 'fails' of 'fails', which failed"
    assert (result.success, result.state) == (False, "failed")
    assert dict(result.outputs) == {"numbers": [0, 1, 2], "train": [0, 1], "test": [2], "fit": 2}


def test_a_failure_is_kept_as_the_exception_with_its_traceback():
    """Beside its text; the line that raised is in what is stored."""
    found = run(load, split, fails).step_results["fails"]
    assert (found.success, found.error, found.output) == (False, "ValueError: no luck", None)
    assert (type(found.exception), found.exception.__traceback__ is not None) == (ValueError, True)
    assert 'raise ValueError("no luck")' in found.to_dict()["traceback"]


@pytest.mark.parametrize("how", [lambda: run(load, split, fails, after).raise_for_status(), lambda: run(load, split, fails, after, raise_on_error=True)])  # fmt: skip
def test_what_failed_can_be_raised(how):
    """The error names pipeline and step, its cause is what the step raised, and it has the result."""
    with pytest.raises(StepError) as caught:
        how()
    assert str(caught.value) == "step 'fails' failed: ValueError: no luck [pipeline 'etl', step 'fails']"
    assert str(caught.value.__cause__) == "no luck"
    assert caught.value.result.outputs["numbers"] == [0, 1, 2]


def test_a_second_failure_is_in_the_notes_of_the_first():
    """The first of the plan is raised, whichever ended first."""
    other = step(name="other")(lambda numbers: numbers["x"])
    error = run(load, split, fails, other).error
    assert str(error) == "step 'fails' failed: ValueError: no luck [pipeline 'etl', step 'fails']"
    assert error.__notes__ == ["and: step 'other' failed: TypeError: list indices must be integers or slices, not str"]


def test_a_skipped_step_is_a_success_without_an_output():
    """And so is what needs it; the run is completed."""
    result = run(load, large, of_large)
    assert {name: (found.state, found.success, found.skipped) for name, found in result.step_results.items()} == {
        "load": ("ok", True, False), "large": ("skipped", True, True), "of_large": ("skipped", True, True),
    }  # fmt: skip
    assert [result.step_results[name].reason for name in ("large", "of_large")] == [
        "condition '<lambda>' is False",
        "it needs output 'large' of 'large', which was skipped",
    ]
    assert (result.success, dict(result.outputs), "large" in result.outputs) == (True, {"numbers": [0, 1, 2]}, False)


def test_a_plugin_that_fails_at_the_end_costs_no_output(monkeypatch, tmp_path):
    """The error is that of the run, and everything that steps made is there."""
    (tmp_path / "crystallize.toml").write_text('plugins = ["./hooks.py"]\n')
    (tmp_path / "hooks.py").write_text(
        "from crystallize_core import hookimpl\n"
        "@hookimpl\n"
        "def after_run(experiment, result): raise RuntimeError('disk full')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRYSTALLIZE_AUTOLOAD")  # the project counts
    result = run()
    assert (result.success, result["fit"], type(result.error)) == (False, 2, HookError)
    assert str(result.error.__cause__) == "disk full"
    assert all(found.success for found in result.step_results.values())


def test_a_plugin_that_ends_the_run_leaves_steps_that_did_not_run(monkeypatch, tmp_path):
    """There is a result for every step all the same."""
    (tmp_path / "crystallize.toml").write_text('plugins = ["./hooks.py"]\n')
    (tmp_path / "hooks.py").write_text(
        "from crystallize_core import hookimpl\n"
        "@hookimpl\n"
        "def before_step(experiment, step, ctx):\n"
        "    if step.name == 'split': raise RuntimeError('no')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRYSTALLIZE_AUTOLOAD")  # the project counts
    result = run()
    assert {name: (found.state, found.reason) for name, found in result.step_results.items()} == {
        "load": ("ok", None), "split": ("failed", None), "fit": (
            "not run",
            "it was not reached: hook 'before_step' of plugin 'hooks' raised RuntimeError: no",
        ),
    }  # fmt: skip
    assert (result.success, type(result.error), result["numbers"]) == (False, HookError, [0, 1, 2])


def test_an_input_that_no_step_takes_is_said():
    """It may be misspelt, and the default may have been used in its place."""
    result = Pipeline([load]).run(inputs={"path": "a", "sise": 5})
    assert result.record.warnings == ["no step takes the input 'sise'; did you mean 'size'?"]
    assert result.summary().splitlines()[-1] == "  warning: no step takes the input 'sise'; did you mean 'size'?"
    assert run().record.warnings == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interruption_ends_the_run(error):
    """It is no failure of a step."""

    @step
    def stop(train):
        raise error

    with pytest.raises(error):
        run(load, split, stop)


# As text and as JSON -------------------------------------------------------------------------------------


def test_the_summary_is_a_table():
    """What became of each step, with the reasons."""
    lines = run(load, split, fails, after, large).summary().splitlines()
    assert lines[0].startswith("pipeline 'etl': failed in ")
    assert [(line.split()[0], " ".join(line.split()[1:]).partition(" 0.")[0]) for line in lines[1:]] == [
        ("load", "ok"), ("split", "ok"), ("fails", "failed"), ("after", "not run"), ("large", "skipped"),
    ]  # fmt: skip
    assert lines[3].endswith(" s  ValueError: no luck")
    assert lines[4].endswith(" s  it needs output 'fails' of 'fails', which failed")


def test_everything_but_the_outputs_is_json():
    """Also what failed, was skipped and did not run; it is read back as it is."""
    result = run(load, split, fit, fails, after, large)
    stored = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert stored == result.to_dict()
    assert {name: found["state"] for name, found in stored["step_results"].items()} == {
        name: found.state for name, found in result.step_results.items()
    }
    assert {key: stored[key] for key in ("pipeline_name", "run_id", "state", "success", "context", "metrics", "error", "warnings")} == {
        "pipeline_name": "etl", "run_id": result.run_id, "state": "failed", "success": False, "context": {"rate": 2},
        "metrics": {"loss": [0.5]}, "warnings": [],
        "error": "step 'fails' failed: ValueError: no luck [pipeline 'etl', step 'fails']",
    }  # fmt: skip
    assert stored["outputs"]["numbers"] == "[0, 1, 2]"


def test_a_result_survives_pickling():
    """With outputs, errors, lineage and the picture."""
    result = run(load, split, fit, fails, after)
    found = pickle.loads(pickle.dumps(result))
    assert (found.to_dict(), dict(found.outputs)) == (
        {**result.to_dict(), "step_results": found.to_dict()["step_results"]},
        dict(result.outputs),
    )
    assert (type(found.step_results["fails"].exception), found.visualize()) == (ValueError, result.visualize())


# Ways to run ---------------------------------------------------------------------------------------------


def test_awaiting_comes_to_the_same():
    """`arun` on the loop of the caller, `run` where a loop runs already."""

    async def both():
        pipeline = Pipeline("etl", context={"rate": 2}).add_steps(load, split, fit)
        return await pipeline.arun(inputs={"path": "a"}), pipeline.run(inputs={"path": "a"})

    assert [dict(result.outputs) for result in asyncio.run(both())] == [dict(run().outputs)] * 2


def test_data_gives_the_output_of_the_last_step():
    """The form of chains: what comes back is the output, and a failure raises."""
    pipeline = Pipeline([step(lambda data: data + 1), step(lambda data: data * 2)])
    assert pipeline.run(1) == 4
    output, records = pipeline.run(1, FrozenContext(), return_provenance=True)
    assert (output, [record["step"] for record in records]) == (4, ["<lambda>", "<lambda>_2"])
    with pytest.raises(StepError, match=r"^step 'fails' failed: ValueError: no luck"):
        Pipeline([load, split, fails]).run([1], FrozenContext({"path": "a"}))


def test_none_is_data():
    """`run(None)` is given data, `run()` is not."""
    pipeline = Pipeline([step(lambda data=7: data)])
    assert (pipeline.run(None), pipeline.run()["<lambda>"]) == (None, 7)


def test_debugging_says_everything_on_standard_error(capsys):
    """Inputs with their sources, outputs, and what the cache knew; nothing goes to standard output."""
    run(load, fails, debug=True, context={"train": [1]})
    out, err = capsys.readouterr()
    lines = [line if not line.startswith("step ") else line.partition(" in ")[0] for line in err.splitlines()]
    assert (out, lines) == (
        "",
        [
            "step load: ok",
            "  path ← input = 'a.csv'",
            "  size ← default = 3",
            "  cache: a miss: it has not run before",
            "  returns [0, 1, 2]",
            "step fails: failed",
            "  train ← context = [1]",
            "  cache: a miss: it has not run before",
            "  ValueError: no luck",
        ],
    )
