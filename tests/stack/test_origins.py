"""Where the values of a stack come from: what was said, by whom, in which line, and in place of what."""

from __future__ import annotations

import pytest

from crystallize_core.stack.config import find_config
from crystallize_core.stack.origins import Origin, Trace
from crystallize_core.stack.overrides import overridden
from crystallize_core.stack.resolve import resolve

PLUGIN = """
import attrs

from crystallize_core import BasePlugin

@attrs.define
class Plugin(BasePlugin):
    size: int = 1

    def before_run(self, run): ...
"""


def said(told):
    return [(one.value, one.origin.kind, str(one.origin)) for one in told]


def lines_of(trace):
    keys = sorted(trace.below())
    return {".".join(key): [told.origin.line for told in trace.told(key)] for key in keys}


def test_everything_that_was_said_of_one_option(site, project, monkeypatch):
    """The one that counts, and the others, the strongest first."""
    site.plugin("a", PLUGIN)
    site.plugin("base", "Plugin = {'options': {'a': {'size': 1}}}", group="stacks")
    site.plugin("house", "Plugin = {'extends': ['base'], 'options': {'a': {'size': 2}}}", group="stacks")
    path = project.config('extends = ["house"]\n[options.a]\nsize = 3\n[profiles.ci.options.a]\nsize = 4')
    monkeypatch.setenv("CRYSTALLIZE_A__SIZE", "5")
    with overridden(profile="ci", options=("a.size=6",)):
        trace = resolve().config.trace
    assert said(trace.told(("options", "a", "size"))) == [(6, "command line", "-o a.size")]
    assert said(trace.overridden(("options", "a", "size"))) == [
        (5, "environment", "environment variable CRYSTALLIZE_A__SIZE"),
        (4, "profile", f"{path}, profiles.ci.options.a.size"),
        (3, "file", f"{path}, options.a.size"),
        (2, "stack", "stack 'house' of x-house 1.0, options.a.size"),
        (1, "stack", "stack 'base' of x-base 1.0, options.a.size"),
    ]
    assert said(trace.told(("profile",))) == [("ci", "command line", "--profile")]


def test_lists_that_count_together(site, project, monkeypatch):
    """Those of shipped stacks and of the project; what is left out, whoever says it."""
    for name in ("a", "b", "c"):
        site.plugin(name, PLUGIN)
    site.plugin("house", "Plugin = {'plugins': ['a'], 'disable': ['c']}", group="stacks")
    path = project.config('extends = ["house"]\nplugins = ["b"]')
    monkeypatch.setenv("CRYSTALLIZE_DISABLE", "a")
    trace = resolve().config.trace
    assert said(trace.told(("plugins",))) == [
        (["a"], "stack", "stack 'house' of x-house 1.0, plugins"),
        (["b"], "file", f"{path}, plugins"),
    ]
    assert said(trace.told(("disable",))) == [
        (["c"], "stack", "stack 'house' of x-house 1.0, disable"),
        (["a"], "environment", "environment variable CRYSTALLIZE_DISABLE"),
    ]


def test_a_list_that_is_replaced(site, project):
    """All that it replaces is kept, the strongest first."""
    site.plugin("a", PLUGIN)
    site.plugin("house", "Plugin = {'plugins': ['x']}", group="stacks")
    path = project.config('extends = ["house"]\nplugins = ["y"]')
    with overridden(options=("plugins=a",)):
        trace = resolve().config.trace
    assert said(trace.told(("plugins",))) == [(["a"], "command line", "-o plugins")]
    assert said(trace.overridden(("plugins",))) == [
        (["y"], "file", f"{path}, plugins"),
        (["x"], "stack", "stack 'house' of x-house 1.0, plugins"),
    ]


def test_an_executor_that_is_passed_in_python(site, project):
    """By name or as an object."""
    code = PLUGIN + "\n    def run_experiment_loop(self): ...\n"
    site.plugin("swarm", code, group="executors")
    path = project.config('executor = "swarm"')
    trace = resolve(executor="swarm").config.trace
    assert said(trace.told(("executor",))) == [("swarm", "argument", "executor= in Python")]
    assert said(trace.overridden(("executor",))) == [("swarm", "file", f"{path}, executor")]


def test_resolving_twice_says_nothing_twice(site, project, monkeypatch):
    """A configuration that is passed on stays as it is."""
    site.plugin("a", PLUGIN)
    project.config("[options.a]\nsize = 3")
    monkeypatch.setenv("CRYSTALLIZE_A__SIZE", "5")
    config = find_config()
    for _ in range(2):
        assert len(resolve(config=config).config.trace.overridden(("options", "a", "size"))) == 1
    assert config.trace.overridden(("options", "a", "size")) == []


def test_lines_of_a_file(project):
    """However TOML writes a key, as long as it is certain."""
    project.config(
        """
        executor = "x"  # line 2
        plugins = [
          "a",
        ]
        [ options . a ]
        size = 3
        "odd key" = 1
        inner.deep = 4
        [options]
        b.size = 5
        c = { size = 6 }
        [options.d]   # a comment
        text = \'\'\'
        size = 7
        \'\'\'
        size = 8
        """
    )
    trace = find_config().trace
    assert lines_of(trace) == {
        "executor": [2],
        "plugins": [3],
        "options.a.size": [7],
        "options.a.odd key": [8],
        "options.a.inner": [None],
        "options.b.size": [11],
        "options.c.size": [None],
        "options.d.text": [14],
        "options.d.size": [None],  # it could be one or the other
    }


def test_lines_of_a_pyproject(project):
    """Below the table that is ours."""
    project.write(
        "pyproject.toml",
        "[options.a]\nsize = 1\n[tool.crystallize.options.a]\nsize = 2\n[tool.crystallize.profiles.ci.options.a]\nsize = 3",
    )
    trace = find_config(profile="ci").trace
    assert lines_of(trace) == {"profile": [None], "options.a.size": [6]}
    assert [told.origin.line for told in trace.overridden(("options", "a", "size"))] == [4]


def test_a_file_that_is_gone_has_no_lines(project):
    """What was said stays known."""
    path = project.config('executor = "x"')
    trace = find_config().trace
    path.unlink()
    assert lines_of(trace) == {"executor": [None]}


@pytest.mark.parametrize("key", [("executor",), ("options", "a", "size")])
def test_of_two_traces_the_stronger_counts(key):
    """What the weaker one alone says stays."""
    weak, strong = Trace(), Trace()
    for trace, value in ((weak, 1), (weak, 2), (strong, 3)):
        trace.replace(key, value, Origin("file", f"f{value}"))
    weak.replace(("other",), 9, Origin("file", "f9"))
    both = strong.over(weak)
    assert said(both.told(key)) == [(3, "file", "f3")]
    assert said(both.overridden(key)) == [(2, "file", "f2"), (1, "file", "f1")]
    assert said(both.told(("other",))) == [(9, "file", "f9")]
    assert (both.told(("nothing",)), both.overridden(("nothing",))) == ([], [])
