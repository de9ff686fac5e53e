"""`crystallize cache`: what is there, why a step would run, and throwing away."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest

from crystallize_core import Pipeline, step


@pytest.fixture(autouse=True)
def folder(project, monkeypatch):
    """The folder of the cache."""
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(project / "cache"))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    return project / "cache"


@step(outputs=["text"])
def write_text(size):
    """As many letters."""
    return "x" * size


@step
def measure(text):
    """How many."""
    return len(text)


def filled(*sizes, **options):
    """A cache with outputs of two steps for each size, the first one the oldest."""
    for size in sizes:
        Pipeline([write_text, measure], name="texts", **options).run(inputs={"size": size})


def entries(folder):
    """The files of entries, the oldest first."""
    return sorted(folder.glob("?" * 64 + "/*.pkl"), key=lambda path: path.stat().st_mtime)


def aged(path, days):
    """Let a file be older than it is."""
    moment = time.time() - days * 86400
    os.utime(path, (moment, moment))


# Looking ----------------------------------------------------------------------------------------------


def test_an_empty_cache(crystallize, folder):
    """Says where it looked, and makes no folder."""
    assert crystallize("cache", "stats").stdout == f"folder: {folder}\n0 entries, 0 bytes\n"
    assert crystallize("cache", "ls").stdout == f"nothing is cached in {folder}\n"
    assert crystallize("cache", "gc").stdout == f"removed 0 entries (0 bytes) from {folder}\n"
    assert not folder.exists()


def test_stats_count_by_step_and_pipeline(crystallize, folder):
    """In JSON, with times in seconds since 1970."""
    filled(1, 2)
    found = json.loads(crystallize("cache", "stats", "--json").stdout)
    sizes = [path.stat().st_size for path in entries(folder)]
    assert (found["folder"], found["entries"], found["bytes"]) == (str(folder), 4, sum(sizes))
    assert {name: of["entries"] for name, of in found["steps"].items()} == {"measure": 2, "write_text": 2}
    assert found["oldest"] == min(path.stat().st_mtime for path in entries(folder))
    assert found["checkpoints"]["texts"]["runs"] == 2


def test_stats_are_tables(crystallize):
    """One of steps and one of checkpoints."""
    filled(1)
    lines = crystallize("cache", "stats").stdout.splitlines()
    assert [line.split()[:2] for line in lines if line] == [
        ["folder:", lines[0].split()[1]],
        ["2", "entries,"],
        ["step", "entries"],
        [lines[4].split()[0], lines[4].split()[1]],
        ["measure", "1"],
        ["write_text", "1"],
        ["checkpoints", "runs"],
        [lines[9].split()[0], lines[9].split()[1]],
        ["texts", "1"],
    ]


@pytest.mark.parametrize(
    ("order", "expected"),
    [("age", [300, 2000, 10]), ("size", [2000, 300, 10]), ("used", [10, 300, 2000])],
)
def test_entries_are_listed_in_the_order_that_was_asked_for(crystallize, folder, order, expected):
    """The oldest, the largest, or the one that was not used for the longest time first."""
    filled(10, 300, 2000)
    by_size = sorted(
        (p for p in entries(folder) if "write_text" in (p.parent / "step").read_text()), key=lambda p: p.stat().st_size
    )
    now = time.time()
    for path, written, used in zip(by_size, (20, 40, 30), (20, 15, 10), strict=True):
        os.utime(path, (now - used, now - written))
    found = json.loads(crystallize("cache", "ls", "write_text", "--sort", order, "--json").stdout)
    sizes = {path.stat().st_size: size for path, size in zip(by_size, (10, 300, 2000), strict=True)}
    assert [sizes[entry["bytes"]] for entry in found] == expected
    assert {entry["step"] for entry in found} == {"write_text"}


def test_each_entry_is_a_line(crystallize):
    """With its step and size."""
    filled(1, 2)
    lines = crystallize("cache", "ls").stdout.splitlines()
    assert lines[0].split() == ["step", "size", "written", "used", "entry"]
    assert [line.split()[0] for line in lines[2:]] == ["measure", "measure", "write_text", "write_text"]


@pytest.mark.parametrize("command", [["ls", "write_txt"], ["clear", "write_txt", "--yes"]])
def test_a_step_of_which_nothing_is_cached_is_refused(crystallize, folder, command):
    """With a suggestion."""
    filled(1)
    done = crystallize("cache", *command)
    expected = f"error: no output of step 'write_txt' is cached in {folder}; did you mean 'write_text'?\n"
    assert (done.exit_code, done.stderr) == (2, expected)


# Why --------------------------------------------------------------------------------------------------


PREP = """
def clean(rows):
    return [row for row in rows if row > {limit}]
