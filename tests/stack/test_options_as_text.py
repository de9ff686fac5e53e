"""Options and settings from the environment and the command line: which wins, and what is said about wrong ones."""

from __future__ import annotations

import itertools
import warnings

import attrs
import pytest

from crystallize_core import BasePlugin, ConfigurationError, SettingWarning
from crystallize_core.stack.overrides import overridden, overrides
from crystallize_core.stack.resolve import resolve

PLUGIN = """
import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from crystallize_core import BasePlugin

@attrs.define
class Limits:
    most: int = 10
    per_step: dict[str, float] = attrs.field(factory=dict)

@attrs.define
class Plugin(BasePlugin):
    size: int = 1
    level: float = attrs.field(default=0.5, validator=attrs.validators.le(1))
    is_on: bool = False
    folder: Path | None = None
    labels: list[str] = attrs.field(factory=list)
    limits: Limits = attrs.field(factory=Limits)
    free: Any = None
    api_key: str = ""
    pin: int = attrs.field(default=0, metadata={"secret": True})

    def before_run(self, run): ...
"""

EXECUTOR = """
import attrs

from crystallize_core import BasePlugin

@attrs.define
class Plugin(BasePlugin):
    workers: int = 1

    def run_experiment_loop(self, replicate_fn):
        return [replicate_fn(number) for number in replicate_fn.pending]
"""


@attrs.define
class Counter(BasePlugin):
    plugin_name = "counter"
    start: int = 0

    def before_run(self, run): ...


def names(stack):
    return [plugin.name for plugin in stack]


def refused(*options):
    with pytest.raises(ConfigurationError) as caught, overridden(options=options):
        resolve()
    return str(caught.value)


def lines(source, *problems):
    return f"{source}:" + "".join(f"\n  {problem}" for problem in problems)


def warned(*options, given=(), **more):
    with warnings.catch_warnings(record=True) as caught, overridden(options=options):
        warnings.simplefilter("always")
        resolve(given, **more)
    assert {warning.category for warning in caught} <= {SettingWarning}
    return [str(warning.message) for warning in caught]


@pytest.fixture
def a(site):
    """The plugin `a` is installed; make it with what the environment, the project and these options say."""
    site.plugin("a", PLUGIN)

    def made(*options):
        with overridden(options=options):
            return resolve().find("a")

    return made


# Which one counts ---------------------------------------------------------------------------------------


LAYERS = ("stack", "file", "profile", "environment", "command line")


@pytest.mark.parametrize("present", [c for n in range(6) for c in itertools.combinations(LAYERS, n)], ids=" < ".join)
def test_the_strongest_layer_that_says_something_counts(site, project, monkeypatch, a, present):
    """Every combination of the layers, in the order of the page."""
    site.plugin("house", "Plugin = {'options': {'a': {'size': 2}}}", group="stacks")
    text = 'extends = ["house"]\n' if "stack" in present else ""
    text += "[options.a]\nsize = 3\n" if "file" in present else ""
    text += "[profiles.ci.options.a]\nsize = 4\n" if "profile" in present else ""
    project.config(text)
    if "profile" in present:
        monkeypatch.setenv("CRYSTALLIZE_PROFILE", "ci")
    if "environment" in present:
        monkeypatch.setenv("CRYSTALLIZE_A__SIZE", "5")
    size = a(*(["a.size=6"] if "command line" in present else [])).size
    assert size == (LAYERS.index(present[-1]) + 2 if present else 1)


def test_an_object_in_python_counts_most(site, monkeypatch):
    """Its options are those that it was made with."""
    site.plugin("counter", PLUGIN)
    monkeypatch.setenv("CRYSTALLIZE_COUNTER__SIZE", "5")
    mine = Counter(start=3)
    assert resolve([mine]).find("counter") is mine


