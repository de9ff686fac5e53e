"""Plugins that a project has in a file of its own: `plugins = ["./hooks.py"]`."""

from __future__ import annotations

import pytest

from crystallize_core import BasePlugin, ConfigurationError, Experiment, PluginError
from crystallize_core.stack.resolve import resolve

HEAD = """
        import attrs

        from crystallize_core import BasePlugin, hookimpl
"""


def described(stack):
    return [(plugin.name, plugin.origin, plugin.distribution) for plugin in stack]


def refused(error):
    with pytest.raises(error) as caught:
        resolve()
    return str(caught.value)


@pytest.fixture
def hooks(project, site):
    """Write `./hooks.py`, name it in the stack, and give its path."""

    def write(code, config=""):
        project.config(f'plugins = ["./hooks.py"]\n{config}')
        return project.write("hooks.py", HEAD + code)

    return write


def test_a_module_of_hooks(hooks, project):
    """Its functions are called like methods of a plugin; the file's name is the plugin's."""
    path = hooks(
        """
        calls = []

        @hookimpl
        def before_run(run):
            calls.append(run.experiment)
        """
    )
    made = Experiment(lambda ctx: 1, [lambda data: data], name="mine")
    made.run()
    assert described(made.stack) == [("hooks", str(path), None)]
    assert made.get_plugin("hooks").calls == ["mine"]


def test_classes_of_the_file_are_made(hooks):
    """With the options that the project has for them."""
    path = hooks(
        """
        @attrs.define
        class Audit(BasePlugin):
            plugin_name = "audit"
            size: int = 1

        class SlowLogPlugin(BasePlugin):
            pass
        """,
        "[options.audit]\nsize = 3",
    )
    stack = resolve()
    assert described(stack) == [("audit", str(path), None), ("slow_log", str(path), None)]
    assert stack.find("audit").size == 3


def test_instances_of_the_file_are_used_as_they_are(hooks):
    """A class of which there is an instance is not made once more."""
    path = hooks(
        """
        @attrs.define
        class Audit(BasePlugin):
            size: int

        audit = Audit(size=5)
        same = audit
        """
    )
    stack = resolve()
    assert described(stack) == [("audit", str(path), None)]
    assert stack.find("audit").size == 5


def test_instances_of_imported_classes_are_used(hooks, site):
    """Setting up a plugin of somebody else is what such a file is for."""
    site.module("lib", "from crystallize_core import BasePlugin\nclass Remote(BasePlugin):\n    pass\n")
    path = hooks(
        """
        from lib import Remote

        remote = Remote()
        """
    )
    assert described(resolve()) == [("remote", str(path), None)]


def test_an_imported_class_alone_is_no_plugin_of_the_file(hooks, site):
    """It may be there to be derived from; so may a class with an underscore."""
    site.module("lib", "from crystallize_core import BasePlugin\nclass Remote(BasePlugin):\n    pass\n")
    path = hooks(
        """
        from lib import Remote

        class _Base(Remote):
            pass

        class Mine(_Base):
            pass
        """
    )
    assert described(resolve()) == [("mine", str(path), None)]


def test_one_file_can_hold_all_of_it(hooks):
    """The module comes first, then the classes, then the instances."""
    path = hooks(
        """
        class Two(BasePlugin):
            plugin_name = "two"

        @hookimpl
        def before_run(): ...

        class One(BasePlugin):
            plugin_name = "one"

        two = Two()
        """
    )
    assert described(resolve()) == [("hooks", str(path), None), ("one", str(path), None), ("two", str(path), None)]


def test_the_place_in_the_list_counts(hooks, site, project):
    """A file is one of the names."""
    site.plugin("a", "from crystallize_core import BasePlugin\nclass Plugin(BasePlugin): ...")
    site.plugin("b", "from crystallize_core import BasePlugin\nclass Plugin(BasePlugin): ...")
    hooks("        class Mine(BasePlugin): ...")
    project.config('plugins = ["b", "./hooks.py", "a"]')
    assert [plugin.name for plugin in resolve()] == ["b", "mine", "a"]