"""
FLOW = """
from crystallize_core import Pipeline, context, step
from prep import clean


@step(outputs=["rows"])
def load(n):
    return list(range(n))


@step(outputs=["kept"])
def keep(rows, factor=1.0):
    return clean(rows)


@step
def report(kept):
    return len(kept)


flow = Pipeline([load, keep, report], name="flow", context=context(n=5))
"""


@pytest.fixture
def flow(write, in_shell):
    """A pipeline that has run, whose helper lies in another file."""
    write("prep.py", PREP.format(limit=1))
    write("flow.py", FLOW)
    assert in_shell("run", "flow.py").returncode == 0
    return write


def test_why_says_that_nothing_has_changed(crystallize, flow):
    """A hit."""
    done = crystallize("cache", "why", "flow.py", "report")
    assert done.stdout == "step 'report': cached\n  nothing that it depends on has changed\n"


def test_why_shows_the_old_and_the_new_value(crystallize, flow):
    """Of a context value that is short."""
    done = crystallize("cache", "why", "flow.py", "keep", "--set", "factor=2.0")
    assert done.stdout == ("step 'keep': would run\n  changed since it ran last: context 'factor': not set -> 2.0\n")


def test_why_names_the_helper_that_changed(in_shell, flow):
    """Also for a step behind the one that uses it."""
    flow("prep.py", PREP.format(limit=2))
    done = in_shell("cache", "why", "flow.py", "report")
    first, second, third = done.stdout.splitlines()
    assert first == "step 'report': unknown"
    assert second == "  its input is unknown, because others would run before it:"
    assert third.startswith("  step 'keep': changed since it ran last: ")
    assert "clean" in third


def test_why_is_json_too(crystallize, flow):
    """With the steps for which a step is unknown."""
    done = crystallize("cache", "why", "flow.py", "report", "--set", "n=6", "--json")
    found = json.loads(done.stdout)
    assert (found["state"], found["waits_for"]) == ("unknown", ["keep"])
    assert [(one["step"], one["changes"]) for one in found["because_of"]] == [("load", ["context 'n': 5 -> 6"])]


def test_why_looks_at_one_cell_of_an_experiment(crystallize, experiment_file):
    """The one of the treatment and the replicate."""
    done = crystallize("cache", "why", experiment_file, "scale", "--treatment", "double", "--replicate", "1")
    assert done.stdout == "step 'scale', condition double, replicate 1: would run\n  it is not to be cached\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flow.py", "reprot"], "pipeline 'flow' has no step 'reprot'; did you mean 'report'?"),
        (
            ["flow.py", "report", "--treatment", "a"],
            "--treatment and --replicate go with an experiment, and flow.py is pipeline 'flow'",
        ),
    ],
)
def test_why_refuses_what_makes_no_sense(crystallize, flow, arguments, message):
    """With what would."""
    done = crystallize("cache", "why", *arguments)
    assert (done.exit_code, done.stderr) == (2, f"error: {message}\n")


# Throwing away ----------------------------------------------------------------------------------------


def test_gc_removes_what_was_not_used(crystallize, folder):
    """And says what; a dry run says the same and removes nothing."""
    filled(1, 2, checkpoint=False)
    old, *others = entries(folder)
    size = old.stat().st_size
    aged(old, 40)
    asked = crystallize("cache", "gc", "--older-than", "30d", "--dry-run").stdout
    assert asked == f"would remove 1 entry ({size} bytes) from {folder}\n"
    assert entries(folder) == [old, *others]
    assert crystallize("cache", "gc", "--older-than", "30d").stdout == f"removed 1 entry ({size} bytes) from {folder}\n"
    assert entries(folder) == others


def test_gc_keeps_what_was_used_last(crystallize, folder):
    """As much as may stay."""
    filled(1, 2, checkpoint=False)
    files = entries(folder)
    for days, path in enumerate(reversed(files)):
        aged(path, days)
    most = sum(path.stat().st_size for path in files[2:])
    assert crystallize("cache", "gc", "--max-size", most).exit_code == 0
    assert entries(folder) == files[2:]


def test_gc_removes_what_is_left_over(crystallize, folder):
    """Half-written files of processes that are gone, and folders without entries."""
    filled(1, checkpoint=False)
    step_folder = entries(folder)[0].parent
    (step_folder / ".writing-old").write_text("half")
    (step_folder / ".writing-new").write_text("half")
    aged(step_folder / ".writing-old", 2)
    empty = folder / ("0" * 64)
    empty.mkdir()
    done = crystallize("cache", "gc")
    assert done.stdout == f"removed 0 entries and 1 half-written file (4 bytes) from {folder}\n"
    assert [path.name for path in step_folder.glob(".writing-*")] == [".writing-new"]
    assert not empty.exists()


def test_gc_removes_old_checkpoints(crystallize, folder):
    """Those of runs that have ended, by the end of the run."""
    filled(1, 2)
    old, new = sorted(path.parent for path in folder.glob("runs/texts/*/run.json"))
    aged(old / "run.json", 40)
    done = crystallize("cache", "gc", "--older-than", "30d")
    assert done.stdout.startswith("removed 0 entries and the checkpoints of 1 run (")
    assert list(folder.glob("runs/texts/*")) == [new]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--older-than", "soon", "it must be a whole number with s, m, h, d or w, such as 30d; found 'soon'"),
        ("--older-than", "", "it must be a whole number with s, m, h, d or w, such as 30d; found ''"),
        ("--max-size", "much", "it must be an int of bytes"),
    ],
)
def test_gc_refuses_what_is_no_amount(crystallize, option, value, message):
    """And removes nothing."""
    done = crystallize("cache", "gc", option, value)
    assert done.exit_code == 2
    assert message in done.stderr


def test_clear_needs_to_be_told_where_it_cannot_ask(crystallize, folder):
    """And says what it would remove."""
    filled(1, checkpoint=False)
    size = sum(path.stat().st_size for path in entries(folder))
    done = crystallize("cache", "clear")
    assert (done.exit_code, done.stderr) == (
        2,
        f"error: this would remove 2 entries ({size} bytes) from {folder}, and there is no terminal to ask; say --yes\n",
    )
    assert len(entries(folder)) == 2


def test_clear_removes_everything_of_ours(crystallize, folder):
    """Entries, checkpoints, and what is beside them; the lock of the folder stays, because somebody may hold it."""
    filled(1, 2)
    assert crystallize("cache", "clear", "--yes").exit_code == 0
    assert list(folder.rglob("*")) == [folder / ".lock"]


def test_clear_of_a_step_leaves_the_others(crystallize, folder):
    """By its name."""
    filled(1, 2, checkpoint=False)
    assert crystallize("cache", "clear", "measure", "--yes").exit_code == 0
    assert [(path.parent / "step").read_text() for path in entries(folder)] == ["write_text", "write_text"]


def test_clear_leaves_what_is_not_ours(crystallize, folder, tmp_path):
    """Files and folders with other names stay, and links are not followed."""
    filled(1)
    step_folder = entries(folder)[0].parent
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(step_folder, elsewhere)
    (folder / ("a" * 64)).symlink_to(elsewhere, target_is_directory=True)
    mine = [folder / "notes.txt", step_folder / "mine.pkl", next(folder.glob("runs/texts/*")) / "mine.txt"]
    for path in mine:
        path.write_text("mine")
    before = sorted(path.name for path in elsewhere.iterdir())
    assert crystallize("cache", "clear", "--yes").exit_code == 0
    assert sorted(path.name for path in elsewhere.iterdir()) == before
    assert [path.read_text() for path in mine] == ["mine"] * 3


def test_a_run_that_may_still_go_on_keeps_its_checkpoints(crystallize, folder):
    """Its record does not say that it has ended."""
    filled(1)
    (record,) = folder.glob("runs/texts/*/run.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "state": "running"}))
    assert crystallize("cache", "clear", "--yes").exit_code == 0
    assert record.is_file()
