"""`crystallize run`: what it prints, which options there are, and the exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from crystallize_core import Result

PLAIN = """
from crystallize_core import Experiment
experiment = Experiment(lambda ctx: 1, [lambda data: data])
"""


def _totals(output):
    """The metric `total` of each condition, from JSON."""
    result = Result.from_dict(json.loads(output))
    return {name: condition.metrics["total"] for name, condition in result.metrics.conditions.items()}


def test_the_result_is_printed_as_it_prints_itself(crystallize, experiment_file):
    """The table, the verdicts, the stack and the digest, and nothing on standard error."""
    done = crystallize("run", experiment_file)
    lines = done.stdout.splitlines()
    assert (done.exit_code, done.stderr) == (0, "")
    assert lines[0].startswith("study: 3 conditions, 2 replicates, ")
    assert lines[2:9] == [
        "condition   total",
        "---------  ------",
        "baseline    6 ± 0",
        "double     12 ± 0",
        "half        3 ± 0",
        "",
        "doubled: double against baseline: supported",
    ]
    assert lines[-1].startswith("digest: ")


def test_json_goes_to_standard_output_alone(crystallize, experiment_file):
    """The JSON is a whole result that can be read back."""
    done = crystallize("run", experiment_file, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert _totals(done.stdout) == {"baseline": [6.0, 6.0], "double": [12.0, 12.0], "half": [3.0, 3.0]}


def test_what_steps_print_does_not_disturb_json(in_shell, write):
    """Neither `print` nor what is written to the descriptor reaches standard output."""
    write(
        "noisy.py",
        """
        import os
        from crystallize_core import Experiment

        print("while it is loaded")


        def step(data):
            print("while it runs")
            os.write(1, b"past Python\\n")
            return data, {"total": data}


        experiment = Experiment(lambda ctx: 1, [step], autoload=False)
        """,
    )
    done = in_shell("run", "noisy.py", "--json")
    assert done.returncode == 0
    assert _totals(done.stdout) == {"baseline": [1]}
    assert sorted(done.stderr.splitlines()) == ["past Python", "while it is loaded", "while it runs"]


def test_what_steps_print_is_shown_otherwise(crystallize, write):
    """Without --json a step prints where it always does."""
    write(
        "noisy.py",
        """
        from crystallize_core import Experiment
        experiment = Experiment(lambda ctx: 1, [lambda data: print("while it runs")], autoload=False)
        """,
    )
    assert crystallize("run", "noisy.py").stdout.startswith("while it runs\n")


def test_replicates_are_those_of_the_command_line(crystallize, experiment_file):
    """--replicates replaces the number of the experiment."""
    done = crystallize("run", experiment_file, "--json", "--replicates", 3)
    assert _totals(done.stdout)["baseline"] == [6.0, 6.0, 6.0]


@pytest.mark.parametrize("replicates", ["0", "-1", "three", "1.5"])
def test_replicates_that_are_no_number_from_1_are_refused(crystallize, experiment_file, replicates):
    """Nothing runs."""
    done = crystallize("run", experiment_file, "--replicates", replicates)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--replicates" in done.stderr


def test_a_treatment_is_chosen_by_name(crystallize, experiment_file):
    """The others are left out, and so are the hypotheses that speak of them alone."""
    done = crystallize("run", experiment_file, "--json", "--treatment", "half")
    result = Result.from_dict(json.loads(done.stdout))
    assert done.exit_code == 0
    assert list(result.metrics.conditions) == ["baseline", "half"]
    assert [hypothesis.name for hypothesis in result.metrics.hypotheses] == ["halved"]


def test_baseline_alone_compares_nothing(crystallize, experiment_file):
    """`--treatment baseline` is a run without treatments."""
    done = crystallize("run", experiment_file, "--json", "--treatment", "baseline")
    assert _totals(done.stdout) == {"baseline": [6.0, 6.0]}


def test_an_unknown_treatment_is_refused_with_a_suggestion(crystallize, experiment_file):
    """One message, no traceback, exit code 2."""
    done = crystallize("run", experiment_file, "--treatment", "duoble")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "error: there is no treatment 'duoble'; did you mean 'double'? [experiment 'study']\n"


def test_an_executor_that_is_not_installed_is_refused(crystallize, experiment_file):
    """The message names it."""
    done = crystallize("run", experiment_file, "--executor", "clutser")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "executor 'clutser' is not installed" in done.stderr


def test_an_executor_is_used_by_name(crystallize, write, install):
    """Executors are found by their entry points."""
    install(
        "backwards",
        {"crystallize.executors": {"backwards": "backwards_executor:Backwards"}},
        {
            "backwards_executor": """
            from crystallize_core import BasePlugin

            class Backwards(BasePlugin):
                def run_experiment_loop(self, experiment, replicate_fn):
                    print("backwards")
                    return [replicate_fn(n) for n in reversed(range(experiment.replicates))][::-1]
            """
        },
    )
    write(
        "plain.py",
        """
        from crystallize_core import Experiment
        experiment = Experiment(lambda ctx: 1, [lambda data: (data, {"total": data})])
        """,
    )
    done = crystallize("run", "plain.py", "--executor", "backwards", "--replicates", 2)
    assert done.exit_code == 0
    assert done.stdout.startswith("backwards\nexperiment: ")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("2.5", 2.5),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ('{"a": null}', {"a": None}),
        ("fast", "fast"),
        ("", ""),
    ],
)
def test_a_setting_is_read_as_toml_or_json_and_else_as_text(crystallize, write, text, value):
    """The value arrives with its type."""
    write(
        "show.py",
        """
        from crystallize_core import Experiment
        experiment = Experiment(
            lambda ctx: None, [lambda data, ctx: print("got", repr(ctx["mode"]))], initial_ctx={"mode": None}, autoload=False
        )
        """,
    )
    done = crystallize("run", "show.py", "--set", f"mode={text}")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == f"got {value!r}"


def test_settings_change_this_run_and_not_the_experiment(crystallize, experiment_file):
    """The next run starts from what the module says."""
    changed = crystallize("run", experiment_file, "--json", "--treatment", "baseline", "--set", "factor=10")
    again = crystallize("run", experiment_file, "--json", "--treatment", "baseline")
    assert _totals(changed.stdout) == {"baseline": [60, 60]}
    assert _totals(again.stdout) == {"baseline": [6.0, 6.0]}


def test_wrong_settings_are_refused_all_at_once(crystallize, experiment_file):
    """No equals sign, a key of the engine, a key that is set twice."""
    wrong = ["--set", "factor", "--set", "replicate=3", "--set", "a=1", "--set", "a=2", "--set", "=5"]
    done = crystallize("run", experiment_file, *wrong)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: --set 'factor': expected key=value",
        "  --set 'replicate=3': 'replicate' is set for each cell and cannot be changed",
        "  --set 'a=2': 'a' is set twice",
        "  --set '=5': expected key=value",
    ]


def test_a_setting_that_nothing_has_asked_for_is_doubted(crystallize, experiment_file):
    """It may be a misspelling, and it may be read by `ctx.get`."""
    done = crystallize("run", experiment_file, "--json", "--treatment", "baseline", "--set", "offset=1")
    assert _totals(done.stdout) == {"baseline": [7.0, 7.0]}
    misspelt = crystallize("run", experiment_file, "--treatment", "baseline", "--set", "fcator=3")
    assert misspelt.exit_code == 0
    assert misspelt.stderr == (
        "warning: --set fcator: neither initial_ctx nor a parameter has this name, only a step that asks ctx for it "
        "sees it; did you mean 'factor'?\n"
    )


def test_a_setting_that_a_bound_parameter_hides_is_doubted(crystallize, write):
    """What is bound wins, and the user is told."""
    write(
        "bound.py",
        """
        from crystallize_core import Experiment, pipeline_step

        @pipeline_step()
        def scale(data, *, factor=1):
            return data, {"total": data * factor}

        experiment = Experiment(lambda ctx: 1, [scale(factor=5)], autoload=False)
        """,
    )
    done = crystallize("run", "bound.py", "--json", "--set", "factor=2")
    assert _totals(done.stdout) == {"baseline": [5]}
    assert done.stderr == "warning: --set factor: step 'scale' has 'factor' bound, and what is bound wins\n"


def test_a_profile_is_in_force_before_the_file_is_loaded(crystallize, write):
    """The stack of an experiment that is made while the file is loaded has the profile's options."""
    write("crystallize.toml", 'plugins = []\n[profiles.ci]\nplugins = ["./hooks.py"]\n')
    write(
        "hooks.py",
        """
        from crystallize_core import hookimpl

        @hookimpl
        def after_run(result):
            print("from the profile")
        """,
    )
    for name in ("without.py", "made.py"):
        write(name, PLAIN)
    assert "from the profile" not in crystallize("run", "without.py").stdout
    assert crystallize("run", "made.py", "--profile", "ci").stdout.startswith("from the profile\n")


