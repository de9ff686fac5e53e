"""Where the configuration of a project is found, and what is said about one that is wrong."""

from __future__ import annotations

import sys

import pytest

from crystallize_core import ConfigurationError
from crystallize_core.stack.config import StackConfig, find_config, from_environment, parse_config
from crystallize_core.stack.resolve import resolve


def refused(call, *arguments, **more):
    with pytest.raises(ConfigurationError) as caught:
        call(*arguments, **more)
    return str(caught.value)


def lines(source, *problems):
    return f"{source}:" + "".join(f"\n  {problem}" for problem in problems)


def test_without_a_file_there_is_no_configuration(project):
    """Every installed plugin is then active, which `plugins=None` stands for."""
    found = find_config()
    assert found == StackConfig(folder=project.folder)
    assert (found.plugins, found.source) == (None, None)


def test_everything_that_a_configuration_can_say(project):
    """The keys of the file are the fields of the object."""
    path = project.config(
        """
        extends = ["standard"]
        plugins = ["seeding", "./hooks.py"]
        disable = ["report"]
        executor = "process"
        [options.seeding]
        seed = 7
        [profiles.ci]
        executor = "serial"
        """
    )
    assert find_config() == StackConfig(
        plugins=("seeding", "./hooks.py"),
        disable=("report",),
        executor="process",
        options={"seeding": {"seed": 7}},
        extends=("standard",),
        folder=project.folder,
        source=str(path),
    )


def test_a_pyproject_is_as_good(project):
    """`[tool.crystallize]` has the same keys."""
    path = project.write("pyproject.toml", '[tool.crystallize]\nplugins = ["seeding"]\n')
    found = find_config()
    assert (found.plugins, found.source) == (("seeding",), f"{path} [tool.crystallize]")


def test_the_own_file_comes_before_the_pyproject(project):
    """Of two in one folder the one that has no other purpose is meant."""
    project.write("pyproject.toml", '[tool.crystallize]\nplugins = ["a"]\n')
    project.config('plugins = ["b"]')
    assert find_config().plugins == ("b",)


def test_the_nearest_folder_upwards_counts(project):
    """Below a project one is in the project; a project in a project is one of its own."""
    project.config('plugins = ["outer"]')
    project.write("inner/pyproject.toml", '[tool.crystallize]\nplugins = ["inner"]\n')
    deep = project.write("inner/src/deep/x.py", "").parent
    (project.folder / "other").mkdir()
    assert find_config(deep) == StackConfig(
        plugins=("inner",),
        folder=project.folder / "inner",
        source=f"{project.folder / 'inner' / 'pyproject.toml'} [tool.crystallize]",
    )
    assert find_config(project.folder / "other").plugins == ("outer",)


@pytest.mark.parametrize("text", ["", "[project]\nname = 'x'\n", "tool = 3\n", "[tool.ruff]\nline-length = 100\n"])
def test_a_pyproject_that_says_nothing_of_us_is_passed_by(project, text):
    """The search goes on above it."""
    project.config('plugins = ["outer"]')
    inner = project.write("inner/pyproject.toml", text).parent
    assert find_config(inner).plugins == ("outer",)


def test_an_empty_table_is_a_configuration(project):
    """It ends the search."""
    project.config('plugins = ["outer"]')
    inner = project.write("inner/pyproject.toml", "[tool.crystallize]\n").parent
    assert find_config(inner).plugins is None


def test_all_that_is_wrong_is_said_at_once(project):
    """Wrong keys come with a suggestion, wrong types with what was found."""
    path = project.config(
        """
        plugin = ["seeding"]
        extends = "standard"
        disable = ["a", 3]
        executor = ["process"]
        colour = 1
        [options]
        seeding = 7
        [profiles]
        fast = "yes"
        [profiles.ci]
        pluginss = []
        executor = 3
        profiles = {}
        """
    )
    assert refused(find_config) == lines(
        path,
        "plugin: unknown key; did you mean 'plugins'?",
        "extends: expected a list of str, found 'standard'",
        "disable: expected a list of str, found ['a', 3]",
        "executor: expected a str, found ['process']",
        "colour: unknown key; the keys are: 'allow', 'disable', 'executor', 'extends', 'options', 'plugins', 'profiles'.",
        "options.seeding: expected a table, found 7",
        "profiles.fast: expected a table",
        "profiles.ci.pluginss: unknown key; did you mean 'plugins'?",
        "profiles.ci.executor: expected a str, found 3",
        "profiles.ci.profiles: unknown key; the keys are: 'allow', 'disable', 'executor', 'extends', 'options', 'plugins'.",
    )


@pytest.mark.parametrize("value", ["3", '["seeding"]', '"seeding"'])
def test_something_else_than_a_table_is_refused(project, value):
    """Whatever `tool.crystallize` is, it is not a crash."""
    path = project.write("pyproject.toml", f"[tool]\ncrystallize = {value}\n")
    shown = value.replace('"', "'")
    assert refused(find_config) == f"{path} [tool.crystallize]: expected a table, found {shown}"


