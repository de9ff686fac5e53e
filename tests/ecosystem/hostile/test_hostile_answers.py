"""Plugins that return what a hook must not return: it is the failure of the plugin, and of nobody else."""

from __future__ import annotations

import inspect

import pytest

from crystallize_core.hookspecs import HOOKS

pytestmark = pytest.mark.heavy

EVIL = """
from collections.abc import Mapping, Sequence


class Evil:
    def __bool__(self): raise RuntimeError("bool")
    def __eq__(self, other): raise RuntimeError("eq")
    def __hash__(self): raise RuntimeError("hash")
    def __repr__(self): raise RuntimeError("repr")


class EvilMapping(Mapping):
    def __iter__(self): raise RuntimeError("iter")
    def __len__(self): return 1
    def __getitem__(self, key): raise RuntimeError("item")


class EvilValues(Mapping):
    def __iter__(self): return iter(["a"])
    def __len__(self): return 1
    def __getitem__(self, key): raise RuntimeError("item")


class Endless(Mapping):
    def __iter__(self):
        number = 0
        while True:
            yield f"key{number}"
            number += 1
    def __len__(self): return 1
    def __getitem__(self, key): return 1


class EndlessList(Sequence):
    def __len__(self): return 3
    def __getitem__(self, at): return None


class Text(str):
    def __repr__(self): raise RuntimeError("repr")
"""

WRONG = {
    "`step_options` returns a list": ("step_options", "['size']", "TypeError: it must return a mapping or None, found list ['size']"),
    "`step_options` returns names that are none": (
        "step_options", "{3: int}", "TypeError: it must return a mapping of names to types, found the name 3",
    ),
    "`step_options` returns a mapping that raises": ("step_options", "EvilMapping()", "RuntimeError: iter"),
    "`step_options` returns a mapping without end": (
        "step_options", "Endless()", "TypeError: it must return a mapping of at most 100000 items, and this one has more",
    ),
    "`cache_store` returns a text": (
        "cache_store", "'s3://bucket'",
        "TypeError: it must return a store with read(name) and write(name, content) or None, found str 's3://bucket'",
    ),
    "`cache_store` returns what cannot be shown": (
        "cache_store", "Evil()",
        ("TypeError: it must return a store with read(name) and write(name, content) or None, found a Evil that cannot be "
        "shown (RuntimeError)"),
    ),
    "`wrap_step` returns a number": ("wrap_step", "3", "TypeError: it must return a callable or None, found int 3"),
    "`load_replicate` returns a number": (
        "load_replicate", "3", "TypeError: it must return the outcome of replicate 0 or None, found int 3",
    ),
    "`should_stop` returns what is neither true nor false": ("should_stop", "Evil()", "RuntimeError: bool"),
    "`describe_run` returns an iterator without end": (
        "describe_run", "__import__('itertools').count()",
        "TypeError: it must return a mapping or None, found count count(0)",
    ),
    "`describe_run` returns a mapping that raises": ("describe_run", "EvilMapping()", "RuntimeError: iter"),
    "`describe_run` returns a mapping without end": (
        "describe_run", "Endless()", "TypeError: it must return a mapping of at most 100000 items, and this one has more",
    ),
    "`describe_run` returns what cannot be shown": (
        "describe_run", "Evil()",
        "TypeError: it must return a mapping or None, found a Evil that cannot be shown (RuntimeError)",
    ),
    "`cache_dependencies` returns a list": (
        "cache_dependencies", "['size']", "TypeError: it must return a mapping or None, found list ['size']",
    ),
    "`cache_dependencies` returns a mapping that raises": ("cache_dependencies", "EvilMapping()", "RuntimeError: iter"),
    "`store_asset` returns a number": ("store_asset", "3", "TypeError: it must return a name or a URI or None, found int 3"),
}  # fmt: skip
each = pytest.mark.parametrize(("name", "answer", "text"), WRONG.values(), ids=WRONG)


