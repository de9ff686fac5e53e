"""Outputs that were cached under one stack of plugins, looked for under another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crystallize_core import BasePlugin, Experiment, Pipeline, pipeline_step, step


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    """The cache of a test stays with it, and the number of calls, which is in a file that no cache looks at."""
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))


def _next_number():
    """Another one with each call."""
    file = Path(os.environ["CALLS"])
    with file.open("a", encoding="utf-8") as calls:
        calls.write(".")
    return file.stat().st_size


class Numbers(BasePlugin):
    """Knows which step depends on the number of the replicate, as a plugin for seeds knows who drew."""

    plugin_name = "numbers"

    def __init__(self, *steps):
        self.steps = steps

    def cache_dependencies(self, step, ctx):
        before = ctx.step_name is not None and step.name in self.steps
        return {"number": ctx["replicate"]} if before else {}


def _ran(steps, *plugins):
    """What the last step made in two replicates."""
    experiment = Experiment(lambda ctx: 1, steps, plugins, replicates=2, autoload=False)
    return experiment.run().metrics.baseline.metrics["drawn"]


@pytest.mark.parametrize("kind", [step, pipeline_step(cacheable=True)])
def test_an_output_is_not_used_by_a_plugin_that_could_not_watch_it_being_made(kind):
    """Two replicates get two draws as soon as somebody knows that they draw."""

    @kind
    def draw(data):
        return _next_number()

    @pipeline_step()
    def record(data):
        return data, {"drawn": data}

    assert _ran([draw, record]) == [1, 1]
    assert _ran([draw, record], Numbers("draw")) == [2, 3]
    assert _ran([draw, record], Numbers("draw")) == [2, 3]
    assert _ran([draw, record]) == [1, 1]


def test_an_output_on_which_a_plugin_had_nothing_to_say_is_used_without_it():
    """And with it, of course."""

    @pipeline_step(cacheable=True)
    def make(data):
        return _next_number()

    @pipeline_step()
    def record(data):
        return data, {"drawn": data}

    assert _ran([make, record], Numbers()) == [1, 1]
    assert _ran([make, record], Numbers()) == [1, 1]
    assert _ran([make, record]) == [1, 1]


def test_debugging_names_the_plugin_that_is_new(tmp_path, monkeypatch, capsys):
    """It is the reason why the step runs again."""

    @step
    def make():
        return 1

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    Pipeline([make]).run()
    (tmp_path / "watching.py").write_text(
        "from crystallize_core import BasePlugin\n\n\n"
        "class Watching(BasePlugin):\n"
        "    def cache_dependencies(self, step):\n"
        "        return {}\n",
        encoding="utf-8",
    )
    (tmp_path / "crystallize.toml").write_text('plugins = ["./watching.py"]\n', encoding="utf-8")
    monkeypatch.delenv("CRYSTALLIZE_AUTOLOAD")
    assert Pipeline([make]).run(debug=True).step_results["make"].state == "ok"
    assert (
        "  cache: a miss: changed since it ran last: plugin 'watching', which was not asked then\n"
        in capsys.readouterr().err
    )
