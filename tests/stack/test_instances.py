"""Several instances of one plugin in one stack, under different names."""

from __future__ import annotations

import pickle

import attrs
import pytest

from crystallize_core import BasePlugin, ConfigurationError, Experiment, PluginError
from crystallize_core.engine.run import stack_digest
from crystallize_core.stack.parity import Parity
from crystallize_core.stack.resolve import resolve

LOG = """
import attrs

from crystallize_core import BasePlugin

@attrs.{define}
class Plugin(BasePlugin):
    level: str = "info"
    {places}

    def before_run(self, run): ...

    def describe_run(self, experiment):
        return {{"name": self.plugin_name, "level": self.level}}
"""


@attrs.define
class Mine(BasePlugin):
    size: int = 1

    def before_run(self, run): ...


@attrs.frozen
class Cold(Mine):
    plugin_name = "cold"


def log(define="define", places=""):
    return LOG.format(define=define, places=places)


def described(stack):
    return [(plugin.name, plugin.instance_of, plugin.plugin.plugin_name) for plugin in stack]


def refused(error=ConfigurationError):
    with pytest.raises(error) as caught:
        resolve()
    return str(caught.value)


def lines(source, *problems):
    return f"{source}:" + "".join(f"\n  {problem}" for problem in problems)


@pytest.mark.parametrize("define", ["define", "frozen", "define(slots=False)"])
def test_each_instance_has_its_own_name_and_options(site, project, monkeypatch, define):
    """From the file and from the environment; it knows its name."""
    site.plugin("log", log(define))
    project.config('plugins = ["log", "log as audit", "log  as more"]')
    monkeypatch.setenv("CRYSTALLIZE_AUDIT__LEVEL", "debug")
    stack = resolve()
    assert described(stack) == [("log", None, None), ("audit", "log", "audit"), ("more", "log", "more")]
    assert [plugin.plugin.level for plugin in stack] == ["info", "debug", "info"]


def test_a_plugin_can_be_there_under_another_name_only(site, project):
    """The options go by the name in the stack."""
    site.plugin("log", log())
    project.config('plugins = ["log as audit"]\n[options.audit]\nlevel = "x"')
    assert [(p.name, p.plugin.level, p.distribution) for p in resolve()] == [("audit", "x", "x-log")]


@pytest.mark.parametrize("how", ["file", "environment"])
def test_an_instance_can_be_disabled_by_its_name(site, project, monkeypatch, how):
    """The others stay."""
    site.plugin("log", log())
    project.config('plugins = ["log", "log as audit"]\n' + ('disable = ["audit"]' if how == "file" else ""))
    if how == "environment":
        monkeypatch.setenv("CRYSTALLIZE_DISABLE", "audit")
    assert [plugin.name for plugin in resolve()] == ["log"]


def test_places_by_the_names_of_instances_and_of_what_they_are_instances_of(site, project):
    """`log` stands for all that are instances of it; `audit` for that one."""
    site.plugin("log", log())
    site.plugin("early", log(places="before = ('log',)"))
    site.plugin("late", log(places="after = ('audit',)"))
    project.config('plugins = ["late", "log as audit", "log", "early", "log as third"]')
    assert [plugin.name for plugin in resolve()] == ["early", "audit", "late", "log", "third"]


def test_instances_of_one_plugin_are_not_before_each_other(site, project):
    """What a class says about its own name is about itself."""
    site.plugin("log", log(places="before = ('log', '*')"))
    project.config('plugins = ["log as b", "log as a"]')
    assert [plugin.name for plugin in resolve()] == ["b", "a"]


def test_two_instances_of_one_name_are_refused(site, project):
    """A stack has one of each name."""
    site.plugin("log", log())
    project.config('plugins = ["log", "log as log"]')
    assert refused(PluginError) == (
        "two plugins are named 'log' (x-log and x-log); a stack has one of each name [plugin 'log']"
    )


@pytest.mark.parametrize("name", ["a b", "./x", "*"])
def test_a_name_must_be_one(site, project, name):
    """It stands in options, variables and records."""
    site.plugin("log", log())
    path = project.config(f'plugins = ["log as {name}"]')
    assert refused() == lines(
        path, f"plugins: 'log as {name}': a name has letters, digits, '_', '-' and '.', found {name!r}"
    )


