"""From what a project says, what is installed and what was passed to the stack of an experiment."""

from __future__ import annotations

import sys
import types
import warnings

import attrs
import pytest

from crystallize_core import BasePlugin, ConfigurationError, DefinitionError, Experiment, PluginError, hookimpl
from crystallize_core.stack.resolve import resolve

WITH_OPTIONS = """
import attrs

from crystallize_core import BasePlugin

@attrs.define
class Plugin(BasePlugin):
    size: int = 1
    level: float = attrs.field(default=0.5, validator=attrs.validators.le(1))
    labels: list[str] = attrs.field(factory=list)

    def before_run(self, run): ...
"""


def names(stack):
    return [plugin.name for plugin in stack]


def refused(*arguments, error=ConfigurationError, **more):
    with pytest.raises(error) as caught:
        resolve(*arguments, **more)
    return str(caught.value)


def lines(source, *problems):
    return f"{source}:" + "".join(f"\n  {problem}" for problem in problems)


@attrs.define
class Counter(BasePlugin):
    plugin_name = "counter"
    start: int = 0

    def before_run(self, run): ...


# Names in the list --------------------------------------------------------------------------------------


def test_the_order_of_the_list_is_the_order_of_the_stack(site, project):
    """The outermost first, as the project wrote it."""
    for name in ("a", "b", "c"):
        site.plugin(name, WITH_OPTIONS)
    project.config('plugins = ["c", "a", "b"]')
    assert names(resolve()) == ["c", "a", "b"]


def test_an_empty_list_is_a_list(site, project):
    """No plugin, and not every plugin."""
    site.plugin("a", WITH_OPTIONS)
    project.config("plugins = []")
    assert names(resolve()) == []


def test_a_name_that_is_not_installed_comes_with_the_line_that_installs_it(site, project):
    """What is installed is said too."""
    site.plugin("a", WITH_OPTIONS)
    path = project.config('plugins = ["tracing", "a"]')
    assert refused() == lines(
        path, "plugins: 'tracing' is not installed: pip install crystallize-tracing (installed: 'a'.)"
    )


def test_a_misspelt_name_comes_with_a_suggestion(site, project):
    """Installing something is not what is missing."""
    site.plugin("tracing", WITH_OPTIONS)
    path = project.config('plugins = ["tracign"]')
    assert refused() == lines(path, "plugins: 'tracign' is not installed; did you mean 'tracing'?")


def test_a_name_that_is_listed_twice_is_refused(site, project):
    """Which place is meant cannot be guessed."""
    site.plugin("a", WITH_OPTIONS)
    project.config('plugins = ["a", "a"]')
    assert refused(error=PluginError) == (
        "two plugins are named 'a' (x-a and x-a); a stack has one of each name [plugin 'a']"
    )


# Options ------------------------------------------------------------------------------------------------


def test_options_make_the_instance(site, project):
    """The fields of the class are the keys of the table."""
    site.plugin("a", WITH_OPTIONS)
    project.config('[options.a]\nsize = 3\nlevel = 1\nlabels = ["x"]')
    plugin = resolve().find("a")
    assert (plugin.size, plugin.level, plugin.labels) == (3, 1.0, ["x"])


def test_all_wrong_options_of_all_plugins_are_reported_at_once(site, project):
    """With other mistakes of the file, and each with its path."""
    site.plugin("a", WITH_OPTIONS)
    site.plugin("b", WITH_OPTIONS)
    path = project.config(
        """
        plugins = ["a", "b", "c"]
        executor = "dask"
        [options.a]
        size = "big"
        colour = "red"
        level = 2
        [options.b]
        labels = "x"
        [options.d]
        x = 1
        """
    )
    assert refused() == lines(
        path,
        "options.a: 3 problems",
        "options.a.size: expected int, found str 'big'",
        "options.a.level: 'level' must be <= 1: 2.0",
        "options.a.colour: unknown option; known: 'labels', 'level', 'size'.",
        "options.b.labels: expected list[str], found str 'x'",
        "plugins: 'c' is not installed: pip install crystallize-c (installed: 'a', 'b'.)",
        "executor 'dask' is not installed: pip install crystallize-dask (nothing is installed.)",
        "options.d: there is no plugin 'd'; known: 'a', 'b'.",
    )


