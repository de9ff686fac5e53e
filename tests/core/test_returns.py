"""What a step may return: data, or data with metrics."""

from __future__ import annotations

import math
from collections import OrderedDict
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core import Experiment, FrozenContext, Pipeline, Result


def result_of(returned: Any) -> Result:
    return Experiment(lambda ctx: 0, [lambda data: returned], autoload=False).run()


def output_of(returned: Any) -> Any:
    return Experiment(lambda ctx: 0, [lambda data: returned], autoload=False).apply()


@pytest.mark.parametrize("kind", [dict, OrderedDict, MappingProxyType])
def test_a_pair_of_data_and_a_mapping_records_metrics(kind):
    """`(data, {"metric": value})` records the metrics and passes the data on."""
    assert output_of(("data", kind({"a": 1}))) == "data"
    assert result_of(("data", kind({"a": 1, "b": 2.5}))).metrics.baseline.metrics == {"a": [1], "b": [2.5]}


def test_an_empty_mapping_records_nothing():
    """`(data, {})` is data without metrics."""
    assert output_of(("data", {})) == "data"
    assert result_of(("data", {})).metrics.baseline.metrics == {}


class Pair(NamedTuple):
    data: Any
    metrics: dict[str, Any]


class OwnTuple(tuple):
    __slots__ = ()


@pytest.mark.parametrize(
    "returned",
    [
        Pair(1, {"a": 1}),
        OwnTuple((1, {"a": 1})),
        (1, 2),
        (1, {"a": 1}, 3),
        ({"a": 1}, 1),
        [1, {"a": 1}],
        (1, None),
        ({"a": 1},),
        {"a": 1},
        (),
        None,
    ],
    ids=repr,
)
def test_everything_else_is_data(returned):
    """A named tuple, a list, three items or no mapping: the whole thing is passed on, of the same type."""
    output = output_of(returned)
    assert output == returned
    assert type(output) is type(returned)
    assert result_of(returned).metrics.baseline.metrics == {}


@given(st.one_of(st.none(), st.integers(), st.text(), st.lists(st.integers()), st.tuples(st.integers(), st.integers())))
def test_data_arrives_unchanged(value):
    """What one step returns is the very object that the next one gets."""
    seen = []
    assert Pipeline([lambda data: value, seen.append]).run(None, FrozenContext()) is None
    assert seen[0] is value


@pytest.mark.parametrize("name", [("train", "loss"), 5, None, ""])
def test_a_metric_whose_name_is_no_text_fails_the_step(name):
    """A tuple as the name of a metric fails this cell with a clear message, and leaves no metric behind."""
    result = result_of((0, {"good": 1, name: 2}))
    assert str(result.errors["baseline_rep_0"]) == (
        f"step '<lambda>' failed: ContextError: the name of a metric must be a non-empty str, found "
        f"{type(name).__name__} {name!r} [experiment 'experiment', replicate 0, condition 'baseline', step '<lambda>']"
    )
    assert list(result.rows()) == []


@pytest.mark.parametrize("value", ["text", [1, 2], {"a": 1}, None, {1, 2}, b"bytes"])
def test_a_metric_that_is_no_number_is_kept_as_it_is(value):
    """Metrics need not be numbers; the table says how many values there are, and JSON keeps them."""
    result = result_of((0, {"found": value}))
    assert result.metrics.baseline.metrics == {"found": [value]}
    assert "1 values" in str(result)
    assert Result.from_json(result.to_json()).metrics.baseline.metrics == {"found": [value]}


def test_numpy_numbers_are_numbers():
    """Numpy scalars are recorded as the plain numbers that they are, and shown with mean and spread."""
    np = pytest.importorskip("numpy")
    kinds = [np.float64, np.float32, np.int64, np.uint8, np.bool_]
    for kind in kinds:
        experiment = Experiment(
            lambda ctx: 0,
            [lambda data, ctx, kind=kind: (data, {"m": kind(ctx["replicate"])})],
            replicates=2,
            autoload=False,
        )
        result = experiment.run()
        assert "0.5 ± 0.71" in str(result), kind
        assert {type(value) for value in result.metrics.baseline["m"]} <= {int, float, bool}
        assert Result.from_json(result.to_json()).metrics.baseline["m"] == [0, 1]


def test_a_mutable_metric_is_a_copy():
    """A list that a later step changes does not change what was recorded."""

    def record(data):
        return data, {"rows": data}

    def spoil(data):
        data.append("spoilt")
        return data

    result = Experiment(lambda ctx: [1], [record, spoil], autoload=False).run()
    assert result.metrics.baseline.metrics == {"rows": [[1]]}


def test_a_metric_that_cannot_be_copied_fails_the_step():
    """A lock as a metric is refused by name."""
    import threading

    result = result_of((0, {"lock": threading.Lock()}))
    assert "metric 'lock' is a lock that cannot be copied" in str(result.errors["baseline_rep_0"])


def test_metrics_of_several_steps_are_one_table():
    """Every step may record; the same name of two steps is one column in the order of recording."""

    def first(data, ctx):
        ctx.record("a", 1)
        return data, {"b": 2}

    def second(data):
        return data, {"a": 3}

    result = Experiment(lambda ctx: 0, [first, second], replicates=2, autoload=False).run()
    assert result.metrics.baseline.metrics == {"a": [1, 3, 1, 3], "b": [2, 2]}


def test_an_infinite_metric_is_kept_and_not_averaged():
    """NaN and infinity are values; a mean is only shown of finite numbers."""
    result = result_of((0, {"a": math.inf, "b": math.nan}))
    assert result.metrics.baseline["a"] == [math.inf]
    assert math.isnan(result.metrics.baseline["b"][0])
    assert str(result).count("1 values") == 2


def test_an_awaitable_from_a_plain_function_is_awaited():
    """A plain function that returns a coroutine is the same as an async one, metrics included."""

    async def later(data):
        return data + 1, {"a": data}

    def step(data):
        return later(data)

    experiment = Experiment(lambda ctx: 1, [step], autoload=False)
    assert experiment.apply() == 2
    assert experiment.run().metrics.baseline.metrics == {"a": [1]}


def test_generators_and_open_files_flow_between_steps():
    """Whatever is not cacheable may flow, also what can neither be copied nor pickled."""

    def produce(data):
        return (x for x in range(3))

    assert Experiment(lambda ctx: 0, [produce, sum], autoload=False).apply() == 3
