"""The context: keys are written once, values cannot be changed by one step for another, nothing is assigned to."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core import (
    ContextError,
    ContextKeyError,
    ContextMutationError,
    Event,
    Experiment,
    FrozenContext,
    Pipeline,
    standalone_context,
)

keys = st.text(min_size=1, max_size=5).filter(lambda key: key != "*")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


# Reading ------------------------------------------------------------------------------------------


@given(st.dictionaries(keys, values, max_size=5))
def test_all_ways_of_reading_agree(initial):
    """`[]`, `get`, `in`, iteration, `keys`, `items`, `len` and `as_dict` show the same."""
    ctx = FrozenContext(initial)
    assert {key: ctx[key] for key in ctx} == initial
    assert {key: ctx.get(key) for key in ctx.keys()} == initial  # noqa: SIM118 - the method is under test
    assert dict(ctx.items()) == initial
    assert dict(ctx.as_dict()) == initial
    assert all(key in ctx for key in initial)
    assert len(ctx) == len(initial)
    assert list(ctx) == list(initial)


def test_a_missing_key_is_an_error_with_a_suggestion():
    """`ctx[...]` of a missing key names the closest one, and is a `KeyError` too."""
    with pytest.raises(ContextKeyError) as caught:
        FrozenContext({"factor": 1})["facter"]
    assert str(caught.value) == "the context has no key 'facter'; did you mean 'factor'?"
    assert isinstance(caught.value, KeyError)


def test_get_of_a_missing_key_is_the_default():
    """`get` gives None or what it was told."""
    ctx = FrozenContext()
    assert (ctx.get("a"), ctx.get("a", 5)) == (None, 5)


def test_a_key_with_the_value_none_is_there():
    """None is a value like any other."""
    ctx = FrozenContext({"a": None})
    assert "a" in ctx
    assert ctx.get("a", 5) is None


def test_something_that_is_no_text_is_never_a_key():
    """`in` with a number is false and `get` with one gives the default."""
    ctx = FrozenContext({"1": "one"})
    assert 1 not in ctx
    assert ctx.get(1) is None


def test_as_dict_cannot_be_written():
    """`as_dict` is a read-only view."""
    with pytest.raises(TypeError):
        FrozenContext({"a": 1}).as_dict()["a"] = 2


# Writing ------------------------------------------------------------------------------------------


def test_a_key_is_written_once():
    """A second `add` of a key is refused and says how to override on purpose."""
    ctx = FrozenContext({"a": 1})
    with pytest.raises(ContextMutationError) as caught:
        ctx.add("a", 2)
    assert str(caught.value) == (
        "the context has a key 'a' already (1) and a key is written once; a treatment that means to change a baseline "
        "value says ctx.override('a', ...) or Treatment(..., override=True)"
    )
    assert ctx["a"] == 1


def test_the_same_value_again_is_refused_too():
    """Writing is refused whatever the value."""
    ctx = FrozenContext()
    ctx["a"] = 1
    with pytest.raises(ContextMutationError):
        ctx["a"] = 1


@given(st.lists(st.tuples(keys, values), max_size=8))
def test_the_first_write_of_each_key_wins(writes):
    """Whatever is written in whatever order, a key keeps its first value."""
    ctx, expected = FrozenContext(), {}
    for key, value in writes:
        if key in expected:
            with pytest.raises(ContextMutationError):
                ctx.add(key, value)
        else:
            ctx.add(key, value)
            expected[key] = value
    assert dict(ctx.items()) == expected


@pytest.mark.parametrize("key", ["", 5, None, ("a",), "*"])
def test_a_key_is_a_text(key):
    """Keys are non-empty texts."""
    with pytest.raises(ContextError) as caught:
        FrozenContext().add(key, 1)
    assert str(caught.value) == f"a context key must be a non-empty str, found {type(key).__name__} {key!r}"
    with pytest.raises(ContextError):
        FrozenContext({key: 1})


def test_an_attribute_cannot_be_assigned():
    """`ctx.factor = 2` explains `ctx.add`."""
    with pytest.raises(ContextMutationError) as caught:
        FrozenContext().factor = 2
    assert str(caught.value) == (
        "the context cannot be assigned to (ctx.factor = ...); add a key with ctx.add('factor', value)"
    )


def test_override_is_for_treatments_only():
    """A step that overrides is refused."""

    def step(data, ctx):
        ctx.override("a", 2)

    trace = Experiment(lambda ctx: 0, [step], initial_ctx={"a": 1}, autoload=False).debug()
    assert str(trace.error.__cause__) == (
        "ctx.override('a', ...) belongs in a treatment; a step adds new keys with ctx.add [step 'step']"
    )


# Private copies -----------------------------------------------------------------------------------


def test_a_step_cannot_change_what_the_next_one_sees():
    """Each step gets its own copy of a mutable value."""

    def spoil(data, ctx, rows):
        ctx["rows"].append("spoilt")
        rows.append("spoilt")
        return data

    def look(data, ctx, rows):
        return ctx["rows"], rows

    rows = [1, 2]
    experiment = Experiment(lambda ctx: 0, [spoil, look], initial_ctx={"rows": rows}, autoload=False)
    assert experiment.apply() == ([1, 2], [1, 2])
    assert rows == [1, 2]


def test_within_a_step_a_value_is_one_object():
    """A step that reads a value twice sees what it did to it."""

    def step(data, ctx):
        ctx["rows"].append(3)
        return ctx["rows"]

    assert Experiment(lambda ctx: 0, [step], initial_ctx={"rows": [1]}, autoload=False).apply() == [1, 3]


def test_what_was_added_is_a_copy():
    """Changing an object after it was added changes nothing."""

    def step(data, ctx):
        rows = [1]
        ctx.add("rows", rows)
        rows.append(2)
        return data

    assert Experiment(lambda ctx: 0, [step, lambda data, rows: rows], autoload=False).apply() == [1]


def test_the_values_that_it_was_made_of_are_copied():
    """Changing the dictionary that a context was made of changes nothing."""
    rows = [1]
    ctx = FrozenContext({"rows": rows})
    rows.append(2)
    assert ctx["rows"] == [1]


@pytest.mark.parametrize(
    "value", [10**40, 2.5, "text", b"bytes", 1j, None, True, len, Event], ids=lambda value: type(value).__name__
)
def test_what_cannot_change_is_not_copied(value):
    """Numbers, texts, functions and classes are handed out as they are."""
    ctx = FrozenContext({"a": value})
    ctx.add("b", value)
    assert ctx["a"] is value
    assert ctx["b"] is value


def test_a_value_is_copied_once_per_step_that_reads_it():
    """A mutable value is copied when a step first reads it, and not for a step that does not."""

    class Counted:
        copies = 0

        def __deepcopy__(self, memo):
            Counted.copies += 1
            return self

    def reads(data, ctx, model):
        return (ctx["model"], ctx.get("model"))

    ctx = FrozenContext({"model": Counted()})
    made = Counted.copies
    Pipeline([reads, lambda data: data, reads]).run(0, ctx)
    assert Counted.copies - made == 2


def test_a_value_that_cannot_be_copied_is_refused_with_advice():
    """A lock in the context is refused and the resource factory named."""
    expected = (
        "context value 'lock' is a lock that cannot be copied, so that steps could change it for each other; wrap "
        "what makes it in resource_factory(...) to get one per worker"
    )
    for refused in (
        lambda: FrozenContext({"lock": threading.Lock()}),
        lambda: FrozenContext().add("lock", threading.Lock()),
        lambda: Experiment(lambda ctx: 0, [len], initial_ctx={"lock": threading.Lock()}, autoload=False).validate(),
    ):
        with pytest.raises(ContextError) as caught:
            refused()
        assert str(caught.value) == expected
        assert isinstance(caught.value.__cause__, TypeError)


# Metrics ------------------------------------------------------------------------------------------


def test_metrics_keep_every_value_with_its_tags():
    """A name may be recorded more than once, each time with tags of its own."""
    ctx = FrozenContext()
    ctx.metrics.add("loss", 2, {"epoch": 0})
    ctx.record("loss", 1, {"epoch": 1})
    ctx.record("accuracy", 0.5)
    assert ctx.metrics["loss"] == (2, 1)
    assert ctx.metrics.get_tags("loss") == ({"epoch": 0}, {"epoch": 1})
    assert dict(ctx.metrics.as_dict()) == {"loss": (2, 1), "accuracy": (0.5,)}
    assert list(ctx.metrics) == ["loss", "accuracy"]
    assert (len(ctx.metrics), "loss" in ctx.metrics, "other" in ctx.metrics) == (2, True, False)
    assert ctx.metrics["other"] == ()


def test_a_later_step_sees_the_metrics_of_an_earlier_one():
    """What was committed in the cell can be read, under the same condition and replicate only."""

    def first(data, ctx):
        ctx.record("a", ctx["replicate"])
        return data

    def second(data, ctx):
        return ctx.metrics["a"], {"seen": len(ctx.metrics["a"])}

    result = Experiment(lambda ctx: 0, [first, second], replicates=3, autoload=False).run()
    assert result.metrics.baseline.metrics == {"a": [0, 1, 2], "seen": [1, 1, 1]}


def test_a_recorded_value_is_a_copy():
    """Changing a list after it was recorded changes nothing."""
    ctx, rows = FrozenContext(), [1]
    ctx.record("rows", rows)
    rows.append(2)
    assert ctx.metrics["rows"] == ([1],)


@pytest.mark.parametrize("name", ["", 5, None, ("a", "b"), b"a"])
def test_the_name_of_a_metric_is_a_text(name):
    """Other names are refused where they are recorded."""
    with pytest.raises(ContextError) as caught:
        FrozenContext().metrics.add(name, 1)
    assert str(caught.value) == f"the name of a metric must be a non-empty str, found {type(name).__name__} {name!r}"


# Attributes and events ----------------------------------------------------------------------------


def test_a_provided_attribute_is_made_once_per_attempt():
    """`provide` gives steps an attribute that is made when it is first read, with the view of the step."""
    made = []

    class Provider:
        def __call__(self, ctx):
            made.append(ctx.step_name)
            return f"for {ctx.step_name}"

    from crystallize_core import BasePlugin

    class Plugin(BasePlugin):
        def before_replicate(self, experiment, ctx):
            ctx.provide("client", Provider())

    def first(data, ctx):
        return [ctx.client, ctx.client]

    def unused(data, ctx):
        return data

    def second(data, ctx):
        return [*data, ctx.client]

    experiment = Experiment(lambda ctx: 0, [first, unused, second], plugins=[Plugin()], autoload=False)
    assert experiment.apply() == ["for first", "for first", "for second"]
    assert made == ["first", "second"]


def test_a_name_is_provided_once():
    """Two plugins cannot provide one attribute, nor one that the context has anyway."""
    ctx = FrozenContext()
    ctx.provide("rng", lambda ctx: 1)
    for name in ("rng", "metrics"):
        with pytest.raises(ContextMutationError) as caught:
            ctx.provide(name, lambda ctx: 2)
        assert str(caught.value) == f"ctx.{name} is there already; two plugins cannot both provide it"
    assert ctx.rng == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("other", ""),
        ("rng", "; random streams come with seeding: pip install crystallize-seeding"),
        ("factor", "; the value of that key is ctx['factor']"),
    ],
)
def test_an_attribute_that_nobody_provides_is_explained(name, hint):
    """The message says what to install or how to read the key."""
    with pytest.raises(AttributeError) as caught:
        getattr(FrozenContext({"factor": 1}), name)
    assert str(caught.value) == f"the context has no attribute {name!r} and no plugin of this run provides it{hint}"


def test_there_is_always_a_logger():
    """`ctx.logger` is the logger that was given, else the one named `crystallize`."""
    import logging

    mine = logging.getLogger("mine")
    assert FrozenContext(logger=mine).logger is mine
    assert standalone_context().logger is logging.getLogger("crystallize")


def test_events_say_where_they_happened():
    """`ctx.emit` gives an event with payload, replicate, condition and step."""

    def step(data, ctx):
        ctx.emit("epoch", loss=0.5, name="first")
        return data

    outcome = next(Experiment(lambda ctx: 0, [step], autoload=False).stream())
    assert outcome["baseline"].events == [Event("epoch", {"loss": 0.5, "name": "first"}, 0, "baseline", "step")]


def test_a_step_can_be_called_with_a_context_made_by_hand():
    """`standalone_context` is for calling a step in a test."""

    def step(data, ctx):
        ctx.add("seen", data)
        ctx.record("total", sum(data))
        return ctx["factor"]

    ctx = standalone_context({"factor": 3})
    assert step([1, 2], ctx) == 3
    assert (ctx["seen"], ctx.metrics["total"], ctx.run, ctx.step_name, ctx.attempt) == ([1, 2], (3,), None, None, 1)


def test_a_context_shows_its_keys():
    """The text of a context names its keys, not their values."""
    assert repr(FrozenContext({"a": "secret", "b": 2})) == "FrozenContext(a, b)"


def test_looking_for_special_attributes_does_no_harm():
    """Copying and pickling probe for special names; the context answers that they are not there."""
    ctx: Any = FrozenContext({"a": [1]})
    assert not hasattr(ctx, "__array__")
    assert not hasattr(ctx, "_private_name")
    assert copy.copy(ctx)["a"] == [1]
    assert pickle.loads(pickle.dumps(ctx))["a"] == [1]
