"""Failures have an address, keep their cause, survive pickling, and lose nothing else."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest

import crystallize_core
from crystallize_core import (
    ContextKeyError,
    CrystallizeError,
    Experiment,
    RemoteError,
    StepError,
    Treatment,
)
from crystallize_core.errors import did_you_mean


def failing(error: BaseException, **parts: Any) -> Experiment:
    """An experiment whose step raises `error` under the treatment, in replicate 1."""

    def step(data, ctx):
        ctx.record("done", 1)
        return data

    def fails(data, ctx):
        if ctx["replicate"] == 1 and ctx["condition"] == "bad":
            raise error
        return data, {"m": ctx["replicate"]}

    return Experiment(
        lambda ctx: 0, [step, fails], name="e", treatments=[Treatment("bad", {})], replicates=3, autoload=False, **parts
    )


class Odd(Exception):
    """An exception that cannot be made from its arguments, so that pickle cannot make it again."""

    def __init__(self, first, second):
        super().__init__("only one")


class Textless(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Holds(Exception):
    """An exception that holds something that cannot be pickled."""

    def __init__(self):
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def test_one_failing_cell_loses_nothing_else():
    """All other cells have their values; the failed one keeps what its earlier steps committed, marked as failed."""
    result = failing(ValueError("no")).run()
    assert result.metrics.baseline.metrics == {"done": [1, 1, 1], "m": [0, 1, 2]}
    assert result.metrics.treatments["bad"].metrics == {"done": [1, 1], "m": [0, 2]}
    assert result.metrics.treatments["bad"].failed == (1,)
    assert [(row.replicate, row.metric, row.value) for row in result.rows() if row.failed] == [(1, "done", 1)]


def test_an_error_has_its_address():
    """Experiment, replicate, condition and step, as text, as mapping and as attributes."""
    (error,) = failing(ValueError("no")).run().errors.values()
    assert (
        str(error) == "step 'fails' failed: ValueError: no [experiment 'e', replicate 1, condition 'bad', step 'fails']"
    )
    assert error.address == {"experiment": "e", "replicate": 1, "condition": "bad", "step": "fails"}
    assert (error.experiment, error.replicate, error.condition, error.step) == ("e", 1, "bad", "fails")
    with pytest.raises(AttributeError, match="'StepError' object has no attribute 'plugin'"):
        error.plugin


def test_the_cause_is_kept():
    """`__cause__` is the very exception that the step raised, with its traceback."""
    cause = ValueError("no")
    (error,) = failing(cause).run().errors.values()
    assert error.__cause__ is cause
    assert cause.__traceback__ is not None


def test_errors_are_listed_under_condition_and_replicate():
    """The keys of `result.errors` say which cell it was."""
    assert list(failing(ValueError()).run().errors) == ["bad_rep_1"]


def test_an_error_without_text_is_named():
    """An exception without arguments shows its class alone."""
    (error,) = failing(ValueError()).run().errors.values()
    assert error.message == "step 'fails' failed: ValueError"


def test_an_error_whose_text_raises_is_described():
    """A broken `__str__` of a foreign exception breaks nothing."""
    result = failing(Textless()).run()
    (error,) = result.errors.values()
    assert error.message == "step 'fails' failed: Textless: <Textless whose text cannot be shown: RuntimeError>"
    assert error.message in str(result)
    assert error.message in str(crystallize_core.Result.from_json(result.to_json()))


def test_a_context_error_of_a_step_is_a_failure_of_that_step():
    """An error that Crystallize raises inside a step is the cause of a `StepError` like all others."""

    def step(data, ctx):
        return ctx["nothing"]

    (error,) = Experiment(lambda ctx: 0, [step], autoload=False).run().errors.values()
    assert type(error) is StepError
    assert type(error.__cause__) is ContextKeyError
    assert str(error.__cause__) == "the context has no key 'nothing'; it has: 'condition', 'replicate'. [step 'step']"


def test_an_assertion_and_a_stop_iteration_are_failures():
    """Exceptions that mean something to the language fail the cell like any other."""
    for error in (AssertionError("no"), StopIteration("no"), KeyError("no")):
        result = failing(error).run()
        assert list(result.errors) == ["bad_rep_1"]
        assert result.errors["bad_rep_1"].__cause__ is error


# Pickling -----------------------------------------------------------------------------------------


def sent(error: BaseException) -> Any:
    return pickle.loads(pickle.dumps(error))


def test_an_error_survives_pickling_with_address_and_cause():
    """The copy reads the same, and its cause is of the same class with the original traceback as a note."""
    (error,) = failing(ValueError("no")).run().errors.values()
    again = sent(error)
    assert (type(again), str(again), again.address) == (StepError, str(error), error.address)
    assert (type(again.__cause__), again.__cause__.args) == (ValueError, ("no",))
    assert again.__cause__.__notes__[0].startswith("Traceback (most recent call last):")
    assert "raise error" in again.__cause__.__notes__[0]


def test_an_error_survives_being_sent_twice():
    """Nothing is lost or doubled on a second way."""
    (error,) = failing(ValueError("no")).run().errors.values()
    once, twice = sent(error), sent(sent(error))
    assert str(twice) == str(once)
    assert twice.__cause__.__notes__ == once.__cause__.__notes__


@pytest.mark.parametrize("cause", [Odd(1, 2), Holds()], ids=["cannot be made", "holds a lock"])
def test_a_cause_that_cannot_be_sent_is_described(cause):
    """A `RemoteError` stands for it: its class, its text and its traceback."""
    (error,) = failing(cause).run().errors.values()
    again = sent(error)
    assert str(again) == str(error)
    assert type(again.__cause__) is RemoteError
    assert str(again.__cause__) == f"{type(cause).__name__}: {cause}"
    assert "raise error" in again.__cause__.details


def test_the_causes_of_a_cause_travel():
    """A chain of causes keeps all its links."""

    def step(data):
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner

    (error,) = Experiment(lambda ctx: 0, [step], autoload=False).run().errors.values()
    again = sent(error)
    assert (type(again.__cause__), type(again.__cause__.__cause__)) == (ValueError, KeyError)


ALL_ERRORS = sorted(
    (kind for kind in vars(crystallize_core).values() if isinstance(kind, type) and issubclass(kind, CrystallizeError)),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_every_error_survives_pickling_and_copying(kind):
    """Whatever the class: message, address, notes, extra attributes and cause come along."""
    error = kind("what happened", step="s", plugin="p")
    error.add_note("a note")
    error.result = [1]
    error.__cause__ = KeyError("cause")
    for again in (sent(error), copy.copy(error)):
        assert (type(again), str(again)) == (kind, "what happened [step 's', plugin 'p']")
        assert (again.address, again.__notes__, again.result) == ({"step": "s", "plugin": "p"}, ["a note"], [1])
        assert type(again.__cause__) is KeyError


def test_every_error_is_drawn_in_the_tree():
    """The docstring of the module shows each class once, under its parent."""
    tree = crystallize_core.errors.__doc__
    for kind in ALL_ERRORS:
        if kind is not CrystallizeError:
            assert f"── {kind.__name__} " in tree, kind


# Suggestions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("factr", ["factor", "size"], "did you mean 'factor'?"),
        ("zzz", ["size", "factor"], "known: 'factor', 'size'."),
        ("zzz", [], "nothing is known."),
        ("zzz", [f"a{n:02}" for n in range(14)], "known: " + ", ".join(f"'a{n:02}'" for n in range(12)) + ", …."),
    ],
)
def test_a_suggestion_is_the_closest_name_or_a_list(name, known, expected):
    """A close name is suggested; else the known ones are listed, at most twelve."""
    assert did_you_mean(name, known) == expected
