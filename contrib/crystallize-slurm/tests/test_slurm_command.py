"""The executor by its name: in Python, in a project, and on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from crystallize_core import Experiment, pipeline_step

pytestmark = pytest.mark.skipif(
    not entry_points(group="crystallize.executors", name="slurm"), reason="crystallize-slurm is not installed"
)

PROJECT = {
    "crystallize.toml": """
plugins = ["./hooks.py"]
[options.slurm]
cluster = "local"
max_workers = 1
poll_seconds = 0.1
""",
    "hooks.py": """
from crystallize_core import hookimpl

@hookimpl
def before_replicate(experiment, ctx):
    ctx.add("offset", 10)
""",
    "beside.py": """
def shifted(data, offset):
    return data + offset
""",
    "study.py": """
from beside import shifted
from crystallize_core import Experiment, pipeline_step

@pipeline_step()
def value(data, ctx):
    return data, {"value": shifted(ctx["replicate"], ctx["offset"])}

experiment = Experiment(lambda ctx: 1, [value], replicates=3)
""",
}


@pytest.fixture
def project(monkeypatch):
    monkeypatch.delenv("CRYSTALLIZE_AUTOLOAD")
    for name, text in PROJECT.items():
        Path(name).write_text(text)


def crystallize(*arguments):
    command = [sys.executable, "-m", "crystallize_core", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("executor", [["--executor", "slurm"], ["--executor", "slurm://long"]])
def test_the_command_runs_it_with_a_local_plugin_and_modules_beside_the_script(project, executor):
    """Jobs import what the coordinator can import, and files of plugins travel along."""
    done = crystallize("run", "study.py", *executor, "--json")
    assert (done.stderr, done.returncode) == ("", 0)
    found = json.loads(done.stdout)
    assert [[number, "value", 10 + number, None, False] for number in range(3)] in _lists(found)


def _lists(value):
    """All lists somewhere in a value."""
    if isinstance(value, dict):
        return [found for item in value.values() for found in _lists(item)]
    return [value, *(found for item in value for found in _lists(item))] if isinstance(value, list) else []


def test_it_is_found_by_its_name_in_python(project):
    """With the options of the project."""
    Path("hooks.py").unlink()
    config = Path("crystallize.toml")
    config.write_text(config.read_text().replace('plugins = ["./hooks.py"]', "plugins = []"))

    @pipeline_step()
    def value(data, ctx):
        return data, {"value": ctx["replicate"]}

    result = Experiment(lambda ctx: 1, [value], replicates=3).run(executor="slurm")
    assert result.metrics.baseline.metrics == {"value": [0, 1, 2]}
