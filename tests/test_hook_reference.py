"""The reference of the hooks is what the generator writes, and what it says of each hook is so."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from crystallize_core import (
    Asset,
    BasePlugin,
    Experiment,
    HookError,
    PluginError,
    Treatment,
    hookspecs,
    pipeline_step,
    step,
    when,
)

DOCS = Path(__file__).resolve().parent.parent / "docs"
EXAMPLES = DOCS / "examples" / "hooks"

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the checkout is not beside the tests")
each_hook = pytest.mark.parametrize("hook", hookspecs.HOOKS)


def generate(*arguments):
    command = [sys.executable, str(DOCS / "generate"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def facts(hook):
    """The rows of the table of a hook on the page."""
    page = (DOCS / "hooks.md").read_text(encoding="utf-8")
    section = re.split(rf"^### `{hook}\(.*$", page, maxsplit=1, flags=re.MULTILINE)[1].partition("\n## ")[0]
    table = section.partition("\n### ")[0]
    return dict(re.findall(r"^\| ([^|]+) \| (.+) \|$", table, re.MULTILINE))


def test_the_page_is_what_is_generated():
    """To the byte; the message says what to run."""
    done = generate("hooks", "--check")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.fixture
def copied(tmp_path):
    """A copy of what the reference is made of; returns its folder and what generates in it."""
    copy = tmp_path / "docs"
    for folder in ("generate", "examples/hooks"):
        (copy / folder).mkdir(parents=True)
        for file in (DOCS / folder).iterdir():
            if file.is_file():
                (copy / folder / file.name).write_bytes(file.read_bytes())
    (copy / "hooks.md").write_bytes((DOCS / "hooks.md").read_bytes())

    def generate_there():
        command = [sys.executable, str(copy / "generate"), "hooks", "--check"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    return copy, generate_there


def test_a_page_that_is_not_as_generated_is_named_with_the_command(copied):
    """And with what is different; nothing is written."""
    copy, generate_there = copied
    page = (copy / "hooks.md").read_text(encoding="utf-8").replace("### `before_run(", "### `before_runs(")
    (copy / "hooks.md").write_text(page, encoding="utf-8")
    done = generate_there()
    assert done.returncode == 1
    assert "\n-### `before_runs(" in done.stdout
    assert "\n+### `before_run(" in done.stdout
    assert done.stdout.endswith("not as generated: hooks; run: python docs/generate hooks\n")
    assert (copy / "hooks.md").read_text(encoding="utf-8") == page


def test_what_the_contract_has_promised_cannot_go(copied):
    """An argument that came with this contract, or an older one of the same promise, and is no longer there."""
    copy, generate_there = copied
    file = copy / "generate" / "contracts.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), "before_step.name": "1.0"}))
    done = generate_there()
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "contract 1 promises what hookspecs.py has not: before_step.name; raise CONTRACT to the next major"
    )


def test_a_hook_without_an_example_is_refused(copied):
    """With the file that is missing."""
    copy, generate_there = copied
    (copy / "examples" / "hooks" / "on_event.py").unlink()
    done = generate_there()
    assert done.returncode == 1
    assert done.stderr.strip().startswith("there is no example of on_event; write one of about ten lines into ")


@each_hook
def test_an_example_runs_and_uses_the_hook(hook, tmp_path, monkeypatch):
    """With the core alone, in an empty folder; it is short enough to be read at once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    file = EXAMPLES / f"{hook}.py"
    source = file.read_text(encoding="utf-8")
    assert f"def {hook}(self" in source
    assert len(source.splitlines()) <= 35
    called = []
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_name) if event == "call" else None)
        try:
            runpy.run_path(str(file), run_name="__main__")
        finally:
            sys.setprofile(None)
    assert hook in called


# Where ------------------------------------------------------------------------------------------------

