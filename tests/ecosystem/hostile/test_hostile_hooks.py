"""Plugins that raise in hooks: what fails has an address, and nobody else misses a call."""

from __future__ import annotations

import inspect
from collections import Counter

import pytest

from crystallize_core.hookspecs import ANSWERING, HOOKS

pytestmark = pytest.mark.heavy

BEFORE = ("init_hook", "step_options", "cache_store", "wrap_step")
"""They are called before a run begins, which then does not."""
RUN = (
    "before_run", "run_experiment_loop", "after_run", "replicate_done", "load_replicate", "should_stop", "on_event",
    "describe_run",
)  # fmt: skip
CELL = (
    "before_replicate", "before_step", "after_step", "step_failed", "step_skipped", "after_replicate",
    "cache_dependencies", "store_asset",
)  # fmt: skip
STEPS = {
    "before_step": "first", "after_step": "first", "cache_dependencies": "first", "step_failed": "broken",
    "step_skipped": "third", "store_asset": "second", "wrap_step": "first",
}  # fmt: skip
ODD = "type('Odd', (BaseException,), {})('odd')"


def hook(name, raised, *, essential=True):
    """A plugin that raises in one hook."""
    names = ", ".join(["self", *inspect.signature(HOOKS[name]).parameters])
    return f"class Plugin(BasePlugin):\n    essential = {essential}\n    def {name}({names}): raise {raised}\n"


def arguments(name):
    """What makes the study fail where there is a hook for that."""
    return ["--set", "broken=true"] if name == "step_failed" else []


def address(name, **more):
    where = {"experiment": "study", **more}
    where |= {"step": STEPS[name]} if name in STEPS else {}
    where |= {"distribution": "x-hostile", "plugin": "hostile", "hook": name}
    if name == "step_options":  # which has no arguments
        del where["experiment"]
    return shown_address(where)


def shown_address(found):
    return "[" + ", ".join(f"{word} {value!r}" for word, value in found.items()) + "]"


def test_all_hooks_are_tried_here():
    """A new hook is to be added to one of the groups above."""
    assert sorted([*BEFORE, *RUN, *CELL]) == sorted(HOOKS)


@pytest.mark.parametrize("name", BEFORE)
def test_an_essential_plugin_that_raises_before_the_run_refuses_it(machine, clean, name):
    """One message with the exit code 2; the remedy works."""
    machine.plugin(hook(name, "OSError('disk')"))
    done = machine.run()
    assert (done.code, done.out) == (2, "")
    assert done.err.count("disk") == 1
    assert f"hook {name!r} of plugin 'hostile' raised OSError: disk {address(name)}" in done.err
    assert set(done.calls) <= {*BEFORE}
    without = machine.run(CRYSTALLIZE_DISABLE="hostile")
    assert (without.code, without.err, without.result["digest"]) == (0, "", clean.result["digest"])


@pytest.mark.parametrize("name", RUN)
def test_an_essential_plugin_that_raises_in_the_coordinator_ends_the_run_with_its_result(machine, clean, name):
    """One message with the exit code 1, and what was finished."""
    machine.plugin(hook(name, "OSError('disk')"))
    done = machine.run()
    assert done.code == 1
    where = address(name, replicate=0) if name in ("load_replicate", "replicate_done") else address(name)
    assert done.err.count("disk") == 1
    assert f"hook {name!r} of plugin 'hostile' raised OSError: disk {where}" in done.err
    assert Counter(done.calls)["after_run"] == Counter(done.calls)["before_run"] == 1
    if name in ("after_run", "describe_run"):  # when all else was done
        assert (done.result["digest"], done.calls) == (clean.result["digest"], clean.calls)


@pytest.mark.parametrize("name", CELL)
def test_an_essential_plugin_that_raises_in_a_cell_fails_that_cell(machine, clean_of, name):
    """Each of the six says where it was; the run goes on to its end."""
    machine.plugin(hook(name, "OSError('disk')"))
    done = machine.run(*arguments(name))
    assert done.code == 1
    text = f"hook {name!r} of plugin 'hostile' raised OSError: disk"
    shown = [f"{error['message']} {shown_address(error['address'])}" for error in done.result["errors"].values()]
    assert shown == [
        f"{text} {address(name, replicate=replicate, condition=condition)}"
        for replicate in range(3)
        for condition in ("baseline", "double")
    ]
    expected = Counter(clean_of(*arguments(name)).calls)
    for other in ("before_run", "before_replicate", "after_replicate", "replicate_done", "describe_run", "after_run"):
        assert Counter(done.calls)[other] == expected[other]


