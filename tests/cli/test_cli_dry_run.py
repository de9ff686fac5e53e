"""Dry runs: what the cache would answer, what would run and why; no step is called and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crystallize_core import BasePlugin, Experiment, Pipeline, Treatment, context, pipeline_step, step


def called(name=None):
    """Note the call of a step; the calls so far. In a file, because a list would be a part of the code that changes."""
    file = Path("calls.txt")
    known = file.read_text().split() if file.exists() else []
    if name is not None:
        file.write_text(" ".join([*known, name]))
    return known


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache of its own, and no plugins."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    return tmp_path / "cache"


@pipeline_step(cacheable=True)
def scale(data, *, factor=1.0):
    """Multiply."""
    called("scale")
    return [x * factor for x in data]


@pipeline_step(cacheable=True)
def total(data, ctx):
    """Add up, and leave it for others."""
    called("total")
    ctx.add("sum", sum(data))
    return data


@pipeline_step()
def show(data):
    """Is never cached."""
    called("show")
    return data


def study(*, factor=1.0, doubled=2.0, plugins=(), replicates=2, steps=(scale, total, show)):
    """Two conditions; the data differ between replicates."""
    return Experiment(
        lambda ctx: [1.0, ctx["replicate"]],
        list(steps),
        plugins,
        name="study",
        initial_ctx={"factor": factor},
        treatments=[Treatment("double", {"factor": doubled}, override=True)],
        replicates=replicates,
        autoload=False,
    )


def state_of(found, condition="baseline", replicate=0):
    """What would become of each step of a cell."""
    return {one.step: one.state for one in found.of(condition, replicate)}


def snapshot(folder):
    """All files below a folder with their content."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_with_an_empty_cache_the_first_step_would_run_and_the_rest_is_unknown():
    """Whatever stands on a step that would run cannot be looked up."""
    found = study().dry_run()
    assert state_of(found) == {"scale": "would run", "total": "unknown", "show": "unknown"}
    assert [one.reason for one in found.of("baseline")] == [
        "it has not run before",
        "it depends on step 'scale', which would run",
        "it depends on step 'total', which is unknown itself",
    ]
    assert found.counts() == {"cached": 0, "would run": 4, "unknown": 8, "skipped": 0}
    assert called() == []


def test_a_dry_run_is_what_the_next_run_does():
    """All that is cached is answered, in each condition and replicate."""
    study().run()
    before = called()
    assert {one.state for one in study().dry_run().steps if one.step != "show"} == {"cached"}
    study().run()
    assert called()[len(before) :] == ["show"] * 4


def test_the_value_that_changed_is_shown_old_and_new():
    """Each condition is compared with its own last run."""
    study().run()
    found = study(factor=3.0).dry_run()
    assert found["scale"].changes == ("context 'factor': 1.0 -> 3.0",)
    assert state_of(found, "double") == {"scale": "cached", "total": "cached", "show": "would run"}
    assert study(doubled=5.0).dry_run("double")["scale"].changes == ("context 'factor': 2.0 -> 5.0",)


def test_it_prints_a_table_with_reasons_and_counts():
    """The table shows replicate 0; reasons name the conditions where they differ."""
    study().run()
    assert str(study(factor=3.0).dry_run()) == (
        "study: dry run, no step has run\n"
        "\n"
        "step   baseline   double\n"
        "-----  ---------  ---------\n"
        "scale  would run  cached\n"
        "total  unknown    cached\n"
        "show   unknown    would run\n"
        "\n"
        "scale (baseline) would run: changed since it ran last: context 'factor': 1.0 -> 3.0\n"
        "total (baseline) is unknown: it depends on step 'scale', which would run\n"
        "show (baseline) is unknown: it depends on step 'total', which is unknown itself\n"
        "show (double) would run: it is not to be cached\n"
        "\n"
        "the table shows replicate 0; in all 2 replicates: 4 cached, 4 would run, 4 unknown"
    )


def test_nothing_is_written(folder):
    """Neither entries nor records nor checkpoints."""
    study().dry_run()
    assert not folder.exists()
    study().run()
    before = snapshot(folder)
    study(factor=3.0).dry_run()
    assert snapshot(folder) == before


def test_no_more_than_twenty_replicates_are_looked_at():
    """A run may have thousands."""
    found = study(replicates=50).dry_run()
    assert found.of("baseline", 19)
    assert not found.of("baseline", 20)
    assert str(found).endswith(
        "the table shows replicate 0; in the first 20 of 50 replicates: 40 would run, 80 unknown"
    )


