"""Discovery executes nothing: a distribution that writes a file when it is imported writes none."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.heavy

GROUPS = ("plugins", "executors", "stacks", "steps", "commands")
SPY = """
import os
from pathlib import Path

Path(os.environ["SPIED"]).touch()

from crystallize_core import BasePlugin


class Plugin(BasePlugin):
    def before_run(self): ...
"""
SCRIPT = "from crystallize_core import Experiment, Pipeline, pipeline_step\n"
NAMES_ANOTHER = 'plugins = ["witness"]\n'


@pytest.fixture
def spied(machine):
    """A distribution with an entry point in every group of ours; whether it was imported."""
    machine.module("x_spy", SPY)
    groups = "".join(f"[crystallize.{group}]\nspy = x_spy:Plugin\n" for group in GROUPS)
    machine.distribution("x-spy", groups)
    trace = machine.folder / "spied"
    return trace.exists


@pytest.fixture
def fresh(machine, spied, hidden):
    """A Python of its own."""

    def fresh(*arguments, **environment):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=machine.work,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(machine.site), hidden]),
                "SPIED": str(machine.folder / "spied"),
                "WITNESS": str(machine.folder / "calls"),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return fresh


COMMANDS = [
    ["--help"], ["--version"], ["run", "--help"], ["plugins", "--help"], ["plugins", "list"], ["cache", "stats"],
    ["config", "show"], ["lock"], ["plugins", "show", "witness"], ["plugins", "explain", "before_run"],
    ["run", "study.py"], ["run", "study.py", "--dry-run"], ["nonsense"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_imports_what_the_stack_does_not_name(machine, spied, command):
    """Also not to list it, or to say that there is no such command; only `plugins doctor` and `check` are asked to."""
    (machine.work / "crystallize.toml").write_text(NAMES_ANOTHER)
    done = machine(*command, SPIED=str(machine.folder / "spied"))
    assert "Traceback" not in done.err
    assert not spied()


WAYS = {
    "another stack": {},
    "CRYSTALLIZE_AUTOLOAD=0": {"CRYSTALLIZE_AUTOLOAD": "0"},
    "CRYSTALLIZE_DISABLE": {"CRYSTALLIZE_DISABLE": "spy"},
}


@pytest.mark.parametrize("environment", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("command", [["plugins", "list"], ["run", "study.py"]], ids=" ".join)
def test_what_is_left_out_is_not_imported(machine, spied, command, environment):
    """In whichever way it is left out."""
    if not environment:
        (machine.work / "crystallize.toml").write_text(NAMES_ANOTHER)
    done = machine(*command, SPIED=str(machine.folder / "spied"), **environment)
    assert (done.code, spied()) == (0, False)


def test_what_is_named_is_imported(machine, spied):
    """The trap works."""
    (machine.work / "crystallize.toml").write_text('plugins = ["spy"]\n')
    done = machine("run", "study.py", SPIED=str(machine.folder / "spied"))
    assert (done.code, spied()) == (0, True)


def test_listing_says_what_is_known_without_an_import(machine, spied):
    """Who ships it and in which version, and no hooks."""
    (machine.work / "crystallize.toml").write_text(NAMES_ANOTHER)
    assert machine.listed("spy", SPIED=str(machine.folder / "spied")) == [
        ("not in the stack", f"{machine.work / 'crystallize.toml'} does not name it", []),
        ("not chosen", None, []),
    ]
    assert not spied()


SCRIPTS = {
    "import": "import crystallize_core",
    "every name of the package": "from crystallize_core import *",
    "Experiment without autoload": f"{SCRIPT}Experiment(lambda ctx: 1, [lambda data: data], autoload=False).run()",
    "what is installed": (
        "from crystallize_core.stack.discovery import installed\n"
        "assert [len(installed(f'crystallize.{g}')) > 0 for g in ('plugins', 'executors', 'stacks', 'steps', 'commands')]"
    ),
}


@pytest.mark.parametrize("code", SCRIPTS.values(), ids=SCRIPTS)
def test_no_script_imports_what_it_does_not_ask_for(fresh, spied, code):
    """Nothing is configured here, and so what is installed would be active in an experiment that loads plugins."""
    done = fresh("-c", code)
    assert (done.returncode, done.stderr, spied()) == (0, "", False)


def test_help_with_twenty_plugins_imports_none_of_them(machine, fresh):
    """Nor pluggy, nor the engine."""
    for number in range(20):
        machine.plugin("raise SystemError", name=f"many{number}")
    code = (
        "import sys\nfrom crystallize_core.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print(*sorted(name for name in sys.modules if name.startswith(('x_', 'pluggy', 'crystallize'))))"
    )
    done = fresh("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    imported = done.stdout.splitlines()[-1].split()
    assert [name for name in imported if name.startswith(("x_", "pluggy"))] == []
    assert "crystallize_core.experiment" not in imported


def test_a_broken_plugin_is_reported_once_in_a_process(machine, fresh):
    """However many experiments and pipelines there are; each result says it, too."""
    machine.plugin("raise OSError('no licence')")
    code = (
        f"{SCRIPT}import warnings\nwarnings.simplefilter('always')\n"
        "made = [Experiment(lambda ctx: 1, [lambda data: data]) for _ in range(3)]\n"
        "results = [experiment.run() for experiment in made for _ in range(2)]\n"
        "@pipeline_step()\ndef one(data): return data\n"
        "for _ in range(3): Pipeline([one]).run(inputs={'data': 1})\n"
        "print(*[sum('no licence' in text for text in result.warnings) for result in results])"
    )
    done = fresh("-c", code, CRYSTALLIZE_DISABLE="spy")
    assert (done.returncode, done.stdout.split()) == (0, ["1"] * 6)
    assert done.stderr.count("no licence") == done.stderr.count("PluginWarning") == 1
