"""`crystallize plugins check` and `ablate`: what becomes of each check, of crashes, and of observers that change results."""

from __future__ import annotations

import json
import os
import sys

import pytest

from crystallize_core.testing.plugins.checks import ALL

pytestmark = pytest.mark.heavy

GOOD = """
    import attrs
    from crystallize_core import BasePlugin


    @attrs.define
    class Meter(BasePlugin):
        size: int = 3
        essential = False

        def after_step(self, step, ctx):
            ctx.emit("stepped", step=step.name)
    """
BAD = """
    import os, time
    from crystallize_core import BasePlugin

    class Meter(BasePlugin):
        def before_run(self, run):
            {body}
    """


def outcomes(result):
    return {check["check"]: (check["outcome"], check["reason"]) for check in json.loads(result.stdout)["checks"]}


def test_a_plugin_that_keeps_the_contract_passes(crystallize, install):
    """Every check is in the table, with what does not apply and why, and the exit code is 0."""
    install("x-meter", {"crystallize.plugins": {"meter": "x_meter:Meter"}}, {"x_meter": GOOD})
    result = crystallize("plugins", "check", "meter")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split()[0] for line in lines[2 : 2 + len(ALL)]] == [check.name for check in ALL]
    assert "step_options_have_types was skipped: the plugin does not implement step_options" in lines
    assert lines[-1].startswith("plugin 'meter': ")
    assert " 0 failed, " in lines[-1]


def test_a_failed_check_says_why(crystallize, install):
    """With the promise, the reason and the advice; the exit code is 1."""
    code = BAD.format(body='os.environ["METER"] = "on"')
    install("x-meter", {"crystallize.plugins": {"meter": "x_meter:Meter"}}, {"x_meter": code})
    result = crystallize("plugins", "check", "meter", "--only", "it_leaves_the_environment_alone")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "check                            outcome",
        "-------------------------------  -------",
        "it_leaves_the_environment_alone  failed",
        "",
        "it_leaves_the_environment_alone failed: The environment variables are what they were after each hook.",
        "  hook 'before_run' has changed it: METER: nothing became 'on'",
        "  give a subprocess an environment of its own instead",
        "",
        "plugin 'meter': 0 passed, 1 failed, 0 skipped",
    ]
    assert "METER" not in os.environ


def test_the_options_that_it_has_here_count(crystallize, install, write):
    """Those of the project, and over them those of the command line."""
    code = """
    import attrs
    from crystallize_core import BasePlugin

    @attrs.define
    class Meter(BasePlugin):
        size: int

        def before_run(self, run):
            raise RuntimeError(f"size {self.size}")
    """
    install("x-meter", {"crystallize.plugins": {"meter": "x_meter:Meter"}}, {"x_meter": code})
    write("crystallize.toml", "plugins = []\n[options.meter]\nsize = 5\n")
    only = ("--only", "hooks_do_not_fail_by_themselves", "--json")
    assert "size 5" in outcomes(crystallize("plugins", "check", "meter", *only))[only[1]][1]
    assert "size 7" in outcomes(crystallize("plugins", "check", "meter", "-o", "meter.size=7", *only))[only[1]][1]


def test_a_crash_costs_one_check(crystallize, install):
    """The process is gone, and what was checked next is checked in another one."""
    code = BAD.format(body='import sys; print("about to fall", flush=True); run.conditions[1:] or os._exit(7)')
    install("x-meter", {"crystallize.plugins": {"meter": "x_meter:Meter"}}, {"x_meter": code})
    wanted = ("it_repeats_itself", "it_works_without_treatments", "it_takes_any_name")
    result = crystallize("plugins", "check", "meter", "--json", *(part for name in wanted for part in ("--only", name)))
    assert result.exit_code == 1
    assert outcomes(result) == {
        "it_repeats_itself": ("passed", ""),
        "it_works_without_treatments": (
            "failed",
            "the process ended with exit code 7; it said last: " + "\n".join(["about to fall"] * 3),
        ),
        "it_takes_any_name": ("passed", ""),
    }


def test_a_plugin_that_hangs_is_ended(crystallize, install):
    """After so many seconds, with a message instead of a traceback."""
    code = BAD.format(body="time.sleep(3600)")
    install("x-meter", {"crystallize.plugins": {"meter": "x_meter:Meter"}}, {"x_meter": code})
    result = crystallize("plugins", "check", "meter", "--only", "it_repeats_itself", "--timeout", "8", "--json")
    assert outcomes(result) == {"it_repeats_itself": ("failed", "the process was ended after 8 seconds")}


@pytest.mark.parametrize("code", ["raise RuntimeError('not today')", "import sys; sys.exit(3)", "class Other: pass"])
def test_a_plugin_that_cannot_be_imported_is_one_failure(crystallize, install, code):
    """All other checks are left out, for that reason."""
    install("x-meter", {"crystallize.plugins": {"meter": "x_meter:Meter"}}, {"x_meter": code})
    found = outcomes(crystallize("plugins", "check", "meter", "--json"))
    assert found["it_can_be_made"][0] == "failed"
    assert "cannot be imported" in found["it_can_be_made"][1]
    assert {found[check.name] for check in ALL[1:]} == {("skipped", "the plugin cannot be made")}