def returning(name, answer, *, essential=True):
    names = ", ".join(["self", *inspect.signature(HOOKS[name]).parameters])
    return f"{EVIL}\nclass Plugin(BasePlugin):\n    essential = {essential}\n    def {name}({names}): return {answer}\n"


@each
def test_an_essential_plugin_fails_with_its_address(machine, name, answer, text):
    """The cell, the run, or what comes before it, as if the hook had raised."""
    machine.plugin(returning(name, answer))
    done = machine.run()
    assert done.code in (1, 2)
    assert "Traceback" not in done.err
    message = f"hook {name!r} of plugin 'hostile' raised {text}"
    if name in ("cache_dependencies", "store_asset"):
        assert {error["message"] for error in done.result["errors"].values()} == {message}
        assert len(done.result["errors"]) == 6
    else:
        assert done.err.count(message) == 1
        assert "distribution 'x-hostile', plugin 'hostile'" in done.err


@each
def test_an_observer_is_switched_off(machine, clean, name, answer, text):
    """And the run is what it would be without it."""
    machine.plugin(returning(name, answer, essential=False))
    done = machine.run()
    assert (done.code, done.err) == (0, "")
    assert [note["text"] for note in done.result["run"]["notes"]] == [
        f"plugin 'hostile' (x-hostile) was switched off for the rest of the run: its hook {name!r} raised {text}"
    ]
    assert (done.result["digest"], done.calls) == (clean.result["digest"], clean.calls)


OUTCOMES = {
    "`run_experiment_loop` returns an iterator without end": (
        "__import__('itertools').count()",
        "executor 'hostile' must return a list of outcomes, found count",
    ),
    "`run_experiment_loop` returns a sequence without end": (
        "EndlessList()",
        "executor 'hostile' lost 3 of 3 replicates: 0, 1, 2",
    ),
    "`run_experiment_loop` returns what are no outcomes": (
        "[1, 2, 3]",
        "int 1 was delivered in place of a ReplicateOutcome",
    ),
    "`run_experiment_loop` returns too few": ("[]", "executor 'hostile' lost 3 of 3 replicates: 0, 1, 2"),
    "`run_experiment_loop` returns a text": ("'done'", "str 'd' was delivered in place of a ReplicateOutcome"),
}


@pytest.mark.parametrize(("answer", "text"), OUTCOMES.values(), ids=OUTCOMES)
def test_an_executor_that_returns_no_outcomes_ends_the_run(machine, answer, text):
    """With its address, and the others hear of the end."""
    machine.plugin(returning("run_experiment_loop", answer))
    done = machine.run()
    assert done.code == 1
    address = "[distribution 'x-hostile', plugin 'hostile', hook 'run_experiment_loop']"
    assert done.err.count(f"error: {text} {address}") == 1
    assert done.calls.count("after_run") == 1


def test_dependencies_whose_values_raise_cannot_be_compared(machine, clean):
    """The output is not cached, and that is said once."""
    machine.plugin(returning("cache_dependencies", "EvilValues()"))
    done = machine.run()
    assert (done.code, done.result["digest"]) == (0, clean.result["digest"])
    assert done.err.count("RuntimeError: item") == 1


RECORDED = {
    "`describe_run` returns itself inside of itself": "(lambda d: d.update(d=d) or d)({})",
    "`describe_run` returns values that are not plain": "{'a': object(), 3: {4}, 'f': lambda: 1, 'b': b'\\xff'}",
    "`describe_run` returns numbers that JSON does not have": "{'a': float('nan'), 'b': 10 ** 5000}",
    "`describe_run` returns values that cannot be shown": "{'a': Evil(), 'b': Text('x')}",
}


@pytest.mark.parametrize("answer", RECORDED.values(), ids=RECORDED)
def test_a_record_of_anything_is_printed_as_json(machine, clean, answer):
    """What is no plain value is described."""
    machine.plugin(returning("describe_run", answer))
    done = machine.run()
    assert (done.code, done.err) == (0, "")
    assert done.result["digest"] == clean.result["digest"]