def test_wrong_options_of_what_is_merely_installed_are_an_error(site, project):
    """They were written down by somebody."""
    site.plugin("a", WITH_OPTIONS)
    path = project.config("[options.a]\nsize = 1.5")
    assert refused() == lines(path, "options.a.size: expected int, found float 1.5")


def test_a_table_of_options_for_an_unknown_plugin_is_an_error(site, project):
    """Nothing is silently ignored."""
    site.plugin("seeding", WITH_OPTIONS)
    path = project.config("[options.seedling]\nsize = 1")
    assert refused() == lines(path, "options.seedling: there is no plugin 'seedling'; did you mean 'seeding'?")


def test_options_for_a_plugin_that_is_no_class_are_an_error(site, project):
    """A ready-made object has nothing to set."""
    site.plugin("a", "from crystallize_core import BasePlugin\nPlugin = BasePlugin()")
    path = project.config("[options.a]\nsize = 1")
    assert refused() == lines(path, "options.a: plugin 'a' takes no options, because it is no class")


def test_a_missing_option_of_a_named_plugin_is_an_error(site, project):
    """The type says what to write."""
    site.plugin("a", WITH_OPTIONS.replace("size: int = 1", "size: int"))
    path = project.config('plugins = ["a"]')
    assert refused() == lines(path, "options.a.size: missing; expected int")


def test_options_of_a_disabled_plugin_are_left_alone(site, project, monkeypatch):
    """Switching something off for one run needs no edit of the file."""
    site.plugin("a", WITH_OPTIONS)
    project.config("[options.a]\nsize = 3")
    monkeypatch.setenv("CRYSTALLIZE_DISABLE", "a")
    assert names(resolve()) == []


# Disabling and autoloading ------------------------------------------------------------------------------


def test_disabled_by_the_project(site, project):
    """The reason is kept for `crystallize plugins list`."""
    site.plugin("a", WITH_OPTIONS)
    site.plugin("b", WITH_OPTIONS)
    project.config('disable = ["a"]')
    stack = resolve()
    assert names(stack) == ["b"]
    assert [(s.name, s.distribution, s.reason) for s in stack.skipped] == [("a", "x-a 1.0", "disabled")]


def test_disabled_by_the_environment_although_it_is_listed(site, project, monkeypatch):
    """For one run, without an edit of the file."""
    site.plugin("a", WITH_OPTIONS)
    site.plugin("b", WITH_OPTIONS)
    project.config('plugins = ["a", "b"]')
    monkeypatch.setenv("CRYSTALLIZE_DISABLE", "b")
    assert names(resolve()) == ["a"]


def test_without_autoload_the_list_is_everything(site, project):
    """Neither what is installed nor what the project says takes part."""
    site.plugin("a", "raise RuntimeError")
    project.config('plugins = ["nowhere"]\nbroken = 1')
    assert names(resolve([Counter()], autoload=False)) == ["counter"]


def test_the_environment_can_switch_autoload_off(site, project, monkeypatch):
    """CRYSTALLIZE_AUTOLOAD=0 means the same."""
    site.plugin("a", "raise RuntimeError")
    project.config('plugins = ["nowhere"]')
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    assert names(resolve([Counter()])) == ["counter"]
    assert names(resolve()) == []


def test_an_empty_list_of_passed_plugins_still_means_every_installed_one(site):
    """Passing nothing is not the same as wanting nothing."""
    site.plugin("a", WITH_OPTIONS)
    made = Experiment(lambda ctx: 1, [lambda data: data], plugins=[])
    assert names(made.stack) == ["a"]


def test_the_profile_of_the_environment_decides_about_the_stack(site, project, monkeypatch):
    """CRYSTALLIZE_PROFILE reaches the experiment."""
    site.plugin("a", WITH_OPTIONS)
    site.plugin("b", WITH_OPTIONS)
    project.config('plugins = ["a", "b"]\n[profiles.ci]\nplugins = ["b"]\n[profiles.ci.options.b]\nsize = 9')
    monkeypatch.setenv("CRYSTALLIZE_PROFILE", "ci")
    stack = resolve()
    assert names(stack) == ["b"]
    assert stack.find("b").size == 9