WITNESS = '''
import os
from pathlib import Path

from crystallize_core import Asset, BasePlugin, hookspecs, pipeline_step, step, when
from crystallize_core.testing.plugins.executors import Processes

FILE = Path({file!r})


def note(hook):
    with FILE.open("a") as file:
        file.write(f"{{hook}} {{os.getpid()}}\\n")


class Witness(BasePlugin):
    """Notes where each hook is called."""


for _hook in set(hookspecs.HOOKS) - {{"run_experiment_loop"}}:
    def _method(self, hook=_hook):
        note(hook)
    setattr(Witness, _hook, _method)


class Executor(Processes):
    def run_experiment_loop(self, experiment, replicate_fn):
        note("run_experiment_loop")
        return super().run_experiment_loop(experiment, replicate_fn)


def source(ctx):
    return ctx["replicate"]

@pipeline_step(cacheable=True)
def kept(data):
    return data

@pipeline_step()
def asset(data):
    return Asset(data, name="it")

@step
@when(lambda data: False)
def left_out(data):
    return data

@pipeline_step()
def fails(data, ctx):
    if ctx["replicate"] == 1:
        raise ValueError(data)
    return data
'''


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Hook -> the words for the processes in which a run in worker processes called it."""
    folder = tmp_path_factory.mktemp("witness")
    (folder / "hook_witness.py").write_text(WITNESS.format(file=str(folder / "calls")), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.chdir(folder)
        w = importlib.import_module("hook_witness")
        steps = [w.kept, w.asset, w.fails, w.left_out]
        Experiment(w.source, steps, [w.Witness(), w.Executor()], replicates=2, autoload=False).run()
    called = {}
    for line in (folder / "calls").read_text(encoding="utf-8").splitlines():
        hook, pid = line.split()
        called.setdefault(hook, set()).add(int(pid) == os.getpid())
    words = {
        (True,): "the coordinator",
        (False,): "the worker",
        (False, True): "every process: the coordinator and each worker",
    }
    return {hook: words[tuple(sorted(found))] for hook, found in called.items()}


@each_hook
def test_a_hook_is_called_where_the_page_says(hook, places):
    """In a run whose workers are processes."""
    assert places[hook] == facts(hook)["process"]


# Failures ---------------------------------------------------------------------------------------------


@pipeline_step(cacheable=True)
def kept(data, ctx):
    ctx.emit("something")
    return data


@pipeline_step()
def asset(data):
    return Asset(data, name="it")


@step
@when(lambda data: False)
def left_out(data):
    return data


@pipeline_step()
def fails_in_the_second(data, ctx):
    if ctx["condition"] == "second":
        raise ValueError(data)
    return data


def failing(hook, *, essential):
    """A plugin whose hook fails, in the second condition where it is called for one."""
    arguments = inspect.signature(hookspecs.HOOKS[hook]).parameters

    def fail(ctx=None):
        if ctx is None or ctx["condition"] == "second":
            raise RuntimeError("no")

    source = f"def {hook}(self, {', '.join(arguments)}): fail({'ctx' if 'ctx' in arguments else ''})"
    scope = {"fail": fail}
    exec(source, scope)
    body = {hook: scope[hook], "essential": essential, "concurrency": "serial", "plugin_name": "failing"}
    return type("Failing", (BasePlugin,), body)()


def what_happens(hook, *, essential):
    steps = [kept, asset, fails_in_the_second if hook == "step_failed" else left_out]
    plugin = failing(hook, essential=essential)
    try:
        experiment = Experiment(
            lambda ctx: 1, steps, [plugin], treatments=[Treatment("second", {"x": 1})], autoload=False
        )
    except HookError:
        return "the experiment is not made; `HookError`"
    try:
        result = experiment.run()
    except HookError as error:
        if getattr(error, "result", None) is None:
            return "nothing runs; `HookError`"
        return "the run ends with a `HookError`, whose `result` is what there is so far"
    if any(note.kind == "switched-off" and note.plugin == "failing" for note in result.run.notes):
        return "the plugin is switched off in this process for the rest of the run, a note in the result says so, and all goes on"
    assert list(result.errors) == ["second_rep_0"]
    assert isinstance(result.errors["second_rep_0"], HookError)
    return "the cell fails with a `HookError`, and the other cells go on"


@each_hook
@pytest.mark.parametrize("essential", [True, False], ids=["essential", "observer"])
@pytest.mark.filterwarnings("ignore::crystallize_core.PluginWarning")
def test_a_failure_does_what_the_page_says(hook, essential, tmp_path, monkeypatch):
    """For an essential plugin and for an observer."""
    monkeypatch.chdir(tmp_path)
    said = facts(hook)["fails, `essential`" if essential else "fails, observer"]
    assert what_happens(hook, essential=essential) == said


@each_hook
def test_a_hook_may_be_a_wrapper_where_the_page_says(hook):
    """Others are refused."""

    def around(self):
        yield

    plugin = type("Around", (), {hook: hookspecs.hookimpl(wrapper=True)(around)})()
    may = facts(hook)["may be a wrapper"] == "yes, `@hookimpl(wrapper=True)`"
    refused = contextlib.nullcontext() if may else pytest.raises(PluginError, match="cannot be a wrapper")
    with refused:
        Experiment(lambda ctx: 1, [kept], [plugin], autoload=False)