@pytest.mark.parametrize(
    ("variable", "text", "option", "value"),
    [
        ("SIZE", "7", "size", 7),
        ("LEVEL", "1", "level", 1.0),
        ("IS_ON", "true", "is_on", True),
        ("FOLDER", "/x y", "folder", "/x y"),
        ("FOLDER", "none", "folder", None),
        ("LABELS", '["x", "y"]', "labels", ["x", "y"]),
        ("FREE", "3.5", "free", 3.5),
        ("FREE", "word", "free", "word"),
        ("API_KEY", "12", "api_key", "12"),
    ],
)
def test_a_text_is_read_by_the_declared_type(a, monkeypatch, variable, text, option, value):
    """From the environment and the command line alike."""
    read = getattr(a(f"a.{option}={text}"), option)
    monkeypatch.setenv(f"CRYSTALLIZE_A__{variable}", text)
    again = getattr(a(), option)
    found = value if value is None or option != "folder" else type(read)(value)
    assert (read, type(read)) == (again, type(again)) == (found, type(found))


def test_keys_of_tables_inside_options(a, project, monkeypatch):
    """By further underscores and dots; what they do not name stays."""
    project.config("[options.a.limits]\nmost = 3\n[options.a.limits.per_step]\nfast = 0.5")
    monkeypatch.setenv("CRYSTALLIZE_A__LIMITS__PER_STEP__SLOW", "9")
    limits = a("a.limits.most=4").limits
    assert (limits.most, limits.per_step) == (4, {"fast": 0.5, "slow": 9.0})


def test_keys_of_a_table_that_is_nowhere_else(a):
    """The other keys have their defaults."""
    assert (a("a.limits.per_step.x=1").limits.most, a("a.limits.most=4").limits.per_step) == (10, {})
    assert a("a.free.deep.key=1").free == {"deep": {"key": 1}}


def test_dashes_and_dots_of_names_are_underscores_in_the_environment(site, monkeypatch):
    """On the command line names are written as they are."""
    site.module("x_odd", PLUGIN)
    site.distribution("x-odd", "[crystallize.plugins]\nacme.odd-one = x_odd:Plugin\n")
    monkeypatch.setenv("CRYSTALLIZE_ACME_ODD_ONE__SIZE", "5")
    with overridden(options=("acme.odd-one.level=0.25",)):
        plugin = resolve().find("acme.odd-one")
    assert (plugin.size, plugin.level) == (5, 0.25)


def test_of_two_names_the_longer_one_is_meant(site, project, monkeypatch):
    """Where one begins with the other."""
    site.module("x_log", PLUGIN)
    site.distribution("x-log", "[crystallize.plugins]\nacme = x_log:Plugin\nacme.log = x_log:Plugin\n")
    project.config('plugins = ["acme", "acme.log", "acme as acme__more"]')
    monkeypatch.setenv("CRYSTALLIZE_ACME__MORE__SIZE", "6")
    with overridden(options=("acme.log.size=5", "acme.size=4")):
        assert [p.plugin.size for p in resolve()] == [4, 5, 6]


def test_options_of_an_executor(site, monkeypatch):
    """It is a plugin like others; the executor itself can come from outside, too."""
    site.plugin("swarm", EXECUTOR, group="executors")
    monkeypatch.setenv("CRYSTALLIZE_SWARM__WORKERS", "4")
    with overridden(options=("executor=swarm",)):
        assert resolve().executor.plugin.workers == 4
    monkeypatch.setenv("CRYSTALLIZE_EXECUTOR", "swarm")
    with overridden(options=("swarm.workers=5",)):
        assert resolve().executor.plugin.workers == 5


def test_options_of_a_local_file(project, site, monkeypatch):
    """By the name of the plugin in it."""
    project.write("hooks.py", PLUGIN.replace("class Plugin", "class Mine"))
    project.config('plugins = ["./hooks.py"]')
    monkeypatch.setenv("CRYSTALLIZE_MINE__SIZE", "5")
    assert resolve().find("mine").size == 5


# Settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["environment", "command line"])
def test_the_list_of_plugins_is_replaced(site, project, monkeypatch, how):
    """Names are separated by commas."""
    for name in ("a", "b", "c"):
        site.plugin(name, PLUGIN)
    project.config('plugins = ["a"]')
    if how == "environment":
        monkeypatch.setenv("CRYSTALLIZE_PLUGINS", "c, b")
    with overridden(options=("plugins=c,b",) if how == "command line" else ()):
        assert names(resolve()) == ["c", "b"]


def test_what_is_left_out_adds_up(site, project, monkeypatch):
    """Nobody who leaves something out wants back what another one has left out."""
    for name in ("a", "b", "c", "d"):
        site.plugin(name, PLUGIN)
    project.config('disable = ["a"]')
    monkeypatch.setenv("CRYSTALLIZE_DISABLE", "b")
    with overridden(options=("disable=c",)):
        assert names(resolve()) == ["d"]


@pytest.mark.parametrize("how", ["environment", "command line"])
def test_what_was_passed_in_python_can_be_left_out_from_outside(site, monkeypatch, how):
    """To find out what it does, without an edit of the code; also where only what was passed counts."""
    if how == "environment":
        monkeypatch.setenv("CRYSTALLIZE_DISABLE", "counter")
    with overridden(options=("disable=counter",) if how == "command line" else ()):
        for autoload in (True, False):
            stack = resolve([Counter()], autoload=autoload)
            assert names(stack) == []
            assert [(s.name, s.reason) for s in stack.skipped] == [("counter", "disabled")]


def test_the_project_does_not_leave_out_what_was_passed_in_python(site, project):
    """It was asked for by the code."""
    site.plugin("counter", PLUGIN)
    project.config('disable = ["counter"]')
    assert names(resolve([Counter()])) == ["counter"]


def test_a_disabled_executor_leaves_the_plain_loop(site, project, monkeypatch):
    """The same experiment, one replicate after the other."""
    site.plugin("swarm", EXECUTOR, group="executors")
    project.config('executor = "swarm"')
    monkeypatch.setenv("CRYSTALLIZE_DISABLE", "swarm")
    stack = resolve()
    assert (stack.executor, [s.name for s in stack.skipped]) == (None, ["swarm"])
    assert resolve(executor="swarm").executor is None


def test_empty_variables_say_nothing(a, project, monkeypatch):
    """As if they were not set."""
    project.config('plugins = ["a"]')
    for name in ("EXECUTOR", "PLUGINS", "ALLOW", "DISABLE"):
        monkeypatch.setenv(f"CRYSTALLIZE_{name}", "")
    assert names(resolve()) == ["a"]


def test_the_command_line_holds_for_its_block_only():
    """Inside of another one it adds to it."""
    with overridden(profile="ci", options=("a.x=1",)):
        with overridden(options=("a.y=2",)):
            assert (overrides().profile, overrides().options) == ("ci", ("a.x=1", "a.y=2"))
        assert overrides().options == ("a.x=1",)
    assert (overrides().profile, overrides().options) == (None, ())


