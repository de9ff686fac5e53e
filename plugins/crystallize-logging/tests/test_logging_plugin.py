"""`LoggingPlugin` in experiments: which lines there are, and where they go."""

import json
import logging
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog

from crystallize_core import BasePlugin, DataSource, Experiment, Hypothesis, Treatment, WiringError, pipeline_step
from crystallize_logging import LoggingPlugin


class Rows(DataSource):
    def fetch(self, ctx):
        return [1, 2, 3]


def total(data, ctx):
    ctx.logger.info("summing", rows=len(data))
    ctx.logger.debug("not shown")
    ctx.record("total", sum(data) + ctx["replicate"])
    return data


def failing(data, ctx):
    if ctx["condition"] == "other":
        raise ValueError("bad data")
    return data


def is_greater(baseline, treatment):
    return {"p_value": 0.5}


def experiment(*plugins, steps=(total,), **settings):
    settings = {"replicates": 1, "treatments": [Treatment("other", {"x": 1})], **settings}
    return Experiment(Rows(), list(steps), plugins=list(plugins), name="demo", autoload=False, **settings)


@pytest.fixture
def records(capsys):
    """The JSON lines on standard error, without what differs from run to run."""

    def read():
        return [without_times(line) for line in capsys.readouterr().err.splitlines()]

    return read


def without_times(line):
    found = json.loads(line)
    for key in ("timestamp", "run", "seconds"):
        found.pop(key, None)
    return found


def cell(condition, **more):
    return {"experiment": "demo", "replicate": 0, "condition": condition, **more}


def begun(**more):
    given = {"replicates": 1, "treatments": ["other"], "hypotheses": [], **more}
    return {"level": "info", "event": "run started", "experiment": "demo", **given}


def ended(**more):
    return {"level": "info", "event": "run finished", "experiment": "demo", "errors": 0, "best": {}, **more}


def summing(condition):
    where = cell(condition, step="total", attempt=1)
    return {"level": "info", "event": "summing", **where, "rows": 3}


# --- the lines --------------------------------------------------------------------------------------


def test_a_run_says_when_it_starts_and_ends(records):
    """And what steps say in between has their address."""
    experiment(LoggingPlugin(format="json")).run()
    assert records() == [begun(), summing("baseline"), summing("other"), ended()]


def test_lines_for_people_are_short(capsys):
    """The address of a cell without what is the same for the whole run."""
    experiment(LoggingPlugin()).run()
    lines = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in capsys.readouterr().err.splitlines()]
    assert [re.sub(r"seconds=[\d.]+", "seconds=…", line) for line in lines] == [
        "[info     ] run started experiment=demo replicates=1 treatments=['other'] hypotheses=[]",
        "[info     ] summing replicate=0 condition=baseline step=total rows=3",
        "[info     ] summing replicate=0 condition=other step=total rows=3",
        "[info     ] run finished experiment=demo seconds=… errors=0 best={}",
    ]


def test_verdicts_and_seeds_are_named(records):
    """The best treatment of each hypothesis, and the seed that some plugin left for its workers."""

    class Seeds(BasePlugin):
        before = ("*",)

        def before_run(self, experiment, run):
            run.shared["seeds"] = {"seed": 7}

    claim = Hypothesis(verifier=is_greater, metrics="total", name="more")
    experiment(LoggingPlugin(format="json"), Seeds(), hypotheses=[claim]).run()
    first, *_, last = records()
    assert first == begun(hypotheses=["more"], seed=7)
    assert last == ended(best={"more": "other"})


def test_verbose_names_every_step(records):
    """With how long it took, as soon as it has finished."""
    experiment(LoggingPlugin(verbose=True, format="json"), treatments=[]).run()
    where = cell("baseline", step="total", attempt=1)
    assert records()[1:-1] == [summing("baseline"), {"level": "info", "event": "step finished", **where}]


def test_steps_that_did_not_run_say_so(records, tmp_path, monkeypatch):
    """Behind an answer of the cache there is no duration."""
    monkeypatch.chdir(tmp_path)

    @pipeline_step(cacheable=True)
    def slow(data, ctx):
        return 1

    definition = experiment(LoggingPlugin(verbose=True, format="json"), steps=[slow], treatments=[])
    definition.run()
    definition.run()
    assert [record["event"] for record in records()] == [
        *("run started", "step finished", "run finished"),
        *("run started", "step answered without running", "run finished"),
    ]


def test_failures_have_an_address(records):
    """One line per failed cell, and the end of the run as a warning."""
    experiment(LoggingPlugin(format="json"), steps=[failing]).run()
    where = cell("other", step="failing", error="ValueError: bad data")
    assert records() == [
        begun(),
        {"level": "error", "event": "cell failed", **where},
        ended(level="warning", errors=1),
    ]


def test_failed_attempts_are_told_of_on_request(records):
    """Only with `verbose`, because a later attempt may succeed."""
    experiment(LoggingPlugin(verbose=True, format="json"), steps=[failing]).run()
    where = cell("other", step="failing", attempt=1, error="ValueError: bad data")
    assert {"level": "warning", "event": "attempt failed", **where} in records()


