"""The pages name everything that they are about, as it is: hooks, commands, options and environment variables."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click
import pytest

from crystallize_core import hookspecs
from crystallize_core.cli import main
from crystallize_core.cli.catalog import Status
from crystallize_core.plugin import BasePlugin

DOCS = Path(__file__).resolve().parent.parent / "docs"

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the checkout is not beside the tests")


def _page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def _headings(name):
    return re.findall(r"^#+ `(.+)`$", _page(name), re.MULTILINE)


def _commands(command, path=()):
    """Every command below this one, with the words that call it; groups are left out."""
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _commands(below, (*path, name))
    else:
        yield path, command


def test_every_hook_has_a_heading_with_its_exact_signature():
    """And no heading is about a hook that does not exist."""
    hooks = {f"{name}({', '.join(inspect.signature(hook).parameters)})" for name, hook in hookspecs.HOOKS.items()}
    assert sorted(_headings("hooks.md")) == sorted(hooks)


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_base_plugin_has_every_hook_with_the_signature_of_the_specification(hook):
    """Argument by argument, with the same annotations."""
    specified = inspect.signature(hookspecs.HOOKS[hook])
    method = inspect.signature(getattr(BasePlugin, hook))
    assert list(method.parameters.values())[1:] == list(specified.parameters.values())


def test_the_overview_of_a_run_names_every_hook():
    """So that a reader sees when each is called."""
    overview = _page("hooks.md").partition("## A run from above")[2].partition("## ")[0]
    assert [hook for hook in hookspecs.HOOKS if hook not in overview] == []


def test_every_command_has_a_heading():
    """With its arguments."""
    headings = set()
    for path, command in _commands(main):
        arguments = [p.name.upper() for p in command.params if isinstance(p, click.Argument)]
        headings.add(" ".join(["crystallize", *path, *arguments]))
    assert set(_headings("cli.md")) == headings


@pytest.mark.parametrize(("path", "command"), [pytest.param(p, c, id=" ".join(p)) for p, c in _commands(main)])
def test_every_option_stands_in_the_table_of_its_command(path, command):
    """With the name of its value, and nothing stands there that does not exist."""
    section = _page("cli.md").partition(f"## `crystallize {' '.join(path)}")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `(--[\w-]+)", section, re.MULTILINE))
    assert documented == {p.opts[0] for p in command.params if isinstance(p, click.Option)}


def test_the_options_of_the_group_are_named():
    """Those that stand before a command."""
    usage = _page("cli.md").partition("## ")[0]
    assert [p.opts[0] for p in main.params if p.opts[0] not in usage] == []


def test_every_status_of_a_plugin_is_explained():
    """In the table of `plugins list`."""
    assert [status for status in Status.__args__ if f"| {status} |" not in _page("cli.md")] == []


def test_every_environment_variable_is_named():
    """Those that the core looks at."""
    core = Path(inspect.getfile(hookspecs)).parent
    sources = [file.read_text(encoding="utf-8") for file in core.rglob("*.py")]
    read = {name for source in sources for name in re.findall(r"\"(CRYSTALLIZE_[A-Z_]+)\"", source)}
    assert read
    assert [name for name in read if f"`{name}=" not in _page("cli.md")] == []