# What is wrong ------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_said_at_once(site, project, monkeypatch):
    """Problems of the file, of the environment and of the command line, each with its place."""
    site.plugin("a", PLUGIN)
    site.plugin("seeding", PLUGIN)
    path = project.config(
        """
        plugins = ["a", "seeding", "loging"]
        [options.a]
        labels = "x"
        [options.seding]
        size = 3
        """
    )
    monkeypatch.setenv("CRYSTALLIZE_A__SIZE", "many")
    monkeypatch.setenv("CRYSTALLIZE_SEEDNG__SIZE", "3")
    assert refused("a.levle=1", "seeding.level=2", "seed.size=3", "nothing", "exekutor=serial") == lines(
        path,
        "-o 'nothing': expected plugin.option=value; else it sets one of: 'allow', 'disable', 'executor', 'plugins'.",
        "-o exekutor: expected plugin.option=value; did you mean 'executor'?",
        "options.a: 3 problems",
        "environment variable CRYSTALLIZE_A__SIZE: expected int, found text 'many'",
        "-o a.levle: plugin 'a' has no option 'levle'; did you mean 'level'?",
        "options.a.labels: expected list[str], found str 'x'",
        "-o seeding.level: 'level' must be <= 1: 2.0",
        "plugins: 'loging' is not installed: pip install crystallize-loging (installed: 'a', 'seeding'.)",
        "options.seding: there is no plugin 'seding'; did you mean 'seeding'?",
        "environment variable CRYSTALLIZE_SEEDNG__SIZE: there is no plugin 'seedng'; did you mean 'seeding'?",
        "-o seed.size: there is no plugin 'seed'; did you mean 'seeding'?",
    )


def test_mistakes_of_the_file_come_with_those_from_outside_and_nothing_is_imported(site, project, monkeypatch):
    """The file may name too much when it is not read as it was meant."""
    site.plugin("a", "raise SystemExit")
    path = project.config('plugin = ["a"]\nextends = "house"\n')
    monkeypatch.setenv("CRYSTALLIZE_B__SIZE", "3")
    assert refused("x") == lines(
        path,
        "plugin: unknown key; did you mean 'plugins'?",
        "extends: expected a list of str, found 'house'",
        "-o 'x': expected plugin.option=value; else it sets one of: 'allow', 'disable', 'executor', 'plugins'.",
        "environment variable CRYSTALLIZE_B__SIZE: there is no plugin 'b'; known: 'a'.",
    )


def test_a_value_that_a_shipped_stack_says_is_wrong_there(site, project):
    """And not in the file of the project."""
    site.plugin("a", PLUGIN)
    site.plugin("house", "Plugin = {'options': {'a': {'size': 'big', 'level': 3}}}", group="stacks")
    path = project.config('extends = ["house"]\n[options.a]\nlevel = 4')
    assert refused() == lines(
        path,
        "options.a: 2 problems",
        "stack 'house' of x-house 1.0, options.a.size: expected int, found str 'big'",
        "options.a.level: 'level' must be <= 1: 4.0",
    )


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("a.limits.mots=3", "-o a.limits.mots: a.limits has no 'mots'; did you mean 'most'?"),
        ("a.limits.most=x", "-o a.limits.most: expected int, found text 'x'"),
        ("a.size.deep=3", "-o a.size.deep: a.size is no table, and has no 'deep'"),
        ("a.limits.per_step.x=y", "-o a.limits.per_step.x: expected float, found text 'y'"),
        ("a.pin=x", "-o a.pin: expected int, found text ***"),
    ],
)
def test_wrong_keys_and_values_inside_of_tables(a, option, problem):
    """With the whole path; secrets are masked."""
    assert refused(option) == lines("the stack", problem)


def test_an_option_that_is_set_twice_is_refused(a):
    """Which one is meant cannot be guessed."""
    assert refused("a.size=1", "a.size=2") == lines("the stack", "-o a.size: it is set twice")


def test_options_for_a_plugin_that_is_no_class(site):
    """A ready-made object has nothing to set."""
    site.plugin("a", "from crystallize_core import BasePlugin\nPlugin = BasePlugin()")
    assert refused("a.size=1") == lines("the stack", "-o a.size: plugin 'a' takes no options, because it is no class")


def test_a_missing_option_can_come_from_outside(site, project, monkeypatch):
    """Whoever says it, it is said."""
    site.plugin("a", PLUGIN.replace("size: int = 1", "size: int"))
    project.config('plugins = ["a"]')
    monkeypatch.setenv("CRYSTALLIZE_A__SIZE", "3")
    assert resolve().find("a").size == 3