def test_an_unknown_profile_is_refused(crystallize, write):
    """The message names the profiles."""
    write("crystallize.toml", "plugins = []\n[profiles.quick]\n")
    write("made.py", PLAIN)
    done = crystallize("run", "made.py", "--profile", "quik")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no profile 'quik'; did you mean 'quick'?" in done.stderr


def test_the_result_is_written_to_a_file(crystallize, experiment_file, project):
    """--output has the same result that is printed."""
    done = crystallize("run", experiment_file, "--output", "result.json")
    assert done.stdout.splitlines()[-1] == f"digest: {Result.from_json(project / 'result.json').digest}"
    assert sorted(path.name for path in project.iterdir() if path.is_file()) == ["result.json", "study.py"]


def test_an_output_that_cannot_be_written_is_refused_before_anything_runs(crystallize, write, project):
    """An hour of work is not thrown away for a misspelt folder."""
    write("made.py", "raise SystemExit('it was loaded')")
    for output in ("nowhere/result.json", project):
        done = crystallize("run", "made.py", "--output", output)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "--output" in done.stderr


@pytest.mark.parametrize(("which", "count"), [("first", 1), ("all", 2), ("none", 0)])
def test_provenance_is_kept_as_asked(crystallize, experiment_file, which, count):
    """Of the first replicate, of all, or of none."""
    done = crystallize("run", experiment_file, "--json", "--provenance", which)
    assert len(json.loads(done.stdout)["provenance"].get("baseline", {})) == count


