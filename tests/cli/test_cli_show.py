"""`crystallize plugins show`: everything that there is to know about one plugin, also about a broken one."""

from __future__ import annotations

import json

import pytest

PLUGIN = '''
from typing import Literal
import attrs
from crystallize_core import BasePlugin

def checked(value):
    """A positive number."""

@attrs.define
class Good(BasePlugin):
    """Does good.

    Args:
        size: How much of it,
            in kilos.
        token: Who is asked.

    """

    essential = False
    after = ("other",)
    size: int = 3
    mode: Literal["a", "b"] = attrs.field(default="a", metadata={"help": "Which way."})
    names: list[str] = attrs.field(factory=list)
    token: str = "geheim"

    def step_options(self):
        return {"good": bool, "better": checked}

    def after_run(self, result): ...

class Needy(BasePlugin):
    def __init__(self, size: int):
        self.size = size
    def step_options(self):
        return {"needy": int}

class Runner(BasePlugin):
    """Runs."""
    def run_experiment_loop(self, experiment, replicate_fn):
        return NotImplemented
'''


@pytest.fixture
def good(alone, install, monkeypatch):
    """A distribution with two plugins and an executor, and nothing else."""
    monkeypatch.delenv("CRYSTALLIZE_AUTOLOAD")
    folder = install(
        "cli-good",
        {
            "crystallize.plugins": {"good": "cli_good:Good"},
            "crystallize.executors": {"runner": "cli_good:Runner"},
        },
        {"cli_good": PLUGIN},
    )
    (info,) = folder.glob("*.dist-info")
    with (info / "METADATA").open("a") as stream:
        stream.write("Summary: Good things\nProject-URL: Homepage, https://good.example\n")
    return folder


@pytest.fixture
def shown(crystallize):
    """What is said about the plugins of a name, from JSON."""

    def shown(*arguments):
        done = crystallize("plugins", "show", "--json", *arguments)
        assert (done.exit_code, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return shown


def test_everything_about_an_active_plugin(shown, good, write):
    """Whole answer."""
    path = write("crystallize.toml", 'plugins = ["good"]\n[options.good]\nsize = 5\n')
    option = {"type": "str", "help": "", "origin": "default"}
    assert shown("good", "-o", "good.mode=b") == [
        {
            "name": "good",
            "kind": "plugin",
            "distribution": "cli-good",
            "version": "1.2",
            "origin": "cli_good:Good",
            "location": str(good),
            "description": "Good things",
            "homepage": "https://good.example",
            "summary": "Does good.",
            "status": "active",
            "reason": None,
            "essential": False,
            "contract": "1.0",
            "before": [],
            "after": ["other"],
            "place": 1,
            "why": [f"number 1 of the list of plugins, from {path}, plugins"],
            "hooks": [
                {
                    "name": "after_run",
                    "summary": "Called once in the coordinator after aggregation and hypotheses, also after failures and Ctrl-C.",
                    "process": "coordinator",
                },
                {
                    "name": "step_options",
                    "summary": "Called in every process when the plan is made: the step options that this plugin claims.",
                    "process": "every process",
                },
            ],
            "step_options": {"good": "bool", "better": "A positive number."},
            "options": [
                {
                    "name": "size",
                    "type": "int",
                    "default": "3",
                    "help": "How much of it, in kilos.",
                    "value": "5",
                    "origin": f"{path}, options.good.size, line 3",
                },
                {
                    "name": "mode",
                    "type": "'a' | 'b'",
                    "default": "'a'",
                    "help": "Which way.",
                    "value": "'b'",
                    "origin": "-o good.mode",
                },
                {**option, "name": "names", "type": "list[str]", "default": "list()", "value": "[]"},
                {**option, "name": "token", "default": "***", "help": "Who is asked.", "value": "'***'"},
            ],
        }
    ]


def test_an_executor_that_is_not_chosen(shown, good):
    """It has no place, and no values that are in effect; it is imported because it was asked for."""
    (found,) = shown("runner")
    assert (found["kind"], found["status"], found["place"], found["why"]) == ("executor", "not chosen", None, [])
    assert [hook["name"] for hook in found["hooks"]] == ["run_experiment_loop"]


def test_a_local_plugin(shown, alone, write):
    """By the name that it has in the stack, with its file."""
    write("crystallize.toml", 'plugins = ["./hooks.py"]\n')
    path = write("hooks.py", PLUGIN.replace("class Needy", "class _Needy").replace("class Runner", "class _Runner"))
    (found,) = shown("good")
    assert (found["kind"], found["location"], found["distribution"]) == ("local", str(path), None)
    assert [option["name"] for option in found["options"]] == ["size", "mode", "names", "token"]


def test_a_broken_plugin_shows_what_the_metadata_says_and_the_error(shown, good, install):
    """Nothing that only the code knows."""
    install("cli-bad", {"crystallize.plugins": {"bad": "cli_bad:Plugin"}}, {"cli_bad": "1 / 0"})
    (found,) = shown("bad")
    assert (found["status"], found["essential"], found["hooks"], found["options"]) == ("broken", None, [], [])
    assert (found["distribution"], found["version"], found["origin"]) == ("cli-bad", "1.2", "cli_bad:Plugin")
    assert "ZeroDivisionError: division by zero" in found["reason"]


def test_a_plugin_that_cannot_be_made_without_options(shown, good, install):
    """Its options are shown; what its step options are, only it knows."""
    install("cli-needy", {"crystallize.plugins": {"needy": "cli_good:Needy"}})
    (found,) = shown("needy")
    assert [(o["name"], o["default"], o["value"]) for o in found["options"]] == [("size", "required", None)]
    assert list(found["step_options"]) == ["?"]
    assert found["step_options"]["?"].startswith("it cannot say: TypeError: ")


def test_one_name_of_two_distributions_shows_both(shown, good, install):
    """With the reason why neither is active."""
    install("cli-other", {"crystallize.plugins": {"good": "cli_good:Good"}})
    found = shown("good")
    assert [one["distribution"] for one in found] == ["cli-good", "cli-other"]
    assert {one["status"] for one in found} == {"duplicate"}


def test_text_for_people(crystallize, good, write):
    """Head, hooks, step options, options."""
    path = write("crystallize.toml", 'plugins = ["good"]\n')
    assert (
        crystallize("plugins", "show", "good").stdout
        == f"""\
good: plugin, an observer
  Does good.
  distribution  cli-good 1.2
  described as  Good things
  homepage      https://good.example
  origin        cli_good:Good
  location      {good}
  contract      1.0
  comes after   other
  status        active
  place         1
                number 1 of the list of plugins, from {path}, plugins

hooks
  after_run (coordinator): Called once in the coordinator after aggregation and hypotheses, also after failures and Ctrl-C.
  step_options (every process): Called in every process when the plan is made: the step options that this plugin claims.

step options
  good: bool
  better: A positive number.

options
  size: int, default 3
    How much of it, in kilos.
    now 3, from default
  mode: 'a' | 'b', default 'a'
    Which way.
    now 'a', from default
  names: list[str], default list()
    now [], from default
  token: str, default ***
    Who is asked.
    now '***', from default
"""
    )


def test_an_unknown_name_is_refused_with_a_suggestion(crystallize, good):
    """As any mistake of the user."""
    done = crystallize("plugins", "show", "goood")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "error: there is no plugin 'goood'; did you mean 'good'?\n"