# Stacks of distributions --------------------------------------------------------------------------------


def ships(site, name, table):
    site.plugin(name, f"Plugin = {table!r}", group="stacks")


def test_a_project_can_extend_a_stack_that_a_distribution_ships(site, project):
    """Its plugins come first, and its options are the ones to start from."""
    for name in ("a", "b", "c"):
        site.plugin(name, WITH_OPTIONS)
    ships(site, "house", {"plugins": ["b", "a"], "options": {"a": {"size": 5, "labels": ["x"]}}})
    project.config('extends = ["house"]\nplugins = ["c", "a"]\n[options.a]\nsize = 7')
    stack = resolve()
    assert names(stack) == ["b", "a", "c"]
    assert (stack.find("a").size, stack.find("a").labels) == (7, ["x"])


def test_an_extended_stack_without_further_plugins_is_the_whole_stack(site, project):
    """What is installed besides does not take part."""
    for name in ("a", "b"):
        site.plugin(name, WITH_OPTIONS)
    ships(site, "house", {"plugins": ["b"]})
    project.config('extends = ["house"]')
    assert names(resolve()) == ["b"]


def test_a_shipped_stack_may_leave_the_plugins_open(site, project):
    """Every installed plugin is active, with what the stack says besides."""
    for name in ("a", "b"):
        site.plugin(name, WITH_OPTIONS)
    ships(site, "house", {"disable": ["b"], "options": {"a": {"size": 4}}})
    project.config('extends = ["house"]')
    stack = resolve()
    assert names(stack) == ["a"]
    assert stack.find("a").size == 4


def test_a_shipped_stack_may_extend_another(site, project):
    """The basis comes first."""
    for name in ("a", "b"):
        site.plugin(name, WITH_OPTIONS)
    ships(site, "base", {"plugins": ["a"], "executor": "none"})
    ships(site, "house", {"extends": ["base"], "plugins": ["b"]})
    path = project.config('extends = ["house"]')
    assert refused() == lines(
        path, "executor 'none' is not installed: pip install crystallize-none (nothing is installed.)"
    )
    ships(site, "base", {"plugins": ["a"]})
    del sys.modules["x_base"]
    assert names(resolve()) == ["a", "b"]


def test_stacks_that_extend_each_other_are_refused(site, project):
    """The circle is shown."""
    ships(site, "one", {"extends": ["two"]})
    ships(site, "two", {"extends": ["one"]})
    path = project.config('extends = ["one"]')
    assert refused() == lines(path, "extends: stack 'one' extends itself: one -> two -> one")


def test_an_unknown_stack_is_refused_with_a_suggestion(site, project):
    """What distributions ship is known by name."""
    ships(site, "standard", {})
    path = project.config('extends = ["standart", "x"]')
    assert refused() == lines(
        path,
        "extends: there is no stack 'standart'; did you mean 'standard'?",
        "extends: there is no stack 'x'; installed: 'standard'.",
    )


def test_a_stack_that_two_distributions_ship_is_refused(site, project):
    """Both are named."""
    site.module("x_stack", "STACK = {}")
    site.distribution("x-one", "[crystallize.stacks]\nhouse = x_stack:STACK")
    site.distribution("x-two", "[crystallize.stacks]\nhouse = x_stack:STACK")
    path = project.config('extends = ["house"]')
    assert refused() == lines(path, "extends: stack 'house' is shipped by x-one 1.0 and x-two 1.0; uninstall one")


def test_a_wrong_stack_of_a_distribution_names_the_distribution(site, project):
    """It is checked like a file of one's own."""
    ships(site, "house", {"plugin": []})
    project.config('extends = ["house"]')
    assert refused() == lines("stack 'house' of x-house 1.0", "plugin: unknown key; did you mean 'plugins'?")


def test_a_stack_that_is_no_table_names_the_distribution(site, project):
    """Whatever the entry point refers to."""
    ships(site, "house", 3)
    project.config('extends = ["house"]')
    assert refused() == "stack 'house' of x-house 1.0: expected a table, found 3"


# Passed plugins -----------------------------------------------------------------------------------------