@pytest.mark.parametrize("name", HOOKS)
def test_an_observer_that_raises_is_switched_off_and_nothing_else_happens(machine, clean_of, name):
    """One note; the digest and the calls of the others are what they would be without it."""
    machine.plugin(hook(name, "OSError('disk')", essential=False))
    done, clean = machine.run(*arguments(name)), clean_of(*arguments(name))
    assert (done.code, done.err.count("\n")) == (clean.code, clean.err.count("\n"))
    assert [note["text"] for note in done.result["run"]["notes"]] == [
        f"plugin 'hostile' (x-hostile) was switched off for the rest of the run: its hook {name!r} raised OSError: disk"
    ]
    assert (done.result["digest"], done.calls) == (clean.result["digest"], clean.calls)


RAISED = {
    "SystemExit": ("SystemExit(3)", "SystemExit: 3"),
    "GeneratorExit": ("GeneratorExit", "GeneratorExit"),
    "a BaseException of its own": (ODD, "Odd: odd"),
    "RecursionError": ("RecursionError('deep')", "RecursionError: deep"),
    "StopIteration": ("StopIteration(3)", "StopIteration: 3"),
    "MemoryError": ("MemoryError", "MemoryError"),
}
each_raised = pytest.mark.parametrize(("raised", "text"), RAISED.values(), ids=RAISED)


@each_raised
@pytest.mark.parametrize("name", ["before_run", "before_step", "describe_run"])
def test_it_does_not_matter_what_an_observer_raises(machine, clean, name, raised, text):
    """It is switched off in any case."""
    machine.plugin(hook(name, raised, essential=False))
    done = machine.run()
    assert (done.code, done.err, len(done.result["run"]["notes"])) == (0, "", 1)
    assert done.result["run"]["notes"][0]["text"].endswith(f"its hook {name!r} raised {text}")
    assert (done.result["digest"], done.calls) == (clean.result["digest"], clean.calls)


@each_raised
def test_it_does_not_matter_what_an_essential_plugin_raises(machine, raised, text):
    """It fails the run or the cell, and others hear of the end."""
    machine.plugin(hook("before_run", raised))
    done = machine.run()
    assert (done.code, done.calls[-1]) == (1, "on_event")
    assert done.said(f"hook 'before_run' of plugin 'hostile' raised {text} {address('before_run')}") == 1
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "name", ["before_run", "before_step", "replicate_done", "on_event", "describe_run", "after_run"]
)
@pytest.mark.parametrize("essential", [True, False])
def test_ctrl_c_in_a_hook_ends_the_run_and_names_it(machine, clean, name, essential):
    """Whoever pressed it: it means the same in a hook as anywhere else, and what was finished is printed."""
    machine.plugin(hook(name, "KeyboardInterrupt", essential=essential))
    done = machine.run()
    assert done.code == 130
    assert done.err.splitlines()[-1] == f"interrupted in hook {name!r} of plugin 'hostile' (x-hostile)"
    assert done.result["run"]["interrupted"] is (name != "after_run")  # when all was done
    assert Counter(done.calls)["after_run"] == 1
    if name in ("describe_run", "after_run"):
        assert done.result["digest"] == clean.result["digest"]


def test_ctrl_c_while_a_plugin_is_imported_names_it(machine):
    """And says how to leave it out."""
    machine.plugin("raise KeyboardInterrupt")
    done = machine.run()
    assert (done.code, done.out) == (130, "")
    assert done.err.splitlines() == [
        "interrupted",
        "interrupted while plugin 'hostile' of x-hostile 1.0 was loaded; CRYSTALLIZE_DISABLE=hostile leaves it out",
    ]


def test_no_hook_that_answers_is_left_out_of_the_page():
    """The hooks whose answers are checked are those that have one."""
    from crystallize_core.engine.answers import _CHECKS

    assert sorted(_CHECKS) == sorted(ANSWERING)
