"""The pages name everything that they are about, as it is: hooks, commands, options and environment variables."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path
from typing import get_args, get_type_hints

import attrs
import click
import pytest

from crystallize_core import PipelineResult, StepResult, hookspecs, step
from crystallize_core.cli import main
from crystallize_core.cli.catalog import Status
from crystallize_core.cli.doctor import CODES
from crystallize_core.named import CACHE_STRATEGIES
from crystallize_core.plugin import BasePlugin
from crystallize_core.stack.config import find_config

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


def test_every_row_on_what_an_output_depends_on_names_a_test_that_exists():
    """By its file and its name, in the section on what an output may depend on."""
    section = _page("cache.md").partition("\n## What an output may depend on\n")[2].partition("\n## ")[0]
    rows = [row for row in section.splitlines() if row.startswith("| ")][1:]
    named = re.findall(r'\[test\]\(\.\./(tests/[\w/]+\.py) "(tests/[\w/]+\.py)::(\w+)"\) \|$', section, re.MULTILINE)
    assert len(named) == len(rows) > 20
    for link, file, name in named:
        assert link == file
        assert f"def {name}(" in (DOCS.parent / file).read_text(encoding="utf-8")


def test_the_options_of_the_group_are_named():
    """Those that stand before a command."""
    usage = _page("cli.md").partition("## ")[0]
    assert [p.opts[0] for p in main.params if p.opts[0] not in usage] == []


def test_every_status_of_a_plugin_is_explained():
    """In the table of `plugins list`."""
    assert [status for status in Status.__args__ if f"| {status} |" not in _page("cli.md")] == []


def test_every_code_of_the_doctor_has_a_row_with_its_meaning():
    """In the section of its first digit, with its name, its severity and the remedy; and no row is about another code."""
    rows = re.findall(r"^\| `(CZ\d+)` \| (\S+) \| (\w+) \| .+ \| (.+) \|$", _page("doctor.md"), re.MULTILINE)
    assert rows == [(code.code, code.name, code.severity, code.remedy) for code in CODES.values()]


def _rows(heading):
    """The first cells of the tables of a section of the page on steps, without backticks."""
    section = _page("steps.md").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return [cell.replace("`", "") for cell in cells if not set(cell) <= set("- ")]


def test_every_option_of_a_step_stands_in_the_table():
    """In the order of the signature, with its default."""
    options = [p for p in inspect.signature(step).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert sorted(_rows("Options of a step")[1:]) == sorted(option.name for option in options)
    page = _page("steps.md")
    for option in options:
        default = [] if option.name in ("inputs", "outputs") else option.default
        assert f"| `{option.name}` | `{default!r}` |".replace("'", '"') in page


def test_every_strategy_of_the_cache_is_explained():
    """Under the names that may be written."""
    assert _rows("Caching")[1:4] == [*(f'"{name}"' for name in CACHE_STRATEGIES), "False"]


def test_every_state_of_a_step_is_explained():
    """In the table of the result."""
    states = _rows("The result")
    assert states[states.index("state") + 1 :] == list(get_args(get_type_hints(StepResult)["state"]))


def test_a_result_has_what_the_page_says():
    """Every attribute that it names, of the result and of its entries."""
    section = _page("steps.md").partition("\n## The result\n")[2].partition("\n## ")[0]
    of_result = set(re.findall(r"`result\.(\w+)", section))
    entries = re.search(r"^Each entry of `step_results` has (.+)\.$", section, re.MULTILINE)[1]
    of_entries = set(re.findall(r"`(\w+)`", entries))
    assert of_result <= {*dir(PipelineResult), *(field.name for field in attrs.fields(PipelineResult))}
    assert of_entries <= {*dir(StepResult), *(field.name for field in attrs.fields(StepResult))}
    assert {"success", "outputs", "step_results", "lineage"} <= of_result
    assert {"cached", "retries", "duration_seconds"} <= of_entries


def test_the_life_of_a_step_names_every_hook_that_sees_it():
    """And none that does not exist."""
    section = _page("steps.md").partition("\n## What happens to a step\n")[2]
    named = set(re.findall(r"`(\w+)`", section))
    assert named <= set(hookspecs.HOOKS)
    assert {name for name in hookspecs.HOOKS if "step" in name} <= named


def test_the_page_on_compatibility_has_every_contract():
    """With the first core that has it, the newest last."""
    table = re.findall(r"^\| (\d+\.\d+) \| (\S+) \|$", _page("compatibility.md"), re.MULTILINE)
    assert table == list(hookspecs.CORES.items())


def test_configurations_on_the_page_on_stacks_can_be_read(tmp_path):
    """Those that stand in a block of TOML; the other one is of a distribution."""
    blocks = re.findall(r"^```toml\n(.*?)^```$", _page("stacks.md"), re.MULTILINE | re.DOTALL)
    tables = [tomllib.loads(block) for block in blocks]
    (config,) = [table for table in tables if "project" not in table]
    (tmp_path / "crystallize.toml").write_text(next(b for b in blocks if "project" not in b), encoding="utf-8")
    assert find_config(tmp_path, profile="ci").executor == "serial"
    keys = re.findall(r"^\| `(\w+)` \|", _page("stacks.md"), re.MULTILINE)
    assert set(keys) == config.keys()


def test_every_environment_variable_is_named():
    """Those that the core looks at."""
    core = Path(inspect.getfile(hookspecs)).parent
    sources = [file.read_text(encoding="utf-8") for file in core.rglob("*.py")]
    read = {name for source in sources for name in re.findall(r"\"(CRYSTALLIZE_[A-Z_]+)\"", source)}
    assert read
    assert [name for name in read if f"`{name}=" not in _page("cli.md")] == []
