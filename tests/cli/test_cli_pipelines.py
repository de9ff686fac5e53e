"""`crystallize run` with a pipeline: what it prints, its options and exit codes."""

from __future__ import annotations

import json

import pytest


@pytest.fixture(autouse=True)
def flow(write, monkeypatch, project):
    """A file with one pipeline, and a cache of its own."""
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(project / "cache"))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    return write(
        "flow.py",
        """
        from crystallize_core import Pipeline, context, step


        @step(outputs=["rows"])
        def load(n: int):
            return list(range(n))


        @step(outputs=["total"])
        def add(rows, offset=0):
            return sum(rows) + offset


        @step
        def share(total, parts=2):
            return total / parts


        flow = Pipeline([load, add, share], name="flow", context=context(parts=2))
        """,
    )


def states(done):
    """What became of each step, from JSON."""
    return {name: found["state"] for name, found in json.loads(done.stdout)["step_results"].items()}


def test_the_summary_is_printed(crystallize):
    """One line for the run and one for each step."""
    done = crystallize("run", "flow.py", "--input", "n=4")
    lines = done.stdout.splitlines()
    assert (done.exit_code, done.stderr) == (0, "")
    assert lines[0].startswith("pipeline 'flow': completed in ")
    assert [line.split()[:2] for line in lines[1:]] == [["load", "ok"], ["add", "ok"], ["share", "ok"]]


def test_settings_are_parameters_of_the_run(crystallize):
    """They win over the context of the pipeline."""
    done = crystallize("run", "flow.py:flow", "--input", "n=4", "--set", "offset=4", "--set", "parts=5", "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, done.stderr) == (0, "")
    assert found["outputs"]["share"] == "2.0"


def test_a_setting_that_nothing_takes_is_a_warning(crystallize):
    """With a suggestion."""
    done = crystallize("run", "flow.py", "--input", "n=4", "--set", "ofset=1")
    assert done.exit_code == 0
    assert done.stderr == (
        "warning: --set ofset: neither the context nor a parameter has this name, only a step that asks ctx for it sees "
        "it; did you mean 'offset'?\n"
    )


def test_a_step_that_fails_is_exit_code_1_and_the_rest_is_there(crystallize):
    """The place in the user's code is on standard error; --resume goes on from what was finished."""
    failed = crystallize("run", "flow.py", "--input", "n=4", "--set", "parts=0", "--json")
    assert failed.exit_code == 1
    assert states(failed) == {"load": "ok", "add": "ok", "share": "failed"}
    first, place = failed.stderr.splitlines()
    assert first == "error: step 'share' failed: ZeroDivisionError: division by zero [pipeline 'flow', step 'share']"
    assert place.strip().startswith("File ")
    again = crystallize("run", "flow.py", "--input", "n=4", "--resume", "--json")
    assert (again.exit_code, states(again)) == (0, {"load": "cached", "add": "cached", "share": "ok"})
    assert json.loads(again.stdout)["step_results"]["load"]["resumed"]


def test_a_missing_input_is_a_mistake(crystallize):
    """Nothing runs, and the exit code is 2."""
    done = crystallize("run", "flow.py")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "'n'" in done.stderr


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--replicates", "2"], "--replicates"),
        (["--treatment", "a", "--provenance", "all"], "--treatment, --provenance"),
    ],
)
def test_options_of_experiments_are_refused(crystallize, options, named):
    """They would do nothing."""
    done = crystallize("run", "flow.py", *options)
    assert (done.exit_code, done.stderr) == (
        2,
        f"error: {named} goes with an experiment, and flow.py is pipeline 'flow'\n",
    )


def test_options_of_pipelines_are_refused_for_experiments(crystallize, experiment_file):
    """The same the other way round."""
    done = crystallize("run", experiment_file, "--input", "n=1", "--debug")
    expected = f"error: --input, --debug goes with a pipeline, and {experiment_file} is experiment 'study'\n"
    assert (done.exit_code, done.stderr) == (2, expected)


def test_an_input_that_is_no_pair_is_refused(crystallize):
    """As settings are."""
    done = crystallize("run", "flow.py", "--input", "n")
    assert (done.exit_code, done.stderr) == (2, "error: --input 'n': expected name=value\n")


def test_debug_tells_of_each_step(crystallize):
    """On standard error, so that the summary can be read."""
    done = crystallize("run", "flow.py", "--input", "n=4", "--debug")
    assert "load" in done.stderr
    assert "  cache: a miss: it has not run before" in done.stderr.splitlines()


def test_the_result_can_be_written(crystallize, project):
    """As JSON, beside what is printed."""
    done = crystallize("run", "flow.py", "--input", "n=4", "--output", "out.json")
    assert done.exit_code == 0
    assert json.loads((project / "out.json").read_text())["pipeline_name"] == "flow"


def test_a_function_may_return_a_pipeline(crystallize, write):
    """Named as for experiments; an experiment of the same file is meant where no name is given."""
    write(
        "both.py",
        """
        from crystallize_core import Experiment, Pipeline, step


        @step
        def one():
            return 1


        def build():
            return Pipeline([one], name="built")


        pipeline = build()
        experiment = Experiment(lambda ctx: 1, [lambda data: data], autoload=False)
        """,
    )
    built = crystallize("run", "both.py:build")
    assert (built.exit_code, built.stdout.splitlines()[0][:16]) == (0, "pipeline 'built'")
    assert crystallize("run", "both.py").stdout.startswith("experiment: ")


def test_a_dry_run_shows_the_state_of_each_step(crystallize):
    """With the inputs and settings of a run."""
    crystallize("run", "flow.py", "--input", "n=4")
    done = crystallize("run", "flow.py", "--input", "n=4", "--set", "parts=3", "--dry-run")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        "pipeline 'flow': dry run, no step has run\n"
        "\n"
        "step   state\n"
        "-----  ---------\n"
        "load   cached\n"
        "add    cached\n"
        "share  would run\n"
        "\n"
        "share would run: changed since it ran last: context 'parts': 2 -> 3\n"
    )