def test_failed_cells_give_exit_code_1_and_the_rest_of_the_result(crystallize, write):
    """The result is printed, and standard error says where the first failure came from."""
    path = write(
        "failing.py",
        """
        from crystallize_core import Experiment

        def fail_once(data, ctx):
            if ctx["replicate"] == 1:
                raise ValueError("no such luck")
            return data, {"total": data}

        experiment = Experiment(lambda ctx: 1, [fail_once], replicates=3, autoload=False)
        """,
    )
    done = crystallize("run", "failing.py")
    assert done.exit_code == 1
    assert "1 cells failed:" in done.stdout
    assert "no such luck" in done.stdout
    assert done.stderr == f'the first failure came from File "{path}", line 6, in fail_once\n'
    assert "Traceback (most recent call last)" in crystallize("--traceback", "run", "failing.py").stderr


def test_a_failed_verifier_gives_exit_code_1(crystallize, write):
    """A verdict that is missing is a failure, too."""
    write(
        "unverified.py",
        """
        from crystallize_core import Experiment, Hypothesis, Treatment
        experiment = Experiment(
            lambda ctx: 1,
            [lambda data: (data, {"total": data})],
            treatments=[Treatment("other")],
            hypotheses=[Hypothesis(lambda b, t: {}["p"], name="claim")],
            autoload=False,
        )
        """,
    )
    done = crystallize("run", "unverified.py")
    assert done.exit_code == 1
    assert "claim: other against baseline: not verified" in done.stdout


