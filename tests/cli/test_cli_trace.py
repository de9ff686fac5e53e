"""`crystallize run --trace-hooks`, `CRYSTALLIZE_TRACE_HOOKS` and `crystallize plugins profile`."""

from __future__ import annotations

import json
import re

import pytest

STUDY = """
from concurrent.futures import ThreadPoolExecutor

from crystallize_core import BasePlugin, Experiment, Treatment, pipeline_step
from crystallize_core.remote import payload_of, run_chunk, take
from crystallize_core.schedule import Schedule


class Watches(BasePlugin):
    plugin_name = "watches"
    essential = False

    def before_run(self, run): ...

    def before_replicate(self, ctx): ...

    def after_step(self, step, ctx): ...

    def replicate_done(self, replicate): ...


class Fails(BasePlugin):
    plugin_name = "fails"
    essential = False

    def replicate_done(self, replicate):
        if replicate == 1:
            raise ValueError("enough\\nof it")


class Threads(BasePlugin):
    plugin_name = "threads"
    concurrency = "thread"

    def run_experiment_loop(self, experiment, replicate_fn):
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(replicate_fn, replicate_fn.pending))


class Processes(BasePlugin):
    plugin_name = "processes"
    concurrency = "process"

    def run_experiment_loop(self, experiment, replicate_fn):
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        payload = payload_of(replicate_fn)
        schedule = Schedule(replicate_fn.pending, workers=1, max_deaths=3)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            while chunk := schedule.next_chunk([]):
                take(replicate_fn, pool.submit(run_chunk, payload, list(chunk)).result(), schedule)
        return []


@pipeline_step()
def double(data, ctx):
    return data, {"x": 2 * data}


def source(ctx):
    return 1


def made(*plugins):
    return Experiment(
        datasource=source,
        pipeline=[double],
        treatments=[Treatment("other", {"key": 1})],
        replicates=2,
        plugins=[Watches(), *plugins],
        autoload=False,
        name="study",
    )


def plain():
    return made(Fails())


def threads():
    return made(Threads())


def processes():
    return made(Processes())
"""
LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{6} pid (\d+)  (\w+)  (\w+)(?:  \[(.*)\])?  (.+)")


@pytest.fixture
def study(write):
    """A module, so that workers can import it."""
    return write("cli_traced_study.py", STUDY)


def _lines(text):
    """Process, hook, plugin, address and the rest of each line; every line is whole."""
    found = [LINE.fullmatch(line) for line in text.splitlines() if " pid " in line]
    assert None not in found
    return [match.groups() for match in found]


def test_every_call_has_a_line(in_shell, study):
    """With hook, plugin and address, in the order of the calls; what was raised is said in the same line."""
    done = in_shell("run", "cli_traced_study:plain", "--trace-hooks")
    lines = _lines(done.stderr)
    assert [line[1:4] for line in lines] == [
        ("before_run", "watches", None),
        *(
            call
            for replicate in (0, 1)
            for call in [
                *(
                    call
                    for condition in ("baseline", "other")
                    for call in [
                        ("before_replicate", "watches", f"replicate {replicate}, condition '{condition}'"),
                        (
                            "after_step",
                            "watches",
                            f"replicate {replicate}, condition '{condition}', step 'double', attempt 1",
                        ),
                    ]
                ),
                ("replicate_done", "watches", f"replicate {replicate}"),
                ("replicate_done", "fails", f"replicate {replicate}"),
            ]
        ),
    ]
    times = [re.fullmatch(r"\d+\.\d{3} ms(.*)", line[4]) for line in lines]
    assert [match[1] for match in times] == [*[""] * 12, "  raised ValueError: enough of it"]
    assert len({line[0] for line in lines}) == 1


def test_nothing_is_written_unless_it_is_asked_for(in_shell, study):
    """Standard error is empty."""
    assert in_shell("run", "cli_traced_study:plain").stderr == ""


def test_the_lines_of_threads_are_whole(in_shell, study):
    """And the executor says that it begins."""
    lines = _lines(in_shell("run", "cli_traced_study:threads", "--trace-hooks").stderr)
    executor = [line[4] for line in lines if line[1] == "run_experiment_loop"]
    assert executor[0] == "begins"
    assert executor[1].endswith(" ms")
    assert sum(line[1] == "after_step" for line in lines) == 4


def test_lines_of_workers_appear_too(in_shell, study):
    """With their own process."""
    lines = _lines(in_shell("run", "cli_traced_study:processes", "--trace-hooks").stderr)
    by_hook = {}
    for process, hook, *_ in lines:
        by_hook.setdefault(hook, set()).add(process)
    assert by_hook["before_run"] == by_hook["replicate_done"]
    assert by_hook["after_step"] == by_hook["before_replicate"]
    assert by_hook["after_step"].isdisjoint(by_hook["before_run"])
    assert sum(line[1] == "after_step" for line in lines) == 4