def test_broken_toml_names_file_and_line(project):
    """The reader's own words say what it met."""
    path = project.config("plugins = [\n")
    assert refused(find_config) == f"{path} cannot be read: Invalid value (at end of document)"


def test_a_file_that_is_no_text_names_the_file(project):
    """A configuration is UTF-8."""
    path = project.config("")
    path.write_bytes(b"plugins = ['\xff']")
    assert refused(find_config).startswith(f"{path} cannot be read: 'utf-8' codec can't decode byte 0xff")


def test_a_profile_replaces_lists_and_names_and_adds_options(project):
    """What it does not say stays."""
    path = project.config(
        """
        plugins = ["a", "b"]
        executor = "process"
        disable = ["c"]
        [options.a]
        size = 1
        color = "red"
        [profiles.ci]
        plugins = ["a"]
        executor = "serial"
        [profiles.ci.options.a]
        size = 2
        [profiles.ci.options.d]
        x = true
        """
    )
    assert find_config(profile="ci") == StackConfig(
        plugins=("a",),
        disable=("c",),
        executor="serial",
        options={"a": {"size": 2, "color": "red"}, "d": {"x": True}},
        folder=project.folder,
        source=f"{path}, profile 'ci'",
    )


def test_the_profile_can_come_from_the_environment(project, monkeypatch):
    """CRYSTALLIZE_PROFILE chooses where nobody passes one."""
    project.config('executor = "process"\n[profiles.ci]\nexecutor = "serial"\n[profiles.big]\nexecutor = "dask"\n')
    monkeypatch.setenv("CRYSTALLIZE_PROFILE", "ci")
    assert find_config().executor == "serial"
    assert find_config(profile="big").executor == "dask"


def test_an_empty_profile_variable_is_none(project, monkeypatch):
    """As if it were not set."""
    project.config('executor = "process"\n')
    monkeypatch.setenv("CRYSTALLIZE_PROFILE", "")
    assert find_config().executor == "process"


def test_an_unknown_profile_is_refused_with_a_suggestion(project):
    """Running without it would be another experiment."""
    path = project.config("[profiles.nightly]\n")
    assert refused(find_config, profile="nightli") == lines(
        path, "there is no profile 'nightli'; did you mean 'nightly'?"
    )


def test_a_profile_without_a_configuration_is_refused(project):
    """There is nothing that it could be a profile of."""
    assert refused(find_config, profile="ci") == (
        f"profile 'ci' was asked for, but no configuration was found from {project.folder} upwards"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="a folder that somebody is in stays there")
def test_a_folder_that_is_gone_has_no_configuration_and_is_no_place_for_a_run(tmp_path, monkeypatch):
    """Also where none would be looked for; one message instead of an error of the system."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    message = (
        "the current folder has been removed, so that nothing can be found or kept from there; change to another one"
    )
    assert refused(find_config) == message
    assert refused(resolve) == message
    assert refused(resolve, autoload=False) == message


def test_a_table_can_be_read_from_anywhere(tmp_path):
    """A stack that a distribution ships is a table too."""
    assert parse_config({"executor": "x"}, "stack 's'", tmp_path) == StackConfig(
        executor="x", folder=tmp_path, source="stack 's'"
    )


def test_the_environment_says_nothing_by_default(project):
    """Everything is loaded, nothing is disabled, nothing is strict."""
    found = from_environment()
    assert (found.disable, found.autoload, found.strict) == ((), True, False)


@pytest.mark.parametrize("text", ["1", "true", "YES", " on "])
@pytest.mark.parametrize("variable", ["AUTOLOAD", "STRICT"])
def test_a_switch_can_be_on(project, monkeypatch, variable, text):
    """However people write it."""
    monkeypatch.setenv(f"CRYSTALLIZE_{variable}", text)
    assert getattr(from_environment(), variable.lower()) is True


@pytest.mark.parametrize("text", ["0", "false", "No", "off"])
@pytest.mark.parametrize("variable", ["AUTOLOAD", "STRICT"])
def test_a_switch_can_be_off(project, monkeypatch, variable, text):
    """However people write it."""
    monkeypatch.setenv(f"CRYSTALLIZE_{variable}", text)
    assert getattr(from_environment(), variable.lower()) is False


@pytest.mark.parametrize("variable", ["CRYSTALLIZE_AUTOLOAD", "CRYSTALLIZE_STRICT"])
def test_a_switch_that_is_neither_is_refused(project, monkeypatch, variable):
    """A guess could be the wrong one."""
    monkeypatch.setenv(variable, "maybe")
    assert refused(from_environment) == f"environment variable {variable}: expected 1 or 0, found 'maybe'"


def test_disabled_names_are_separated_by_commas(project, monkeypatch):
    """Spaces and empty places do not count."""
    monkeypatch.setenv("CRYSTALLIZE_DISABLE", " a, b ,,c")
    assert from_environment().disable == ("a", "b", "c")
