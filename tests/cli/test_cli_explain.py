"""`crystallize plugins explain`: the order of the stack and of the calls of a hook, each place with its reasons."""

from __future__ import annotations

import json

import pytest

PLUGINS = """
from crystallize_core import BasePlugin, hookimpl

class First(BasePlugin):
    before = ("*",)
    def after_run(self): ...

class Plain(BasePlugin):
    essential = False
    def after_run(self): ...
    def before_run(self): ...

class Eager:
    @hookimpl(tryfirst=True)
    def after_run(self): ...

class Around:
    @hookimpl(wrapper=True)
    def after_run(self):
        yield

class Runner(BasePlugin):
    def run_experiment_loop(self, experiment, replicate_fn):
        return NotImplemented
"""
BY_NAME = "number {} by name, because no list of plugins is configured"


@pytest.fixture
def alone(alone, install, monkeypatch):
    """Three plugins and an executor, and nothing else."""
    monkeypatch.delenv("CRYSTALLIZE_AUTOLOAD")
    names = {"a_plain": "Plain", "b_first": "First", "c_eager": "Eager", "d_around": "Around"}
    install(
        "cli-order",
        {
            "crystallize.plugins": {name: f"cli_order:{kind}" for name, kind in names.items()},
            "crystallize.executors": {"runner": "cli_order:Runner"},
        },
        {"cli_order": PLUGINS},
    )


@pytest.fixture
def explained(crystallize):
    """What is said about a hook, or the stack, from JSON."""

    def explained(*arguments):
        done = crystallize("plugins", "explain", "--json", *arguments)
        assert (done.exit_code, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return explained


def _reasons(found):
    return [(standing["plugin"], standing["reasons"]) for standing in found["order"]]


def test_the_order_of_the_stack_by_name(explained, alone):
    """Whole answer: nothing is configured, and one plugin wants to be first."""
    ahead = "ahead of {}, because 'b_first' says before = ('*',)"
    common = {"distribution": "cli-order", "essential": True, "wraps": False}
    behind = "behind 'b_first', because 'b_first' says before = ('*',)"
    assert explained() == {
        "hook": None,
        "configuration": None,
        "error": None,
        "order": [
            {"plugin": "b_first", "place": 1, **common, "reasons": [BY_NAME.format(2), ahead.format("'a_plain'")]},
            {"plugin": "a_plain", "place": 2, **common, "essential": False, "reasons": [BY_NAME.format(1), behind]},
            {"plugin": "c_eager", "place": 3, **common, "reasons": [BY_NAME.format(3)]},
            {"plugin": "d_around", "place": 4, **common, "reasons": [BY_NAME.format(4)]},
        ],
        "skipped": [],
    }


def test_the_order_of_a_list_says_who_made_the_list(explained, alone, write, monkeypatch):
    """The file, the environment, the command line; the executor stands behind."""
    path = write("crystallize.toml", 'plugins = ["c_eager", "a_plain"]\nexecutor = "runner"\n')
    assert _reasons(explained()) == [
        ("c_eager", [f"number 1 of the list of plugins, from {path}, plugins"]),
        ("a_plain", [f"number 2 of the list of plugins, from {path}, plugins"]),
        ("runner", [f"the executor stands behind the list, from {path}, executor"]),
    ]
    monkeypatch.setenv("CRYSTALLIZE_PLUGINS", "a_plain")
    assert _reasons(explained("-o", "executor=runner")) == [
        ("a_plain", ["number 1 of the list of plugins, from environment variable CRYSTALLIZE_PLUGINS"]),
        ("runner", ["the executor stands behind the list, from -o executor"]),
    ]


def test_the_order_of_a_hook_is_that_of_its_calls(explained, alone, tmp_path):
    """Around, first, then the reverse of the stack; it is the order in which a run calls them."""
    found = explained("after_run")
    assert found["hook"] == {
        "name": "after_run",
        "arguments": ["experiment", "result"],
        "summary": "Called once in the coordinator after aggregation and hypotheses, also after failures and Ctrl-C.",
        "process": "coordinator",
        "kind": "all",
        "unwinds": True,
    }
    order = [(standing["plugin"], standing["wraps"]) for standing in found["order"]]
    assert order == [("d_around", True), ("c_eager", False), ("a_plain", False), ("b_first", False)]
    assert found["order"][1]["reasons"] == [
        "before all others, because its @hookimpl says tryfirst=True",
        BY_NAME.format(3),
    ]


def test_who_may_have_the_hook_and_is_not_called(explained, alone, install, write):
    """With the reason; nobody knows the hooks of what is broken or disabled, and so not imported."""
    install("cli-bad", {"crystallize.plugins": {"bad": "cli_bad:Plugin"}}, {"cli_bad": "1 / 0"})
    path = write("crystallize.toml", 'disable = ["a_plain"]\n')
    found = explained("before_run")
    assert found["order"] == []
    broken = "plugin 'bad' (cli_bad:Plugin) cannot be imported: ZeroDivisionError: division by zero"
    assert [(line["plugin"], line["status"], line["reason"]) for line in found["skipped"]] == [
        ("a_plain", "disabled", f"disabled in {path}"),
        ("bad", "broken", f"{broken} [distribution 'cli-bad 1.2', plugin 'bad']"),
    ]


def test_a_refused_stack_is_said_with_its_error(explained, alone, write):
    """There is no order to explain then."""
    write("crystallize.toml", 'plugins = ["nothing"]\n')
    found = explained()
    assert found["order"] == []
    assert "'nothing' is not installed" in found["error"]


def test_text_for_people(crystallize, alone, write):
    """The hook, the order, the rest."""
    path = write("crystallize.toml", 'plugins = ["a_plain"]\n')
    lines = crystallize("plugins", "explain", "before_run").stdout.splitlines()
    assert lines == [
        "before_run(experiment, run)",
        "  Called once in the coordinator before any replicate.",
        "  every implementation is called, in the order of the stack",
        "",
        "1. a_plain (cli-order, number 1 of the stack, observer)",
        f"   number 1 of the list of plugins, from {path}, plugins",
        "",
        f"configuration: {path}",
    ]


def test_an_unknown_hook_is_refused_with_a_suggestion(crystallize, alone):
    """As any mistake of the user."""
    done = crystallize("plugins", "explain", "after_rum")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "error: there is no hook 'after_rum'; did you mean 'after_run'?\n"