def test_the_variable_does_the_same_for_a_script(in_shell, study, monkeypatch):
    """And a wrong value is refused."""
    monkeypatch.setenv("CRYSTALLIZE_TRACE_HOOKS", "1")
    assert len(_lines(in_shell("run", "cli_traced_study:plain").stderr)) == 13
    monkeypatch.setenv("CRYSTALLIZE_TRACE_HOOKS", "perhaps")
    done = in_shell("run", "cli_traced_study:plain")
    assert done.returncode == 2
    assert "environment variable CRYSTALLIZE_TRACE_HOOKS: expected 1 or 0, found 'perhaps'" in done.stderr


def test_json_is_all_of_standard_output(in_shell, study):
    """The lines go to standard error."""
    done = in_shell("run", "cli_traced_study:plain", "--trace-hooks", "--json")
    assert json.loads(done.stdout)["run"]["info"]["experiment"] == "study"
    assert len(_lines(done.stderr)) == 13


# Profiles -------------------------------------------------------------------------------------------


def _profile(done):
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    return found, {
        (c["plugin"], c["hook"]): (c["side"], c["processes"], c["calls"], c["failed"]) for c in found["costs"]
    }


HERE = {
    ("watches", "before_run"): ("coordinator", 1, 1, 0),
    ("watches", "replicate_done"): ("coordinator", 1, 2, 0),
}


@pytest.mark.parametrize(
    ("target", "executor", "side"),
    [("plain", None, "coordinator"), ("threads", "threads", "coordinator"), ("processes", "processes", "workers")],
)
def test_a_profile_counts_calls_wherever_they_are_made(in_shell, study, target, executor, side):
    """The times of workers come back with the outcomes."""
    found, costs = _profile(in_shell("plugins", "profile", f"cli_traced_study:{target}", "--json"))
    assert (found["experiment"], found["replicates"], found["executor"], found["failed"]) == ("study", 2, executor, 0)
    loop = {} if executor is None else {(executor, "run_experiment_loop"): ("coordinator", 1, 1, 0)}
    expected = {("watches", "before_replicate"): (side, 1, 4, 0), ("watches", "after_step"): (side, 1, 4, 0)}
    fails = {("fails", "replicate_done"): ("coordinator", 1, 2, 1)} if executor is None else {}
    assert costs == {**HERE, **fails, **loop, **expected}


def test_the_numbers_of_a_profile_fit_together(in_shell, study):
    """Mean, maximum, total and share; the most expensive first, the executor last."""
    found, _ = _profile(in_shell("plugins", "profile", "cli_traced_study:threads", "--replicates", 3, "--json"))
    *costs, executor = found["costs"]
    assert (executor["hook"], executor["share"]) == ("run_experiment_loop", None)
    assert [cost["seconds"] for cost in costs] == sorted((cost["seconds"] for cost in costs), reverse=True)
    for cost in costs:
        assert cost["mean"] == pytest.approx(cost["seconds"] / cost["calls"])
        assert cost["mean"] <= cost["longest"] <= cost["seconds"]
        assert cost["share"] == pytest.approx(cost["seconds"] / found["seconds"])
    assert found["replicates"] == 3


def test_a_profile_as_text(in_shell, study):
    """A table, and what failed below it."""
    lines = in_shell("plugins", "profile", "cli_traced_study:plain").stdout.splitlines()
    assert re.fullmatch(r"study: 2 replicates, \d+\.\d{3} s, executor none", lines[0])
    assert lines[2].split() == ["plugin", "hook", "in", "calls", "total", "ms", "mean", "ms", "max", "ms", "share"]
    assert {line.split()[1] for line in lines[4:9]} == {
        "before_run",
        "before_replicate",
        "after_step",
        "replicate_done",
    }
    assert re.fullmatch(r"all hooks but the executor's: \d+\.\d% of the time of the run", lines[10])
    assert lines[11:] == ["replicate_done of fails raised 1 times"]


def test_a_pipeline_has_a_profile_too(in_shell, write):
    """With its inputs and values."""
    write(
        "flow.py",
        """
        from crystallize_core import Pipeline, step

        @step(outputs=["b"])
        def add(a, by=1):
            return a + by

        flow = Pipeline.from_steps(add, name="flow")
        """,
    )
    write(
        "hooks.py",
        """
        from crystallize_core import BasePlugin

        class Watches(BasePlugin):
            def after_step(self): ...
        """,
    )
    write("crystallize.toml", 'plugins = ["./hooks.py"]\n')
    done = in_shell("plugins", "profile", "flow.py", "--input", "a=1", "--set", "by=2", "--json")
    found, costs = _profile(done)
    assert (found["experiment"], found["replicates"]) == ("flow", 1)
    assert costs[("watches", "after_step")] == ("coordinator", 1, 1, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("study.py", "--input", "a=1"), "--input goes with a pipeline, and the target is 'study', which is none"),
        (("nothing.py",), "there is no file nothing.py"),
    ],
)
def test_mistakes_are_one_message(crystallize, experiment_file, arguments, message):
    """With exit code 2."""
    done = crystallize("plugins", "profile", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
