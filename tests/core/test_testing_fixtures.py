"""The fixtures for authors of plugins, and `ablate`."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from crystallize_core import BasePlugin, Experiment
from crystallize_core.errors import DefinitionError, PluginError
from crystallize_core.testing import Ablation, ablate
from crystallize_core.testing.isolation import isolated
from crystallize_core.testing.tiny import make_tiny

SWITCH = 'pytest_plugins = ["crystallize_core.testing"]\n'


def suite(folder, tests, **environment):
    """Run a test suite in a folder of its own; returns the exit code and what pytest prints."""
    (folder / "conftest.py").write_text(SWITCH)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_suite.py").write_text(textwrap.dedent(tests))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", str(folder)]
    variables = {**os.environ, **environment}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def test_nothing_of_the_machine_leaks_into_a_stack_in_isolation(tmp_path):
    """No variable, no configuration, no installed plugin; home, cache and folder are empty and its own."""
    (tmp_path / "crystallize.toml").write_text('plugins = ["nobody"]\n')
    code, output = suite(
        tmp_path,
        """
        import os
        from pathlib import Path
        from crystallize_core import Experiment

        def test_isolated(isolated_stack):
            assert [name for name in os.environ if name.startswith("CRYSTALLIZE_")] == [
                "CRYSTALLIZE_AUTOLOAD", "CRYSTALLIZE_CACHE_DIR"
            ]
            assert Path.cwd() == isolated_stack.folder
            assert Path.home() == isolated_stack.place.home
            assert list(isolated_stack.place.cache.iterdir()) == []
            assert list(isolated_stack.resolve()) == []
            assert list(Experiment(lambda ctx: 1, [lambda data: data]).stack) == []

        def test_afterwards():
            assert os.environ["CRYSTALLIZE_PROFILE"] == "ci"
            assert "CRYSTALLIZE_AUTOLOAD" not in os.environ
        """,
        CRYSTALLIZE_PROFILE="ci",
        CRYSTALLIZE_SEEDING__SEED="7",
    )
    assert code == 0, output


def test_a_configuration_names_what_takes_part(tmp_path):
    """One that does not is refused, because everything that is installed would."""
    code, output = suite(
        tmp_path,
        """
        import pytest
        from crystallize_core import BasePlugin

        def test_named(isolated_stack):
            (isolated_stack.folder / "hooks.py").write_text(
                "from crystallize_core import BasePlugin\\nclass Mine(BasePlugin):\\n    def before_run(self): pass\\n"
            )
            isolated_stack.configure('plugins = ["./hooks.py"]')
            assert [plugin.name for plugin in isolated_stack.resolve()] == ["mine"]

        def test_not_named(isolated_stack):
            with pytest.raises(ValueError, match="every installed plugin would take part"):
                isolated_stack.configure('disable = ["seeding"]')
        """,
    )
    assert code == 0, output


def test_the_tiny_experiment_has_what_it_says(tmp_path):
    """Two treatments, three replicates, a random step, a metric, an artifact and an event; the same every time."""
    code, output = suite(
        tmp_path,
        """
        def test_tiny(tiny_experiment, captured_events):
            result = tiny_experiment(plugins=[captured_events]).run()
            assert list(result.metrics.conditions) == ["baseline", "double", "half"]
            assert len(result.metrics.baseline["total"]) == 3
            assert result.digest == tiny_experiment().run().digest
            assert result.errors == {}
            assert len(result.artifacts) == 9
            assert captured_events.names[0] == "run.started"
            assert captured_events.names[-1] == "run.finished"
            summed = captured_events.of_name("summed")
            assert [event.payload for event in summed][0] == {"total": result.metrics.baseline["total"][0]}
            assert ("summed", 2, "half", "total") in captured_events.addresses
            captured_events.clear()
            assert captured_events.events == []

        def test_fewer(tiny_experiment):
            result = tiny_experiment(treatments=[], replicates=1).run()
            assert result.metrics.baseline["total"] != []
            assert list(result.metrics.conditions) == ["baseline"]
        """,
    )
    assert code == 0, output


def test_the_tiny_experiment_draws_from_the_stream_that_a_plugin_provides():
    """So that a plugin for seeds can be tried with it."""

    class Streams(BasePlugin):
        def before_replicate(self, ctx):
            ctx.provide("rng", lambda ctx: random.Random(1))

    found = make_tiny([Streams()], treatments=[], replicates=1).run().metrics.baseline["total"]
    stream = random.Random(1)
    assert found == [sum(number + stream.random() for number in range(3))]


def test_what_was_isolated_is_put_back(tmp_path, monkeypatch):
    """The environment, the current folder and the temporary one, after a failure as well."""
    monkeypatch.setenv("CRYSTALLIZE_PROFILE", "ci")
    before = (dict(os.environ), Path.cwd())
    with pytest.raises(RuntimeError), isolated(tmp_path / "apart"):
        os.environ["MORE"] = "1"
        raise RuntimeError
    assert (dict(os.environ), Path.cwd()) == before


# ablate -----------------------------------------------------------------------------------------------


class Looks(BasePlugin):
    essential = False

    def after_step(self):
        pass


class Meddles(BasePlugin):
    essential = False

    def after_replicate(self, ctx):
        ctx.record("meddled", ctx["replicate"])


class Falls(BasePlugin):
    essential = False

    def before_replicate(self):
        raise RuntimeError("not today")


class Moves(BasePlugin):
    def before_replicate(self, ctx):
        ctx.record("moved", os.urandom(8))


class Stays(BasePlugin):
    def before_run(self):
        pass


def test_leaving_out_each_observer_in_turn():
    """Essential plugins stay, and the report has one digest for each observer."""
    found = ablate(make_tiny([Stays(), Looks(), Meddles()]))
    assert [(entry.plugin, entry.digest == found.digest) for entry in found.without] == [
        ("looks", True),
        ("meddles", False),
    ]
    assert not found.same


def test_the_report_says_what_differs_first():
    """In words, and as an error where a test asks for it."""
    found = ablate(make_tiny([Meddles()], treatments=[], replicates=2))
    (entry,) = found.without
    assert entry.differences == (
        "replicate 0, condition 'baseline', metric 'meddled': 0 with 'meddles', nothing without it",
        "replicate 1, condition 'baseline', metric 'meddled': 1 with 'meddles', nothing without it",
    )
    with pytest.raises(AssertionError, match="metric 'meddled': 0 with 'meddles', nothing without it"):
        found.check()
    assert str(found).splitlines()[0] == f"experiment 'tiny', with all plugins: digest {found.digest}"


def test_the_first_ten_differences_are_enough():
    """And it is said that there are more."""
    (entry,) = ablate(make_tiny([Meddles()], replicates=9)).without
    assert (len(entry.differences), entry.differences[-1]) == (11, "and more")


def test_an_observer_by_name_and_by_class():
    """The others stay."""
    experiment = make_tiny([Looks(), Meddles()])
    by_name, by_class = ablate(experiment, "looks"), ablate(experiment, Looks)
    assert isinstance(by_name, Ablation)
    assert by_name == by_class
    assert [entry.plugin for entry in by_name.without] == ["looks"]
    by_name.check()


def test_an_observer_that_fell_proves_little():
    """It was switched off, so that of course nothing differs, and the report says so."""
    found = ablate(make_tiny([Falls()]))
    assert "but it proves little: plugin 'falls' (local) was switched off" in str(found)


def test_what_may_change_the_result_is_refused():
    """An essential plugin makes no promise."""
    with pytest.raises(PluginError, match="plugin 'stays' is essential and may change the result"):
        ablate(make_tiny([Stays()]), Stays)


def test_what_is_not_there_is_refused():
    """With a suggestion."""
    with pytest.raises(PluginError, match="did you mean 'looks'"):
        ablate(make_tiny([Looks()]), "look")


def test_an_experiment_that_does_not_repeat_itself_is_refused():
    """Nothing can be said of one plugin where two runs with all of them differ."""
    with pytest.raises(DefinitionError, match=r"(?s)two runs of experiment 'tiny' .* differ.*metric 'moved'"):
        ablate(make_tiny([Moves(), Looks()]))


def test_the_experiment_is_as_before():
    """It still has all of its plugins."""
    experiment = make_tiny([Looks()])
    ablate(experiment, replicates=1)
    assert isinstance(experiment, Experiment)
    assert [plugin.name for plugin in experiment.stack] == ["looks"]


def test_failures_artifacts_and_verdicts_are_compared():
    """Not metrics alone."""

    class Breaks(BasePlugin):
        essential = False

        def wrap_step(self, step, call):
            def broken(data, ctx):
                if ctx["replicate"] == 1:
                    raise ValueError("broken")
                return call(data, ctx)

            return broken if step.name == "total" else None

    (entry,) = ablate(make_tiny([Breaks()], treatments=[], replicates=2)).without
    text = "\n".join(entry.differences)
    assert "replicate 1, condition 'baseline', error: " in text
    assert "metric 'total': nothing with 'breaks', " in text
    assert "artifact 'total.txt' of step 'total': nothing with 'breaks', " in text
