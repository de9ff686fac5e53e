"""What is installed is known without importing it, and in an order that no file system decides."""

from __future__ import annotations

import itertools
import warnings

import pytest

from crystallize_core import Experiment, PluginError, PluginWarning
from crystallize_core.stack.discovery import EXECUTORS, PLUGINS, installed
from crystallize_core.stack.resolve import resolve

LEAVES_A_TRACE = """
from pathlib import Path

from crystallize_core import BasePlugin

Path("{name}.imported").touch()

class Plugin(BasePlugin):
    def before_run(self, run):
        pass
"""


def traces(project):
    return sorted(path.stem for path in project.folder.glob("*.imported"))


def names(stack):
    return [plugin.name for plugin in stack]


def test_looking_for_what_is_installed_imports_nothing(site, project):
    """The entry points are read from files beside the code."""
    site.plugin("loud", LEAVES_A_TRACE.format(name="loud"))
    found = installed(PLUGINS)
    assert [(item.name, item.value, item.distribution, item.version) for item in found] == [
        ("loud", "x_loud:Plugin", "x-loud", "1.0")
    ]
    assert traces(project) == []


def test_a_plugin_that_the_stack_does_not_name_is_not_imported(site, project):
    """What the project lists is loaded, and nothing else."""
    site.plugin("loud", LEAVES_A_TRACE.format(name="loud"))
    site.plugin("quiet", LEAVES_A_TRACE.format(name="quiet"))
    project.config('plugins = ["quiet"]')
    assert names(resolve()) == ["quiet"]
    assert traces(project) == ["quiet"]


def test_executors_are_imported_only_when_one_is_chosen(site, project):
    """An installed executor does nothing before somebody names it."""
    site.plugin("swarm", LEAVES_A_TRACE.format(name="swarm"), group="executors")
    assert names(resolve()) == []
    assert traces(project) == []
    assert [item.name for item in installed(EXECUTORS)] == ["swarm"]


def test_without_a_stack_every_installed_plugin_is_active(site, project):
    """Installing is enough."""
    site.plugin("loud", LEAVES_A_TRACE.format(name="loud"))
    site.plugin("quiet", LEAVES_A_TRACE.format(name="quiet"))
    stack = resolve()
    assert [(p.name, p.origin, p.distribution, p.version) for p in stack] == [
        ("loud", "entry point", "x-loud", "1.0"),
        ("quiet", "entry point", "x-quiet", "1.0"),
    ]
    assert traces(project) == ["loud", "quiet"]


@pytest.mark.parametrize("order", list(itertools.permutations(["ant", "bee", "cow"])), ids="-".join)
def test_the_order_does_not_depend_on_where_something_is_installed(site, monkeypatch, order):
    """Plugins without constraints come in the order of their names, however they are found."""
    for name in order:
        folder = site.folder / name
        folder.mkdir()
        monkeypatch.syspath_prepend(str(folder))
        type(site)(folder).plugin(name, LEAVES_A_TRACE.format(name=name))
    assert names(resolve()) == ["ant", "bee", "cow"]


def test_a_distribution_that_is_found_twice_counts_once(site, project, monkeypatch):
    """A path that is listed twice does not make two plugins of one name."""
    site.plugin("loud", LEAVES_A_TRACE.format(name="loud"))
    monkeypatch.syspath_prepend(str(site.folder) + "/")
    assert names(resolve()) == ["loud"]


DAMAGED = {
    "malformed": b"[crystallize.plugins]\ngarbage\n",
    "not text in UTF-8": b"[crystallize.plugins]\nx = y:Z\xff\n",
}


@pytest.mark.parametrize(("problem", "damage"), DAMAGED.items(), ids=DAMAGED)
def test_a_damaged_file_of_one_distribution_hides_no_other(site, project, problem, damage):
    """Whoever wrote an unreadable entry_points.txt, the plugins of the others are there, and its owner is named."""
    site.plugin("loud", LEAVES_A_TRACE.format(name="loud"))
    site.distribution("damaged")
    (site.folder / "damaged-1.0.dist-info" / "entry_points.txt").write_bytes(damage)
    with pytest.warns(PluginWarning) as caught:
        assert names(resolve()) == ["loud"]
    assert [str(warning.message) for warning in caught] == [
        (
            f"installed plugin 'damaged' of damaged 1.0 is skipped: entry_points.txt of damaged is {problem}, so that its "
            "plugins are not known; install it anew [distribution 'damaged 1.0', plugin 'damaged']"
        )
    ]


def test_a_distribution_without_metadata_is_used_all_the_same(site, project):
    """A name that cannot be read is shown as a question mark or taken from the folder."""
    site.plugin("loud", LEAVES_A_TRACE.format(name="loud"))
    (site.folder / "x_loud-1.0.dist-info" / "METADATA").unlink()
    assert names(resolve()) == ["loud"]


def test_two_distributions_with_one_plugin_name_are_both_named_and_skipped(site, project):
    """Which of the two is meant cannot be guessed."""
    site.module("x_one", LEAVES_A_TRACE.format(name="one"))
    site.distribution("x-one", "[crystallize.plugins]\nsame = x_one:Plugin\n", version="1.5")
    site.module("x_two", LEAVES_A_TRACE.format(name="two"))
    site.distribution("x-two", "[crystallize.plugins]\nsame = x_two:Plugin\n")
    with pytest.warns(PluginWarning) as caught:
        stack = resolve()
    assert names(stack) == []
    assert [str(warning.message) for warning in caught] == [
        (
            "installed plugin 'same' of x-one 1.5 and x-two 1.0 is skipped: plugin name 'same' is shipped by x-one 1.5 and "
            "x-two 1.0; uninstall one, or disable = ['same'] [plugin 'same']"
        )
    ]
    assert traces(project) == []


def test_two_distributions_with_one_plugin_name_are_refused_where_it_is_asked_for(site, project):
    """A stack that names it cannot be used before one of them is gone."""
    for name in ("one", "two"):
        site.module(f"x_{name}", LEAVES_A_TRACE.format(name=name))
        site.distribution(f"x-{name}", f"[crystallize.plugins]\nsame = x_{name}:Plugin\n")
    project.config('plugins = ["same"]')
    with pytest.raises(PluginError) as caught:
        resolve()
    assert str(caught.value) == (
        "plugin name 'same' is shipped by x-one 1.0 and x-two 1.0; uninstall one, or disable = ['same'] [plugin 'same']"
    )


def test_two_distributions_with_one_plugin_name_do_no_harm_where_it_is_disabled(site, project):
    """The advice of the message works."""
    for name in ("one", "two"):
        site.module(f"x_{name}", LEAVES_A_TRACE.format(name=name))
        site.distribution(f"x-{name}", f"[crystallize.plugins]\nsame = x_{name}:Plugin\n")
    project.config('disable = ["same"]')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names(resolve()) == []


def test_what_runs_is_in_the_record_with_distribution_and_version(site, project):
    """Somebody else can install the same."""
    site.plugin("loud", LEAVES_A_TRACE.format(name="loud"))
    result = Experiment(lambda ctx: 1, [lambda data: data]).run()
    assert [(p.name, p.distribution, p.version) for p in result.run.stack] == [("loud", "x-loud", "1.0")]