def test_an_essential_plugin_that_fails_here_loses_nothing(crystallize, write):
    """The result so far is printed, then the error."""
    write(
        "plugged.py",
        """
        from crystallize_core import BasePlugin, Experiment

        class Broken(BasePlugin):
            def after_run(self, result):
                raise OSError("the disk is full")

        experiment = Experiment(lambda ctx: 1, [lambda data: (data, {"total": data})], [Broken()], autoload=False)
        """,
    )
    done = crystallize("run", "plugged.py", "--json")
    assert done.exit_code == 1
    assert _totals(done.stdout) == {"baseline": [1]}
    assert done.stderr.startswith("error: ")
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_experiment_that_cannot_run_is_one_message(crystallize, write):
    """Nothing has run, and there is no traceback unless it is asked for."""
    write(
        "unfilled.py",
        """
        from crystallize_core import Experiment
        experiment = Experiment(lambda ctx: 1, [lambda data, *, nobody_fills_this: data], autoload=False)
        """,
    )
    done = crystallize("run", "unfilled.py")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "nobody_fills_this" in done.stderr
    assert "Traceback" not in done.stderr
    asked = crystallize("--traceback", "run", "unfilled.py")
    assert asked.exit_code == 2
    assert asked.stderr.startswith("Traceback (most recent call last):")


def test_a_bug_of_ours_keeps_its_traceback(crystallize, experiment_file, monkeypatch):
    """What is not a mistake of the user is not made pretty."""

    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(Result, "__str__", broken)
    done = crystallize("run", experiment_file)
    assert isinstance(done.exception, ZeroDivisionError)


@pytest.mark.filterwarnings("default")
def test_a_broken_installed_plugin_is_told_of_where_the_run_is_refused(crystallize, write, install):
    """It may be why; otherwise it stands in the result."""
    install(
        "broken", {"crystallize.plugins": {"broken": "broken_module:Plugin"}}, {"broken_module": "import nothing_here"}
    )
    write(
        "unclaimed.py",
        """
        from crystallize_core import Experiment, pipeline_step

        @pipeline_step(unheard_of=3)
        def step(data):
            return data

        experiment = Experiment(lambda ctx: 1, [step])
        """,
    )
    done = crystallize("run", "unclaimed.py")
    assert (done.exit_code, done.stdout) == (2, "")
    warning, _, error = done.stderr.partition("\n")
    assert warning.startswith("warning: installed plugin 'broken' of broken 1.2 is skipped: ")
    assert error.startswith("error: ")
    assert "unheard_of" in error


@pytest.mark.filterwarnings("default")
def test_a_broken_installed_plugin_is_noted_once_in_the_result(crystallize, write, install):
    """An unrelated run goes on."""
    install(
        "broken", {"crystallize.plugins": {"broken": "broken_module:Plugin"}}, {"broken_module": "import nothing_here"}
    )
    write("plain.py", PLAIN)
    done = crystallize("run", "plain.py")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.count("warning: installed plugin 'broken'") == 1


INTERRUPTED = """
from crystallize_core import Experiment

def stop(data, ctx):
    if ctx["replicate"] == 2:
        raise KeyboardInterrupt
    return data, {"total": data}

experiment = Experiment(lambda ctx: 1, [stop], replicates=5, autoload=False)
"""


def test_after_an_interruption_what_was_finished_is_printed(crystallize, write):
    """The exit code is that of a shell, and standard error says what is kept."""
    write("long.py", INTERRUPTED)
    done = crystallize("run", "long.py", "--json", "--output", "result.json")
    assert done.exit_code == 130
    assert _totals(done.stdout) == {"baseline": [1, 1]}
    assert done.stderr == ("interrupted: 2 of 5 replicates were finished and are in the result, with their verdicts\n")
    assert json.loads(done.stdout) == json.loads((write("x", "").parent / "result.json").read_text(encoding="utf-8"))


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_in_a_terminal_gives_the_partial_result(write, project):
    """The same with a real signal."""
    write(
        "long.py",
        """
        import time
        from crystallize_core import Experiment

        def wait(data, ctx):
            if ctx["replicate"] == 1:
                print("waiting", flush=True)
                time.sleep(60)
            return data, {"total": data}

        experiment = Experiment(lambda ctx: 1, [wait], replicates=3, autoload=False)
        """,
    )
    command = [sys.executable, "-m", "crystallize_core", "run", "long.py"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "waiting\n"
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "(interrupted)" in out
    assert err == "interrupted: 1 of 3 replicates were finished and are in the result, with their verdicts\n"


def test_ctrl_c_before_anything_ran_leaves_no_traceback(crystallize, write):
    """While the file is loaded there is nothing to keep."""
    write("slow.py", "raise KeyboardInterrupt")
    done = crystallize("run", "slow.py")
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "interrupted\n")
