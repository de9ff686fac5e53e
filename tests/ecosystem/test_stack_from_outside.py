"""What the command line says about a stack, with the official plugins and in real worker processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from crystallize_core import Result

pytestmark = pytest.mark.ecosystem

HOOKS = """
import attrs

from crystallize_core import BasePlugin

@attrs.define
class Need(BasePlugin):
    plugin_name = "need"
    size: int

    def before_replicate(self, ctx):
        ctx.add("size", self.size)
"""

EXPERIMENT = """
from crystallize_core import Experiment
from crystallize_executors import parallel_map

class Box:
    def __init__(self, number):
        self.number = number

def step(data, ctx, size):
    return Box(data), {"size": size}

experiment = Experiment(lambda ctx: 1, [step], replicates=3)

def mapped(number):
    return Box(number + 1)

def in_processes(data):
    boxes = parallel_map(mapped, [data, data], backend="process", max_workers=1)
    return data, {"sum": sum(box.number for box in boxes)}

mapping = Experiment(lambda ctx: 1, [in_processes])
"""


@pytest.fixture
def run(tmp_path):
    """Run a target with options; its result."""
    (tmp_path / "hooks.py").write_text(HOOKS, encoding="utf-8")
    (tmp_path / "mine.py").write_text(EXPERIMENT, encoding="utf-8")
    # The file makes an experiment when it is loaded, which needs the option: also where a worker loads it.
    (tmp_path / "crystallize.toml").write_text('plugins = ["seeding", "logging", "./hooks.py"]', encoding="utf-8")
    environment = {name: text for name, text in os.environ.items() if not name.startswith("CRYSTALLIZE_")}

    def run(*args):
        done = subprocess.run(
            [sys.executable, "-m", "crystallize_core", "run", *args, "--json"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def _values(result, metric):
    return Result.from_dict(result).metrics.baseline[metric]


def test_an_option_that_only_the_command_line_says_reaches_worker_processes(run):
    """The same digest as without processes."""
    options = ("-o", "need.size=3", "-o", "seeding.seed=7")
    there = run("mine.py:experiment", *options, "-o", "executor=process", "-o", "process.max_workers=1")
    here = run("mine.py:experiment", *options)
    assert [there["run"]["executor"], here["run"]["executor"]] == ["process", None]
    assert _values(there, "size") == [3, 3, 3]
    assert there["digest"] == here["digest"]


def test_it_reaches_the_processes_of_parallel_map(run):
    """They load the file of the function."""
    found = run("mine.py:mapping", "-o", "need.size=3")
    assert _values(found, "sum") == [4]


def test_two_instances_of_the_logging_plugin(run, tmp_path):
    """Each with its own file."""
    found = run(
        "mine.py:experiment",
        *("-o", "need.size=3", "-o", "plugins=logging as one,logging as two,./hooks.py"),
        *("-o", "one.file=one.jsonl", "-o", "two.file=two.jsonl", "-o", "two.log_level=ERROR"),
    )
    assert [(p["name"], p["instance_of"]) for p in found["run"]["stack"]] == [
        ("one", "logging"),
        ("two", "logging"),
        ("need", None),
    ]
    events = [json.loads(line)["event"] for line in (tmp_path / "one.jsonl").read_text("utf-8").splitlines()]
    assert events == ["run started", "run finished"]
    assert not (tmp_path / "two.jsonl").exists()