@pytest.mark.parametrize(
    "variable", ["CRYSTALLIZE_CACHE_DIR", "CRYSTALLIZE_WORKERS", "CRYSTALLIZED__A__B", "OTHER__A__B"]
)
def test_other_variables_are_no_options(a, monkeypatch, variable):
    """An option has two underscores behind the name of its plugin."""
    monkeypatch.setenv(variable, "3")
    assert a().size == 1


# Names of nothing, and what has no effect ------------------------------------------------------------------


def test_a_misspelt_name_in_disable_is_an_error(site, project):
    """It would run what was to be left out."""
    site.plugin("report", PLUGIN)
    path = project.config('disable = ["reprot", "x", "cache", "report"]\n')
    assert refused() == lines(
        path,
        "disable: there is no plugin 'reprot'; did you mean 'report'?",
        "disable: there is no plugin 'x'; known: 'cache', 'report'.",
    )


def test_disable_may_name_what_a_list_names(site, project):
    """Whether or not it is installed here."""
    site.plugin("house", "Plugin = {'plugins': ['report', 'a as b'], 'disable': ['other']}", group="stacks")
    project.config('extends = ["house"]\ndisable = ["report", "b"]')
    assert names(resolve()) == []


def test_a_misspelt_name_in_the_environment_is_a_warning(a, monkeypatch):
    """The same variable may be set where other plugins are installed."""
    monkeypatch.setenv("CRYSTALLIZE_DISABLE", "b")
    assert warned("disable=c") == [
        (
            "environment variable CRYSTALLIZE_DISABLE has no effect on 'b': there is no plugin of this name; "
            "known: 'a', 'cache'."
        ),
        "-o disable has no effect on 'c': there is no plugin of this name; known: 'a', 'cache'.",
    ]


def test_what_the_command_line_says_in_vain_is_said(site, project):
    """Somebody has typed it and waits for it."""
    site.plugin("a", PLUGIN)
    site.plugin("b", PLUGIN)
    project.config('plugins = ["b"]')
    assert warned("counter.start=1", "a.size=2", "b.size=3", given=[Counter()]) == [
        "-o counter.start has no effect: plugin 'counter' was passed as an object in Python, which counts more",
        "-o a.size has no effect: plugin 'a' is not in the stack",
    ]


def test_where_only_what_was_passed_counts_the_command_line_does_not(site, monkeypatch):
    """And says so; the environment is silent, it was not typed for this run."""
    site.plugin("swarm", EXECUTOR, group="executors")
    monkeypatch.setenv("CRYSTALLIZE_SWARM__WORKERS", "x")
    monkeypatch.setenv("CRYSTALLIZE_EXECUTOR", "swarm")
    assert warned("executor=swarm", "plugins=a", "a.size=3", given=[Counter()], autoload=False) == [
        "-o a.size has no effect: plugin 'a' is not in the stack",
        "-o executor has no effect: only what was passed in Python counts here",
        "-o plugins has no effect: only what was passed in Python counts here",
    ]


@pytest.mark.parametrize("chosen", ["swarm", "swarm://host:8786"])
def test_options_of_the_executor_that_a_command_runs_with_have_an_effect(site, chosen):
    """The stack of an experiment is made before it is run, and does not have that executor yet."""
    site.plugin("swarm", EXECUTOR, group="executors")
    with overridden(executor=chosen):
        assert warned("swarm.workers=2", "a.size=3", autoload=False) == [
            "-o a.size has no effect: plugin 'a' is not in the stack"
        ]
    assert warned("swarm.workers=2", autoload=False) == [
        "-o swarm.workers has no effect: plugin 'swarm' is not in the stack"
    ]


def test_an_executor_in_python_counts_more_than_that_of_the_command_line(site):
    """And it is said that it does."""
    site.plugin("swarm", EXECUTOR, group="executors")
    assert warned("executor=other", executor="swarm") == [
        "-o executor has no effect: an executor was passed in Python, which counts more"
    ]