def test_a_thousand_failures_are_not_a_thousand_lines(records):
    """Ten are named, then they are counted."""
    experiment(LoggingPlugin(format="json"), steps=[failing], replicates=1000).run()
    events = [record["event"] for record in records()]
    assert events[1:-1] == ["cell failed"] * 10 + ["more cells failed; they are counted and no longer named"]


def test_a_datasource_and_a_treatment_have_a_logger_too(records):
    """Wherever there is a `ctx`."""

    def source(ctx):
        ctx.logger.info("fetching")
        return 1

    def change(ctx):
        ctx.logger.info("changing")

    Experiment(
        source,
        [lambda data: data],
        plugins=[LoggingPlugin(format="json")],
        treatments=[Treatment("other", change)],
        name="demo",
        autoload=False,
    ).run()
    assert [(r["event"], r["condition"], r.get("step")) for r in records()[1:-1]] == [
        ("fetching", "baseline", "<datasource>"),
        ("changing", "other", None),
        ("fetching", "other", "<datasource>"),
    ]


# --- levels and options -----------------------------------------------------------------------------


def test_who_did_not_ask_hears_of_failures_only(capsys):
    """Merely installed it is silent, until something is wrong."""
    experiment(LoggingPlugin.autoload()).run()
    assert capsys.readouterr().err == ""
    experiment(LoggingPlugin.autoload(), steps=[failing]).run()
    first, last = (line.split("] ")[1] for line in capsys.readouterr().err.splitlines())
    assert first.startswith("cell failed replicate=0 condition=other step=failing error=")
    assert last.startswith("run finished ")


def test_levels_have_names_in_any_case(records):
    """As people write them."""
    assert LoggingPlugin(log_level="debug").log_level == "DEBUG"
    experiment(LoggingPlugin(log_level="critical", format="json"), steps=[failing]).run()
    assert records() == []


@pytest.mark.parametrize(
    ("level", "hint"),
    [("INFOS", "did you mean 'INFO'?"), ("verbose", "known: 'CRITICAL', 'DEBUG', "), (10, "known: ")],
)
def test_unknown_levels_are_refused(level, hint):
    """The message lists the levels and suggests one."""
    with pytest.raises(ValueError, match="log_level must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL") as failure:
        LoggingPlugin(log_level=level)
    assert hint in str(failure.value)


@pytest.mark.parametrize("options", [{"verbose": "yes"}, {"format": "xml"}, {"file": 3}])
def test_other_options_are_checked(options):
    """Values of the wrong kind do not become something else silently."""
    with pytest.raises((TypeError, ValueError)):
        LoggingPlugin(**options)


def test_steps_are_watched_only_on_request():
    """Without `verbose` nothing is called per step."""
    quiet, verbose = (experiment(LoggingPlugin(verbose)) for verbose in (False, True))
    assert [e.stack.manager.hook.after_step.get_hookimpls() != [] for e in (quiet, verbose)] == [False, True]


# --- files ------------------------------------------------------------------------------------------


def test_a_file_gets_every_line_as_json(tmp_path, capsys):
    """Whatever people see, and appended to what is there."""
    file = tmp_path / "logs" / "run.jsonl"
    for _ in range(2):
        experiment(LoggingPlugin(file=str(file))).run()
    assert [without_times(line) for line in file.read_text(encoding="utf-8").splitlines()] == [
        begun(),
        summing("baseline"),
        summing("other"),
        ended(),
    ] * 2
    assert not capsys.readouterr().err.startswith("{")


def test_lines_that_could_not_be_written_are_told_of(tmp_path, capsys):
    """The run goes on, and its result says what was lost and why."""
    file = tmp_path / "run.jsonl"

    def disturb(data, ctx):
        file.unlink()
        file.mkdir()
        ctx.logger.info("x")
        return data

    result = experiment(LoggingPlugin(file=file), steps=[disturb], treatments=[]).run()
    (warning,) = result.warnings
    assert warning.startswith("log lines were lost: IsADirectoryError: ")
    assert result.errors == {}


def test_a_folder_that_cannot_be_made_stops_no_run(tmp_path):
    """Logging is an observer: it is switched off, and the result says so."""
    tmp_path.joinpath("taken").write_text("", encoding="utf-8")
    result = experiment(LoggingPlugin(file=tmp_path / "taken" / "run.jsonl")).run()
    assert result.metrics.baseline.metrics == {"total": [6]}
    (warning,) = result.warnings
    assert warning.startswith("plugin 'logging' (")
    assert ") was switched off for the rest of the run" in warning


# --- several at once --------------------------------------------------------------------------------


class Threads(BasePlugin):
    concurrency = "thread"

    def run_experiment_loop(self, experiment, replicate_fn):
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(replicate_fn, replicate_fn.pending))


