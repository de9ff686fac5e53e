"""The group of all commands: help, version, and the commands that plugins add."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from crystallize_core import __version__

COMMAND = """
import click

@click.command()
@click.option("--name", default="you")
def hello(name):
    "Say hello."
    click.echo(f"hello {name}")

@click.group()
def many():
    "Several."

@many.command()
def one():
    click.echo("one of many")

def no_command():
    pass

@click.command()
def failing():
    from crystallize_core import DefinitionError
    raise DefinitionError("that was wrong", step="a")

@click.command()
def stopped():
    raise KeyboardInterrupt
"""


@pytest.fixture
def commands(install):
    """A distribution with commands, good and bad."""
    names = ("hello", "many", "no_command", "failing", "stopped")
    found = {name.replace("_", "-"): f"cli_extra:{name}" for name in names}
    install("cli-extra", {"crystallize.commands": found | {"gone": "cli_gone:x"}}, {"cli_extra": COMMAND})


@pytest.mark.skipif(sys.platform == "win32", reason="a folder that somebody is in stays there")
@pytest.mark.parametrize(
    "command", [["run", "x.py"], ["plugins", "list"], ["config", "show"], ["cache", "stats"], ["lock"]]
)
def test_a_folder_that_is_gone_is_one_message(crystallize, tmp_path, monkeypatch, command):
    """Whichever command it is; help and the version are told all the same."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    done = crystallize(*command)
    message = (
        "the current folder has been removed, so that nothing can be found or kept from there; change to another one"
    )
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"error: {message}\n")
    assert [crystallize(flag).exit_code for flag in ("--help", "--version")] == [0, 0]


def test_help_lists_our_commands(crystallize):
    """With a line for each."""
    done = crystallize("--help")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "Run the experiment or pipeline TARGET" in done.stdout
    assert "Look at the plugins" in done.stdout
    assert crystallize("-h").stdout == done.stdout


def test_help_is_shown_where_no_command_is_given(crystallize):
    """As click does."""
    done = crystallize()
    assert "Usage: crystallize" in done.stdout + done.stderr


def test_version(crystallize):
    """The one of the core."""
    assert crystallize("--version").stdout == f"crystallize-core {__version__}\n"


def test_an_unknown_command_is_refused_with_a_suggestion(crystallize):
    """Exit code 2."""
    done = crystallize("rnu", "x.py")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no command 'rnu'; did you mean 'run'?" in done.stderr


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["plugins", "list", "--help"], ["--version"]])
def test_help_imports_no_plugin(install, project, args):
    """Neither a plugin nor an executor nor a command, nor what they stand on, nor the engine."""
    module = "import pathlib\npathlib.Path('imported').touch()\n"
    groups = ("plugins", "executors", "commands", "stacks", "steps")
    folder = install("cli-trap", {f"crystallize.{g}": {"trap": f"cli_trap:{g}"} for g in groups}, {"cli_trap": module})
    code = f"""
import sys
from crystallize_core.cli import main
main({args!r}, prog_name="crystallize", standalone_mode=False)
print(sorted(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert not (project / "imported").exists()
    modules = set(ast.literal_eval(done.stdout.splitlines()[-1]))
    packages = {name.partition(".")[0] for name in modules}
    assert {name for name in packages if name.startswith("crystallize")} == {"crystallize_core"}
    assert (
        packages & {"numpy", "scipy", "structlog", "fsspec", "loky", "pluggy", "rich", "pandas", "matplotlib"} == set()
    )
    assert (
        modules & {"crystallize_core.experiment", "crystallize_core.engine", "crystallize_core.stack.resolve"} == set()
    )


def test_python_m_is_the_same_command(in_shell):
    """With its own name in the usage."""
    done = in_shell("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: python -m crystallize_core [OPTIONS] COMMAND")


def test_commands_of_plugins_are_listed_with_their_distribution(crystallize, commands):
    """Without being imported, so that a broken one is listed, too."""
    lines = [line.split(maxsplit=1) for line in crystallize("--help").stdout.splitlines()]
    for name in ("hello", "gone", "many"):
        assert [name, "from cli-extra 1.2"] in lines
    assert "cli_extra" not in sys.modules


def test_a_command_of_a_plugin_runs_with_its_options(crystallize, commands):
    """And has a help of its own."""
    assert crystallize("hello", "--name", "there").stdout == "hello there\n"
    assert "Say hello." in crystallize("hello", "--help").stdout


def test_a_group_of_a_plugin_has_its_own_commands(crystallize, commands):
    """One level deeper."""
    assert crystallize("many", "one").stdout == "one of many\n"


def test_a_broken_command_fails_only_when_it_is_called(crystallize, commands):
    """One message with distribution and reason."""
    done = crystallize("gone")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "error: command 'gone' cannot be imported from cli_gone:x: ModuleNotFoundError(\"No module named 'cli_gone'\") "
        "[distribution 'cli-extra 1.2']\n"
    )


def test_what_is_no_command_is_refused(crystallize, commands):
    """The message says how to make one."""
    done = crystallize("no-command")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: command 'no-command' is no command: cli_extra:no_command is function ")
    assert "@click.command()" in done.stderr


def test_mistakes_in_a_command_of_a_plugin_are_one_message(crystallize, commands):
    """As in ours."""
    done = crystallize("failing")
    assert (done.exit_code, done.stderr.splitlines()[0]) == (2, "error: that was wrong [step 'a']")
    assert crystallize("stopped").exit_code == 130


def test_a_plugin_cannot_replace_a_command(crystallize, install):
    """Ours runs, and a warning names the distribution."""
    install(
        "cli-rude", {"crystallize.commands": {"run": "cli_rude:run"}}, {"cli_rude": "raise SystemExit('taken over')"}
    )
    warning = "warning: command 'run' of cli-rude 1.2 is ignored, it cannot replace ours\n"
    listed = crystallize("--help")
    assert listed.stderr == warning
    assert "cli-rude" not in listed.stdout
    done = crystallize("run", "--help")
    assert done.stdout.startswith("Usage: crystallize run [OPTIONS] TARGET")
    assert done.stderr == warning
    assert crystallize("plugins", "--help").stderr == ""


def test_two_distributions_with_one_command_are_refused_when_it_is_called(crystallize, install):
    """Which of them would run would depend on the file system."""
    for name in ("cli-one", "cli-two"):
        install(name, {"crystallize.commands": {"same": "cli_same:x"}})
    assert "from cli-one 1.2 and cli-two 1.2" in crystallize("--help").stdout
    done = crystallize("same")
    assert done.exit_code == 2
    assert "is shipped by cli-one 1.2 and cli-two 1.2; uninstall one of them" in done.stderr