def test_what_is_no_class_has_no_further_instances(site, project):
    """There is but one of it, and it would be called twice."""
    site.module("x_log", "from crystallize_core import hookimpl\n@hookimpl\ndef before_run(run): ...")
    site.distribution("x-log", "[crystallize.plugins]\nlog = x_log\n")
    path = project.config('plugins = ["log", "log as audit"]')
    assert refused() == lines(path, "plugins: 'audit' would be one more instance of a module; only a class has several")


def test_a_plugin_of_a_local_file_under_another_name(project, site):
    """The path takes the place of the name."""
    path = project.write("hooks.py", log().replace("class Plugin", "class Local"))
    project.config('plugins = ["./hooks.py", "./hooks.py as audit"]\n[options.audit]\nlevel = "x"')
    stack = resolve()
    assert [(p.name, p.instance_of, p.origin, p.plugin.level) for p in stack] == [
        ("local", None, str(path), "info"),
        ("audit", "local", str(path), "x"),
    ]


def test_one_name_for_several_plugins_of_a_file_is_refused(project, site):
    """Which one is meant cannot be guessed."""
    project.write("hooks.py", "".join(log().replace("class Plugin", f"class {name}") for name in ("One", "Two")))
    path = project.config('plugins = ["./hooks.py as audit"]')
    assert refused() == lines(
        path, "plugins: './hooks.py as audit': one name for several plugins, the file has 'one', 'two'"
    )


def test_instances_that_are_passed_in_python(site):
    """A copy with another name; the original and its options stay as they are."""
    site.plugin("mine", "from crystallize_core import BasePlugin\nclass Plugin(BasePlugin): ...")
    first = Mine(size=2)
    second = first.named("second")
    cold = Cold(size=3).named("colder")
    stack = resolve([first, second, cold], autoload=False)
    assert [(p.name, p.plugin.size) for p in stack] == [("mine", 2), ("second", 2), ("colder", 3)]
    assert (first.plugin_name, Cold().plugin_name) == (None, "cold")


def test_a_passed_instance_says_what_it_is_an_instance_of(site):
    """Where its class is that of an entry point; the installed one stays in the stack."""
    site.plugin("log", log())
    from x_log import Plugin

    stack = resolve([Plugin(level="x").named("audit")])
    assert [(p.name, p.instance_of, p.plugin.level) for p in stack] == [("log", None, "info"), ("audit", "log", "x")]


def test_names_reach_workers(site, project):
    """By the recipe of the stack; the options of each instance are compared by its name."""
    site.plugin("log", log())
    project.config('plugins = ["log", "log as audit"]\n[options.audit]\nlevel = "x"')
    stack = resolve([Cold().named("colder")])
    again = pickle.loads(pickle.dumps(stack))
    assert described(again) == described(stack)
    assert dict(Parity.of(again).plugins) == {"log": {"level": "info"}, "audit": {"level": "x"}, "colder": {"size": 1}}


def test_the_run_record_has_each_instance(site, project):
    """With its name, what it is an instance of, its options and what it says; another name is another stack."""
    site.plugin("log", log())
    project.config('plugins = ["log", "log as audit"]\n[options.audit]\nlevel = "x"')
    run = Experiment(lambda ctx: 1, [lambda data: data]).run().run
    assert [(p.name, p.instance_of, p.options) for p in run.stack] == [
        ("log", None, {"level": "info"}),
        ("audit", "log", {"level": "x"}),
    ]
    assert run.described == {"log": {"name": None, "level": "info"}, "audit": {"name": "audit", "level": "x"}}
    renamed = [run.stack[0], attrs.evolve(run.stack[1], instance_of=None)]
    assert stack_digest(renamed) != run.stack_digest


def test_the_summary_of_a_run_names_both(site, project):
    """The name in the stack, and the plugin."""
    site.plugin("log", log())
    project.config('plugins = ["log as audit"]')
    assert "\nstack: audit (log) 1.0 (core " in str(Experiment(lambda ctx: 1, [lambda data: data]).run())


def test_what_takes_no_name_is_refused(site, project):
    """It could not be told from the other one."""
    code = "from crystallize_core import hookimpl\nclass Plugin:\n    __slots__ = ()\n    @hookimpl\n"
    site.plugin("stubborn", f"{code}    def before_run(self): ...")
    project.config('plugins = ["stubborn as other"]')
    assert refused(PluginError).startswith("an instance of Plugin cannot be named 'other': ")