def test_the_path_is_relative_to_the_configuration(hooks, project, monkeypatch):
    """And not to the folder in which somebody happens to be."""
    hooks("        class Mine(BasePlugin): ...")
    (project.folder / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(project.folder / "deep" / "down")
    assert [plugin.name for plugin in resolve()] == ["mine"]


def test_what_lies_beside_it_can_be_imported(hooks, project):
    """A file of a project is not alone."""
    project.write("beside_the_hooks.py", "NAME = 'neighbour'")
    hooks(
        """
        from beside_the_hooks import NAME

        class Mine(BasePlugin):
            plugin_name = NAME
        """
    )
    assert [plugin.name for plugin in resolve()] == ["neighbour"]


def test_a_passed_instance_replaces_that_of_the_file(hooks):
    """Its name says so."""

    class Mine(BasePlugin):
        plugin_name = "mine"

    hooks("        class Theirs(BasePlugin):\n            plugin_name = 'mine'")
    mine = Mine()
    assert [plugin.plugin for plugin in resolve([mine])] == [mine]


@pytest.mark.parametrize("way", ["file", "environment"])
def test_a_plugin_of_a_file_can_be_disabled_by_its_name(hooks, project, monkeypatch, way):
    """The others of the file stay."""
    code = "        class Mine(BasePlugin): ...\n\n        class Other(BasePlugin): ..."
    if way == "file":
        hooks(code, 'disable = ["mine"]')
    else:
        hooks(code)
        monkeypatch.setenv("CRYSTALLIZE_DISABLE", "mine")
    stack = resolve()
    assert [plugin.name for plugin in stack] == ["other"]
    assert [(s.name, s.reason) for s in stack.skipped] == [("mine", "disabled")]


def test_a_file_can_be_disabled_by_its_path(hooks):
    """It is then not run."""
    hooks("        raise RuntimeError", 'disable = ["./hooks.py"]')
    assert list(resolve()) == []


def test_a_missing_file_is_refused(project, site):
    """With the path at which it was looked for."""
    project.config('plugins = ["./hooks.py"]')
    assert refused(PluginError) == f"there is no file {project.folder / 'hooks.py'}"


@pytest.mark.parametrize(
    ("code", "reason"),
    [("raise RuntimeError('no')", "RuntimeError: no"), ("raise SystemExit('no')", "SystemExit: no")],
    ids=["raises", "exits"],
)
def test_a_broken_file_is_refused(hooks, code, reason):
    """It was asked for by its path."""
    path = hooks(f"        {code}")
    assert refused(PluginError) == f"{path} cannot be run: {reason}"


def test_a_file_without_plugins_is_refused(hooks, project):
    """It would do nothing, and nobody would know."""
    path = hooks("        def before_run(run): ...")
    assert refused(ConfigurationError) == (
        f"{project.folder / 'crystallize.toml'}:\n  {path} has no plugin: no @hookimpl function and no BasePlugin subclass"
    )


def test_a_wrong_plugin_in_a_file_names_the_file(hooks):
    """The address says where to look."""
    path = hooks(
        """
        class Mine(BasePlugin):
            async def before_run(self, run): ...
        """
    )
    assert refused(PluginError) == (
        "plugin 'mine' cannot be used:\n  hook 'before_run' is `async def`; hooks are plain functions "
        f"[file {str(path)!r}, plugin 'mine']"
    )


def test_a_class_that_cannot_be_made_names_the_file(hooks):
    """The constructor's own words are kept."""
    path = hooks(
        """
        class Mine(BasePlugin):
            def __init__(self):
                raise OSError("no licence")
        """
    )
    assert (
        refused(PluginError) == f"plugin 'mine' cannot be made: OSError: no licence [file {str(path)!r}, plugin 'mine']"
    )


def test_options_for_what_takes_none_are_refused(hooks, project):
    """All of them at once, with a wrong option of a class."""
    hooks(
        """
        @hookimpl
        def before_run(): ...

        class Audit(BasePlugin): ...

        @attrs.define
        class Sized(BasePlugin):
            size: int = 1

        audit = Audit()
        """,
        "[options.hooks]\nx = 1\n[options.audit]\nx = 1\n[options.sized]\nsize = 'x'",
    )
    assert refused(ConfigurationError) == (
        f"{project.folder / 'crystallize.toml'}:"
        "\n  options.hooks: plugin 'hooks' takes no options, because it is no class"
        "\n  options.sized.size: expected int, found str 'x'"
        "\n  options.audit: plugin 'audit' takes no options, because it is no class"
    )


def test_two_plugins_of_one_name_are_refused(hooks, project):
    """Also when they come from two files."""
    path = hooks("        class Mine(BasePlugin): ...")
    other = project.write("more/hooks.py", "from crystallize_core import BasePlugin\nclass Mine(BasePlugin): ...")
    project.config('plugins = ["./hooks.py", "more/hooks.py"]')
    assert refused(PluginError) == (
        f"two plugins are named 'mine' ({path} and {other}); a stack has one of each name [plugin 'mine']"
    )