def test_what_a_plugin_prints_is_not_mixed_into_the_json(crystallize, install):
    """Standard output has the JSON and nothing else."""
    code = BAD.format(body='print("hello")')
    install("x-meter", {"crystallize.plugins": {"meter": "x_meter:Meter"}}, {"x_meter": code})
    result = crystallize("plugins", "check", "meter", "--only", "it_repeats_itself", "--json")
    assert json.loads(result.stdout) == {
        "plugin": "meter",
        "passed": 1,
        "failed": 0,
        "skipped": 0,
        "checks": [
            {
                "check": "it_repeats_itself",
                "promise": "Two runs with it have the same digest.",
                "outcome": "passed",
                "reason": "",
            }
        ],
    }


def test_an_executor_is_checked_as_a_plugin(crystallize, install):
    """What the kit for executors tests is left out."""
    code = """
    from crystallize_core import BasePlugin

    class Loop(BasePlugin):
        concurrency = "serial"

        def run_experiment_loop(self, experiment, replicate_fn):
            return [replicate_fn(number) for number in replicate_fn.pending if not replicate_fn.stopped]
    """
    install("x-loop", {"crystallize.executors": {"loop": "x_loop:Loop"}}, {"x_loop": code})
    result = crystallize(
        "plugins", "check", "loop", "--only", "threads_come_to_the_same", "--only", "it_repeats_itself", "--json"
    )
    assert outcomes(result) == {
        "it_repeats_itself": ("passed", ""),
        "threads_come_to_the_same": (
            "skipped",
            "the plugin is an executor itself: test it with ExecutorConformance",
        ),
    }


def test_an_unknown_name_is_refused(crystallize, install):
    """With a suggestion, and exit code 2."""
    install("x-meter", {"crystallize.plugins": {"meter": "x_meter:Meter"}}, {"x_meter": GOOD})
    result = crystallize("plugins", "check", "metre")
    assert result.exit_code == 2
    assert "there is no plugin and no executor 'metre' installed; did you mean 'meter'?" in result.output


def test_an_unknown_check_is_refused(crystallize, install):
    """The same."""
    install("x-meter", {"crystallize.plugins": {"meter": "x_meter:Meter"}}, {"x_meter": GOOD})
    result = crystallize("plugins", "check", "meter", "--only", "it_repeats_itsel")
    assert result.exit_code == 2
    assert "there is no check 'it_repeats_itsel'; did you mean 'it_repeats_itself'?" in result.output


def test_pytest_is_not_needed(install, project):
    """The command runs where it is not installed."""
    install("x-meter", {"crystallize.plugins": {"meter": "x_meter:Meter"}}, {"x_meter": GOOD})
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from crystallize_core.testing.plugins.checks import ALL\n"
        "from crystallize_core.testing.plugins.installed import check_installed\n"
        "print([report.outcome for report in check_installed('meter', ['it_repeats_itself'])])"
    )
    import subprocess

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "['passed']\n", done.stderr


# ablate -----------------------------------------------------------------------------------------------

STUDY = """
    from crystallize_core import BasePlugin, Experiment, Pipeline


    class Quiet(BasePlugin):
        essential = False

        def after_step(self):
            print("looking")


    class Loud(BasePlugin):
        essential = False

        def before_replicate(self, ctx):
            ctx.record("seen", 1)


    class Needed(BasePlugin):
        def after_step(self):
            pass


    def study(*plugins):
        return Experiment(lambda ctx: 1, [lambda data: (data, {"one": data})], [Needed(), *plugins], autoload=False)


    quiet, loud = study(Quiet()), study(Quiet(), Loud())
    pipeline = Pipeline([lambda data: data])
    """


def test_an_observer_that_changes_nothing(crystallize, write):
    """Both digests are the same, and the exit code is 0."""
    write("study.py", STUDY)
    result = crystallize("plugins", "ablate", "study.py:quiet", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (found["same"], found["without"][0]["digest"]) == (True, found["digest"])
    assert [entry["plugin"] for entry in found["without"]] == ["quiet"]


def test_an_observer_that_changes_the_result(crystallize, write):
    """What differs first is said, and the exit code is 1."""
    write("study.py", STUDY)
    result = crystallize("plugins", "ablate", "study.py:loud", "--replicates", "1")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[1] == "without 'quiet' (local): the same"
    assert lines[3] == "  replicate 0, condition 'baseline', metric 'seen': 1 with 'loud', nothing without it"


def test_one_observer_by_name(crystallize, write):
    """The others stay."""
    write("study.py", STUDY)
    found = json.loads(crystallize("plugins", "ablate", "study.py:loud", "quiet", "--json").stdout)
    assert [(entry["plugin"], entry["differences"]) for entry in found["without"]] == [("quiet", [])]


def test_what_cannot_be_left_out_is_refused(crystallize, write):
    """An essential plugin, one that is not there, and a pipeline."""
    write("study.py", STUDY)
    results = [
        crystallize("plugins", "ablate", *words)
        for words in (["study.py:quiet", "needed"], ["study.py:quiet", "quite"], ["study.py:pipeline"])
    ]
    assert [result.exit_code for result in results] == [2, 2, 2]
    assert "plugin 'needed' is essential and may change the result" in results[0].output
    assert (
        "there is no plugin 'quite' in the stack of experiment 'experiment'; did you mean 'quiet'?" in results[1].output
    )
    assert "study.py:pipeline is a pipeline" in results[2].output