def test_threads_write_whole_lines_with_their_own_address(records):
    """Each line knows its replicate, whichever thread wrote it."""

    def chatty(data, ctx):
        for number in range(20):
            ctx.logger.info("line", number=number, same=ctx["replicate"])
        return data

    experiment(LoggingPlugin(format="json"), Threads(), steps=[chatty], replicates=20, treatments=[]).run()
    lines = records()[1:-1]
    assert all(line["replicate"] == line["same"] for line in lines)
    assert sorted((line["replicate"], line["number"]) for line in lines) == [
        (r, n) for r in range(20) for n in range(20)
    ]


def test_two_runs_at_once_count_their_own_failures(capsys):
    """What one run says has its id, and its own numbers."""
    meet = threading.Barrier(2, timeout=60)

    def step(data, ctx):
        if ctx["replicate"] == 0:
            meet.wait()
        raise ValueError

    definition = experiment(LoggingPlugin(format="json"), steps=[step], replicates=8, treatments=[])
    threads = [threading.Thread(target=definition.run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {}
    for line in capsys.readouterr().err.splitlines():
        record = json.loads(line)
        found.setdefault(record["run"], []).append(record["event"])
    assert list(found.values()) == [["run started", *["cell failed"] * 8, "run finished"]] * 2


SCRIPT = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from crystallize_core import BasePlugin, Experiment
from crystallize_logging import LoggingPlugin


class Processes(BasePlugin):
    concurrency = "process"

    def run_experiment_loop(self, experiment, replicate_fn):
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            return list(pool.map(replicate_fn, replicate_fn.pending))


def source(ctx):
    return 1


def step(data, ctx):
    for number in range(50):
        ctx.logger.info("line", number=number)
    return data


if __name__ == "__main__":
    plugins = [LoggingPlugin(format="json", file="logs/run.jsonl"), Processes()]
    Experiment(source, [step], plugins=plugins, replicates=4, autoload=False).run()
"""


def test_workers_write_whole_lines(tmp_path):
    """Those of other processes arrive on standard error and in the file as they are, and none is missing."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=True)
    in_file = tmp_path.joinpath("logs", "run.jsonl").read_text(encoding="utf-8").splitlines()
    for lines in (done.stderr.splitlines(), in_file):
        records = [json.loads(line) for line in lines]
        assert [records[0]["event"], records[-1]["event"]] == ["run started", "run finished"]
        said = sorted((r["replicate"], r["number"], r["step"]) for r in records[1:-1])
        assert said == [(r, n, "step") for r in range(4) for n in range(50)]
        assert len({r["run"] for r in records}) == 1


# --- manners ----------------------------------------------------------------------------------------


def test_nothing_global_is_changed(capsys):
    """An application's own loggers do not notice."""
    before = list(logging.getLogger().handlers)
    experiment(LoggingPlugin(verbose=True)).run()
    assert not structlog.is_configured()
    assert logging.getLogger().handlers == before
    assert capsys.readouterr().out == ""


def test_structlog_is_loaded_for_the_first_line_and_not_before():
    """A run in which nothing is said does not wait for it."""
    code = """if True:
        import sys
        from crystallize_core import Experiment
        from crystallize_logging import LoggingPlugin
        def step(data, ctx):
            ctx.logger.info("x")
            return data
        for plugin in (LoggingPlugin.autoload(), LoggingPlugin()):
            Experiment(lambda ctx: 1, [step], plugins=[plugin], autoload=False).run()
            print("structlog" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\nTrue\n"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_terminals_get_colours_unless_told_otherwise(monkeypatch):
    """`NO_COLOR` is respected."""
    for value, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", value)
        mine, theirs = os.openpty()
        with os.fdopen(theirs, "w") as stream:
            monkeypatch.setattr(sys, "stderr", stream)
            experiment(LoggingPlugin()).run()
            assert (b"\x1b[" in os.read(mine, 10_000)) is coloured
        os.close(mine)


def test_parameters_that_nothing_fills_are_still_found_before_the_run():
    """The core can read from our code that it adds no keys."""

    @pipeline_step()
    def scale(data, factor):
        return data

    for plugin in (LoggingPlugin(), LoggingPlugin(verbose=True)):
        with pytest.raises(WiringError, match="factor"):
            experiment(plugin, steps=[scale]).validate()


def test_several_instances_each_write_their_own_lines(tmp_path):
    """One `ctx.logger` writes for all of them, each by its own level; what a run does, each says itself."""

    def speak(data, ctx):
        ctx.logger.bind(rows=1).info("quiet")
        ctx.logger.warning("loud")
        return data

    everything = LoggingPlugin(True, "INFO", file=tmp_path / "all.jsonl")
    audit = LoggingPlugin(log_level="WARNING", file=tmp_path / "audit.jsonl").named("audit")
    result = Experiment(lambda ctx: 1, [speak], name="two", plugins=[everything, audit], autoload=False).run()
    assert result.warnings == []
    events = {
        name: [json.loads(line)["event"] for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in ("all", "audit")
    }
    assert events == {"all": ["run started", "quiet", "loud", "step finished", "run finished"], "audit": ["loud"]}
