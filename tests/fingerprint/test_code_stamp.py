"""Stamps of code: as long as one holds, a walk over the code would come to the same digest."""

from __future__ import annotations

import builtins
import math
import sys
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystallize_core.fingerprint import code_digest
from crystallize_core.fingerprint.unchanged import CodeStamp, cannot_change

SOURCE = """
import math
import prep
from prep import clean

LIMIT = 3
SIZES = [1, 2.0, "three"]
TABLE = {"a": (1, 2), "b": [3]}

def deeper(x):
    return x * LIMIT + sum(SIZES[:1]) + TABLE["a"][0]

def step(data, ctx, size=2):
    from prep import late
    return math.floor(deeper(clean(prep.other(data)))) * size + late(1) + len([late])
"""
PREP = """
FACTOR = 1.5

def clean(x):
    return x * FACTOR

def other(x):
    return -x

def late(x):
    return x
"""


def executed(name, source):
    module = types.ModuleType(name)
    exec(source, module.__dict__)
    return module


@pytest.fixture
def project(monkeypatch):
    """A step with helpers, a second module, constants and containers; and that module."""
    prep = executed("prep", PREP)
    monkeypatch.setitem(sys.modules, "prep", prep)
    return executed("work", SOURCE), prep


def test_a_stamp_holds_while_nothing_changes(project):
    """Also after the code ran, and for code that imports in its body."""
    work, _ = project
    stamp = CodeStamp.of(work.step)
    work.step(1, None)
    assert stamp is not None
    assert stamp.holds()


def other(x):
    return x + 1


CHANGES = {
    "a constant": lambda work, prep: setattr(work, "LIMIT", 4),
    "a constant of an equal value and another type": lambda work, prep: setattr(work, "LIMIT", 3.0),
    "a constant that is gone": lambda work, prep: delattr(work, "LIMIT"),
    "a helper": lambda work, prep: setattr(work, "deeper", other),
    "a helper of a helper's module": lambda work, prep: setattr(prep, "other", other),
    "a constant of that module": lambda work, prep: setattr(prep, "FACTOR", 2.5),
    "a function that is imported in the body": lambda work, prep: setattr(prep, "late", other),
    "the code of a helper": lambda work, prep: setattr(work.deeper, "__code__", other.__code__),
    "a default": lambda work, prep: setattr(work.step, "__defaults__", (3,)),
    "a default by name": lambda work, prep: setattr(work.step, "__kwdefaults__", {"size": 3}),
    "what a function carries": lambda work, prep: setattr(work.deeper, "__wrapped__", other),
    "an item of a list": lambda work, prep: work.SIZES.__setitem__(0, 1.0),
    "one more item": lambda work, prep: work.SIZES.append(4),
    "a value of a table": lambda work, prep: work.TABLE.__setitem__("a", (1, 3)),
    "a key of a table": lambda work, prep: work.TABLE.__setitem__("c", 1),
    "a list in a table": lambda work, prep: work.TABLE["b"].append(4),
    "the module": lambda work, prep: setattr(work, "prep", executed("prep", PREP.replace("-x", "+x"))),
    "a builtin": lambda work, prep: setattr(work, "sum", max),
    "a function of the standard library": lambda work, prep: setattr(work, "math", executed("math", "floor = abs")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_breaks_the_stamp(project, change):
    """Whatever a walk would notice, and be it in a helper of a helper."""
    stamp = CodeStamp.of(project[0].step)
    assert stamp is not None
    change(*project)
    assert not stamp.holds()


def test_a_closure_value_that_is_set_anew_breaks_the_stamp():
    """Cells can be filled again."""

    def made(size):
        def step(data):
            return data * size

        def resize(new):
            nonlocal size
            size = new

        return step, resize

    step, resize = made(2)
    stamp = CodeStamp.of(step)
    assert stamp is not None
    assert stamp.holds()
    resize(3)
    assert not stamp.holds()


def test_a_builtin_that_is_replaced_breaks_the_stamp(monkeypatch):
    """`builtins` is a module like any other."""

    def step(data):
        return abs(data)

    stamp = CodeStamp.of(step)
    assert stamp is not None
    monkeypatch.setattr(builtins, "abs", other)
    assert not stamp.holds()


class Model:
    scale = 2


UNKNOWN = {
    "a class of the project": Model,
    "an object": Model(),
    "a method of an object": Model().__reduce__,
    "an iterator": iter([1]),
}


@pytest.mark.parametrize("value", UNKNOWN.values(), ids=UNKNOWN)
def test_there_is_no_stamp_where_something_may_change_in_itself(value):
    """Who holds a stamp can rely on it; where there is none, the code is walked through."""
    work = types.ModuleType("work")
    work.value = value
    exec("def step(data):\n    return value", work.__dict__)
    assert CodeStamp.of(work.step) is None


def test_a_partial_has_no_stamp():
    """Its arguments are in a dictionary of its own."""
    import functools

    assert CodeStamp.of(functools.partial(other, x=1)) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, True),
        ("a", True),
        (None, True),
        ((1, (2, "b")), True),
        (frozenset({1}), True),
        ([1], False),
        ((1, []), False),
    ],
)
def test_what_cannot_change(value, expected):
    """Numbers, texts, and tuples and frozen sets of such."""
    assert cannot_change(value) is expected


NAMES = ("LIMIT", "SIZES", "TABLE", "deeper", "clean", "math", "prep", "missing")
VALUES = st.one_of(
    st.integers(0, 2),
    st.floats(0, 2),
    st.text(max_size=1),
    st.lists(st.integers(0, 2), max_size=2),
    st.dictionaries(st.text(max_size=1), st.integers(0, 1), max_size=2),
    st.sampled_from([other, math, len, Model, abs, True]),
)


@settings(deadline=None)
@given(
    before=st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=3),
    after=st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=2),
)
def test_while_a_stamp_holds_the_digest_is_the_same(before, after):
    """For any values that names are given, before and after the stamp was made."""
    kept = sys.modules.get("prep")
    sys.modules["prep"] = executed("prep", PREP)
    try:
        work = executed("work", SOURCE)
        for name, value in before:
            setattr(work, name, value)
        stamp, digest = CodeStamp.of(work.step), code_digest(work.step)
        for name, value in after:
            setattr(work, name, value)
        assert stamp is None or not stamp.holds() or code_digest(work.step) == digest
    finally:
        if kept is None:
            del sys.modules["prep"]
        else:
            sys.modules["prep"] = kept