def test_a_passed_plugin_replaces_the_installed_one_of_its_name(site):
    """The installed one is not even imported."""
    site.plugin("counter", "raise RuntimeError")
    mine = Counter(start=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack = resolve([mine])
    assert names(stack) == ["counter"]
    assert stack.find("counter") is mine


def test_a_passed_plugin_replaces_the_listed_one_of_its_name(site, project):
    """Also where the project lists it, with options for the one that is replaced."""
    site.plugin("counter", WITH_OPTIONS)
    project.config('plugins = ["counter"]\n[options.counter]\nsize = 3')
    mine = Counter(start=5)
    assert resolve([mine]).find("counter") is mine


def test_a_passed_plugin_without_a_name_has_that_of_its_entry_point(site):
    """An instance made in Python stands for the installed one, whatever its class is called."""
    site.plugin("loud", WITH_OPTIONS.replace("class Plugin", "class VeryLoud"), attribute="VeryLoud")
    from x_loud import VeryLoud

    mine = VeryLoud(size=2)
    stack = resolve([mine])
    assert names(stack) == ["loud"]
    assert stack.find("loud") is mine
    assert [(p.distribution, p.version, p.origin) for p in stack] == [("x-loud", "1.0", "argument")]


def test_a_passed_module_that_is_an_entry_point_has_its_name(site):
    """Modules are plugins too."""
    site.module("x_mod", "from crystallize_core import hookimpl\n@hookimpl\ndef before_run(run): ...")
    site.distribution("x-mod", "[crystallize.plugins]\nmodular = x_mod\n")
    import x_mod

    stack = resolve([x_mod])
    assert names(stack) == ["modular"]
    assert stack.find("modular") is x_mod


def test_passed_plugins_come_behind_those_of_the_project(site, project):
    """Unless they say something else about their place."""

    class Early(BasePlugin):
        before = ("*",)

    site.plugin("a", WITH_OPTIONS)
    project.config('plugins = ["a"]')
    assert names(resolve([Counter(), Early()])) == ["early", "a", "counter"]


def test_two_passed_plugins_of_one_name_are_refused():
    """A name means one plugin."""
    assert refused([Counter(), Counter()], autoload=False, error=PluginError) == (
        "two plugins named 'counter' were passed; a stack has one of each name [plugin 'counter']"
    )


def test_passed_plugins_that_do_not_say_their_name_are_numbered():
    """Two of one class may do two things."""

    class Log(BasePlugin):
        pass

    assert names(resolve([Log(), Log(), Log()], autoload=False)) == ["log", "log_2", "log_3"]


def test_a_name_in_place_of_an_object_is_refused():
    """Names belong into the project's file."""
    assert refused(["seeding"], autoload=False, error=PluginError) == (
        "plugins=['seeding']: pass plugin objects here; names belong in crystallize.toml"
    )


def test_a_class_in_place_of_an_object_is_refused():
    """With the line that was meant."""
    assert refused([Counter], autoload=False, error=PluginError) == (
        "plugin 'counter' is a class; have you forgotten the parentheses? Counter() [plugin 'counter']"
    )


def test_one_plugin_in_place_of_a_list_is_refused(project):
    """The definition says what it wanted."""
    with pytest.raises(DefinitionError) as caught:
        Experiment(lambda ctx: 1, [lambda data: data], plugins=Counter())
    assert str(caught.value) == (
        "experiment 'experiment' cannot be made:\n  plugins must be a list, found Counter Counter(start=0)"
    )


def test_a_passed_module_of_hooks_takes_part():
    """Its name is the last part of the module's."""
    module = types.ModuleType("pack.hooks")
    calls = []

    @hookimpl
    def before_run(run):
        calls.append(run.experiment)

    module.before_run = before_run
    made = Experiment(lambda ctx: 1, [lambda data: data], [module], name="mine", autoload=False)
    assert names(made.stack) == ["hooks"]
    made.run()
    assert calls == ["mine"]


def test_a_plugin_can_be_looked_up_by_name_and_by_class():
    """Both find the object."""
    mine = Counter()
    made = Experiment(lambda ctx: 1, [lambda data: data], [mine], autoload=False)
    assert made.get_plugin("counter") is mine
    assert made.get_plugin(Counter) is mine
    assert made.get_plugin("other") is None
    assert made.plugins == [mine]
