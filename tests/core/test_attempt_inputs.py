"""What each attempt of a step is given, whatever the attempt before did to it."""

from __future__ import annotations

import pytest

from crystallize_core import BasePlugin, DefinitionError, Experiment, Pipeline, pipeline_step, step


class Again(BasePlugin):
    """Calls a step with the option `again` once more after it failed."""

    def __init__(self, single_attempt=False):
        self.single_attempt = single_attempt

    def step_options(self):
        return {"again": bool}

    def wrap_step(self, step, call):
        if not step.options.get("again"):
            return None

        def twice(data, ctx):
            try:
                return call(data, ctx)
            except ValueError:
                return call(data, ctx)

        twice.single_attempt = self.single_attempt
        return twice


def emptied(rows, seen):
    """Writes down what it is given, takes the last row away, and fails the first time."""
    seen.append(list(rows))
    rows.pop()
    if len(seen) == 1:
        raise ValueError("no luck")
    return len(rows)


def test_a_chain_gives_each_attempt_what_the_first_one_got():
    """Although that changed it."""
    seen = []

    @pipeline_step(again=True)
    def take(data):
        return data, {"left": emptied(data, seen)}

    result = Experiment(lambda ctx: [1, 2, 3], [take], [Again()], autoload=False).run()
    assert (result.errors, result.metrics.baseline.metrics) == ({}, {"left": [2]})
    assert seen == [[1, 2, 3], [1, 2, 3]]


def test_a_graph_does_so_too():
    """For what a step takes by name."""
    seen = []

    @step(outputs=["rows"], cache=False)
    def load():
        return [1, 2, 3]

    @step(again=True, cache=False)
    def take(rows, ctx):
        ctx.record("left", emptied(rows, seen))

    result = Experiment(lambda ctx: None, Pipeline([load, take]), [Again()], autoload=False).run()
    assert (result.errors, result.metrics.baseline.metrics) == ({}, {"left": [2]})
    assert seen == [[1, 2, 3], [1, 2, 3]]


def test_a_policy_that_makes_one_attempt_costs_no_copy():
    """It says so, and the step gets the very object."""
    given, got = [1], []

    @pipeline_step(again=True)
    def take(data):
        got.append(data)
        return data

    experiment = Experiment(lambda ctx: given, [take], [Again(single_attempt=True)], autoload=False)
    experiment.run()
    assert got[0] is given


@pytest.mark.parametrize("is_graph", [False, True])
def test_what_can_be_read_only_once_is_not_given_to_a_second_attempt(is_graph):
    """It would find nothing left; the error says what to do, and its cause is why there was a second attempt."""

    @pipeline_step(again=True, **({"tags": {"a": 1}, "condition": lambda: True} if is_graph else {}))
    def take(data):
        raise ValueError(f"no luck with {sum(data)}")

    result = Experiment(lambda ctx: (n for n in (1, 2)), [take], [Again()], autoload=False).run()
    cause = result.errors["baseline_rep_0"].__cause__
    assert type(cause) is DefinitionError
    assert str(cause) == (
        "step 'take' cannot be tried again: 'data' is a generator, which can be read only once, and the attempt "
        "before has read it; make a list of it"
    )
    assert repr(cause.__cause__) == "ValueError('no luck with 3')"


def test_a_generator_is_fine_as_long_as_nothing_fails():
    """Nobody reads it twice."""

    @pipeline_step(again=True)
    def take(data):
        return None, {"sum": sum(data)}

    result = Experiment(lambda ctx: (n for n in (1, 2)), [take], [Again()], autoload=False).run()
    assert (result.errors, result.metrics.baseline.metrics) == ({}, {"sum": [3]})