class Watching(BasePlugin):
    """Writes down what it sees."""

    def __init__(self):
        self.seen = []

    def before_run(self, experiment, run):
        self.seen.append(("before_run", run.trial))

    def before_replicate(self, experiment, ctx):
        self.seen.append(("before_replicate", ctx["condition"]))

    def before_step(self, experiment, step, ctx):
        self.seen.append(("before_step", step.name))

    def after_run(self, experiment, result):
        self.seen.append(("after_run", result.run.interrupted))


def test_plugins_see_a_trial_and_no_step():
    """What depends on them, such as seeds, is as in a run; and nothing was interrupted."""
    plugin = Watching()
    study(plugins=[plugin]).dry_run("double", replicate=1)
    assert plugin.seen == [("before_run", True), ("before_replicate", "double"), ("after_run", False)]


def test_data_that_cannot_be_fetched_are_said():
    """There is nothing else to say of such a cell."""

    def broken(ctx):
        raise OSError("the disk is gone")

    found = Experiment(broken, [scale], autoload=False).dry_run()
    assert found.steps == ()
    assert [str(error) for error in found.errors.values()] == [
        "the datasource failed: OSError: the disk is gone [experiment 'experiment', replicate 0, condition 'baseline']"
    ]


@step(outputs=["rows"])
def load(n):
    """Make rows."""
    called("load")
    return list(range(n))


@step
def size(rows, api_key="none"):
    """Count, with a key."""
    return len(rows)


@step(condition=lambda rows: len(rows) > 2)
def plot(rows):
    """Runs for many rows only."""
    return "plot"


@step
def frame(plot):
    """Needs the plot."""
    return f"[{plot}]"


@step
def alone():
    """Needs nothing."""
    return 1


def flow(**options):
    """A graph with a condition."""
    return Pipeline([load, size, plot, frame, alone], name="flow", context=context(n=3), **options)


def states(found):
    """What would become of each step."""
    return {one.step: one.state for one in found.steps}


def test_in_a_graph_only_what_stands_on_a_step_is_unknown():
    """The others are looked up."""
    flow().run()
    assert set(states(flow().dry_run()).values()) == {"cached"}
    found = flow().dry_run(context={"n": 5})
    assert states(found) == {
        "load": "would run",
        "size": "unknown",
        "plot": "unknown",
        "frame": "unknown",
        "alone": "cached",
    }
    assert found["load"].changes == ("context 'n': 3 -> 5",)


def test_conditions_are_asked_and_those_behind_are_skipped_too():
    """As in a run."""
    flow().run(context={"n": 2})
    found = flow().dry_run(context={"n": 2})
    assert states(found)["plot"] == states(found)["frame"] == "skipped"
    assert found["frame"].reason == "it needs output 'plot' of 'plot', which would be skipped"


def test_a_secret_is_never_shown(folder):
    """That it has changed is said, and its value is in no file."""
    flow().run(context={"api_key": "first-key"})
    found = flow().dry_run(context={"api_key": "other-key"})
    assert found["size"].changes == ("context 'api_key'",)
    assert not [path for path in folder.glob("last/*") if b"first-key" in path.read_bytes()]


def test_without_a_cache_all_would_run():
    """And it is said why."""
    found = flow(enable_cache=False, checkpoint=False).dry_run()
    assert found["load"].reason == "the cache is switched off"
    assert found["alone"].state == "would run"


def test_a_condition_that_fails_is_said():
    """What would happen then cannot be told."""

    @step(condition=lambda: 1 / 0)
    def never():
        return 1

    found = Pipeline([never]).dry_run()["never"]
    assert (found.state, found.reason) == (
        "unknown",
        "whether it would run cannot be told: ZeroDivisionError: division by zero",
    )


def test_what_an_earlier_step_may_add_to_the_context_is_unknown():
    """A step that looks into the context depends on it."""

    @step
    def adds(ctx):
        ctx.add("found", 1)

    @step
    def looks(ctx):
        return ctx.get("found")

    found = Pipeline([adds, looks]).dry_run()
    assert states(found) == {"adds": "would run", "looks": "unknown"}


def test_the_command_prints_it(crystallize, experiment_file):
    """For an experiment, with the options of a run; --json gives all of it."""
    done = crystallize("run", experiment_file, "--dry-run", "--treatment", "double", "--replicates", "3")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:5] == [
        "study: dry run, no step has run",
        "",
        "step   baseline   double",
        "-----  ---------  ---------",
        "scale  would run  would run",
    ]
    found = json.loads(crystallize("run", experiment_file, "--dry-run", "--json").stdout)
    assert found["counts"] == {"cached": 0, "would run": 6, "unknown": 6, "skipped": 0}


def test_a_dry_run_has_nothing_to_write(crystallize, experiment_file):
    """--output is refused."""
    done = crystallize("run", experiment_file, "--dry-run", "--output", "x.json")
    assert done.exit_code == 2
    assert "a dry run has no result to write; --json prints what it came to" in done.stderr
