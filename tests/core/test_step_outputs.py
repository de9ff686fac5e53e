"""What a step returned becomes its outputs; what one step does with a value changes nothing for another."""

from __future__ import annotations

from collections import UserDict, namedtuple
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystallize_core import Experiment, OutputError, Pipeline, PipelineResult, Step, StepError, WiringError, step

Pair = namedtuple("Pair", "x y")  # noqa: PYI024 - as users write it


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No project, no installed plugin and no folder of the user takes part."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path))


def returning(value: Any, *outputs: str) -> Step:
    return step(name="s", cache=False, outputs=outputs)(lambda: value)


def run(*steps: Step, **kwargs: Any) -> PipelineResult:
    return Pipeline(steps, checkpoint=False).run(**kwargs)


def metrics_of(*steps: Step) -> dict[str, list[Any]]:
    """The metrics of one cell of an experiment, which keeps nothing that no step takes any more."""
    experiment = Experiment(lambda ctx: 0, Pipeline(steps))
    return experiment.run(replicates=1).metrics.baseline.metrics


# By their number -----------------------------------------------------------------------------------------

VALUES = [None, 0, False, "", (), (1,), (1, 2), [1, 2], {"a": 1}, {}, {"s": 1}]


@pytest.mark.parametrize("value", VALUES)
def test_without_declared_outputs_the_value_has_the_name_of_the_step(value):
    """As it is, whatever it is."""
    result = run(returning(value))
    assert (dict(result.outputs), result["s"]) == ({"s": value}, value)


@pytest.mark.parametrize("value", [*VALUES, (1, {"metric": 2}), Pair(1, 2)])
def test_one_output_is_the_whole_value(value):
    """Nothing is unpacked: neither a tuple of one nor a mapping with the name as a key."""
    result = run(returning(value, "a"))
    assert (dict(result.outputs), result["s"]) == ({"a": value}, value)
    assert type(result["a"]) is type(value)


@pytest.mark.parametrize(
    "value", [(1, 2), [1, 2], Pair(1, 2), {"a": 1, "b": 2}, {"b": 2, "c": 3, "a": 1}, UserDict(a=1, b=2)], ids=repr
)
def test_several_outputs_are_taken_by_position_or_by_key(value):
    """Out of a tuple or a list of exactly so many, or a mapping that has all of them."""
    result = run(returning(value, "a", "b"))
    assert (dict(result.outputs), result["s"]) == ({"a": 1, "b": 2}, value)


def test_none_among_several_outputs_is_a_value():
    """A taker with a default gets None, not its default."""
    taker = step(name="t", cache=False)(lambda a=1, b=2: (a, b))
    assert run(returning((None, 0), "a", "b"), taker)["t"] == (None, 0)


POSITIONS = "return 2 values in this order"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ((1, 2, 3), f"tuple of 3; {POSITIONS}"),
        ((1,), f"tuple of 1; {POSITIONS}"),
        ([], f"list of 0; {POSITIONS}"),
        ({"a": 1}, "dict without 'b'; return a mapping with all of them, or so many values in this order"),
        ({}, "dict without 'a', 'b'; return a mapping with all of them, or so many values in this order"),
        (None, f"None; {POSITIONS}, or a mapping with these keys"),
        ("ab", f"str; {POSITIONS}, or a mapping with these keys"),
        ({1, 2}, f"set; {POSITIONS}, or a mapping with these keys"),
        (iter([1, 2]), f"list_iterator; {POSITIONS}, or a mapping with these keys"),
    ],
    ids=lambda given: None if isinstance(given, str) else type(given).__name__,
)
def test_anything_else_fails_the_step(value, found):
    """The message says what was declared, what was returned and what to return."""
    result = run(returning(value, "a", "b"))
    assert result.step_results["s"].error == (
        f"OutputError: step 's' declares 2 outputs (a, b), returned {found} [step 's']"
    )
    assert type(result.step_results["s"].exception) is OutputError
    assert (result.success, dict(result.outputs)) == (False, {})


@settings(max_examples=30)
@given(st.integers(2, 5), st.lists(st.integers(), max_size=6), st.sampled_from([tuple, list]))
def test_as_many_as_declared_or_a_failure(tmp_path_factory, count, values, kind):
    """The number decides, for every number."""
    names = [f"o{at}" for at in range(count)]
    pipeline = Pipeline([returning(kind(values), *names)], cache_dir=tmp_path_factory.getbasetemp(), checkpoint=False)
    result = pipeline.run()
    assert result.success is (len(values) == count)
    assert dict(result.outputs) == (dict(zip(names, values, strict=True)) if len(values) == count else {})


def test_a_pair_of_value_and_metrics_of_a_step_without_outputs():
    """The metrics are recorded; a step that means the pair itself declares an output."""
    result = run(returning((5, {"loss": 0.5})))
    assert (result["s"], result.metrics) == (5, {"loss": [0.5]})
    declared = run(returning((5, {"loss": 0.5}), "a"))
    assert (declared["a"], declared.metrics) == ((5, {"loss": 0.5}), {})


def test_an_async_step_may_have_several_outputs():
    """They are taken out of what was awaited."""

    @step(outputs=["a", "b"])
    async def later():
        return 1, 2

    assert dict(run(later).outputs) == {"a": 1, "b": 2}


def test_wrong_outputs_of_a_cached_step_are_not_kept():
    """A step that failed runs again."""
    calls = []

    @step(outputs=["a", "b"])
    def wrong():
        calls.append(1)
        return 1

    assert [run(wrong).success for _ in range(2)] == [False, False]
    assert len(calls) == 2


# Apart from each other -----------------------------------------------------------------------------------


@step(cache=False)
def numbers():
    return {"deep": [1]}


def appending(name: str, parameter: str, number: int) -> Step:
    """A step that changes what it is given, and returns how it looks then."""
    scope: dict[str, Any] = {}
    exec(f"def f({parameter}): {parameter}['deep'].append({number}); return {parameter}", scope)
    return step(name=name, cache=False)(scope["f"])


def test_a_taker_cannot_change_what_others_get():
    """Each gets a copy, and the result has what was made."""
    result = run(numbers, appending("f", "numbers", 2), appending("g", "numbers", 3))
    assert dict(result.outputs) == {"numbers": {"deep": [1]}, "f": {"deep": [1, 2]}, "g": {"deep": [1, 3]}}


def test_the_inputs_and_the_context_of_a_run_stay_as_they_were():
    """Neither what was given to the run nor the parameters of the pipeline are changed by a step."""
    inputs, over, own = {"a": {"deep": [1]}}, {"b": {"deep": [1]}}, {"c": {"deep": [1]}}
    pipeline = Pipeline([appending(f"s{name}", name, 2) for name in "abc"], context=own)
    for _ in range(2):
        result = pipeline.run(inputs=inputs, context=over)
        assert dict(result.outputs) == {f"s{name}": {"deep": [1, 2]} for name in "abc"}
    assert (inputs, over, own) == ({"a": {"deep": [1]}}, {"b": {"deep": [1]}}, {"c": {"deep": [1]}})


def test_a_context_value_is_the_same_for_all_steps():
    """Each gets a copy of it."""
    result = run(appending("f", "shared", 2), appending("g", "shared", 3), context={"shared": {"deep": [1]}})
    assert dict(result.outputs) == {"f": {"deep": [1, 2]}, "g": {"deep": [1, 3]}}


def test_an_experiment_keeps_takers_apart_too():
    """One value that two steps take, and one object that is two outputs."""

    @step(outputs=["x", "y"], cache=False)
    def one_object():
        made = {"deep": [1]}
        return made, made

    @step(cache=False)
    def compare(f, g, h, i):
        return None, {name: len(value["deep"]) for name, value in {"f": f, "g": g, "h": h, "i": i}.items()}

    steps = [numbers, appending("f", "numbers", 2), appending("g", "numbers", 3)]
    steps += [one_object, appending("h", "x", 2), appending("i", "y", 3), compare]
    assert metrics_of(*steps) == {"f": [2], "g": [2], "h": [2], "i": [2]}


def test_a_condition_cannot_change_what_the_step_gets():
    """It is asked with a copy."""

    def is_long(numbers):
        numbers["deep"].clear()
        return True

    guarded = step(cache=False, condition=is_long)(lambda numbers: (None, {"n": len(numbers["deep"])}))
    assert metrics_of(numbers, guarded) == {"n": [1]}


def test_a_value_and_its_parts_are_kept_apart():
    """What takes the whole return as `data` cannot change the outputs that it is made of."""

    @step(outputs=["x", "y"], cache=False)
    def both():
        return {"deep": [1]}, {"deep": [1]}

    @step(cache=False)
    def change(data):
        data[0]["deep"].append(2)
        return data[0]

    result = run(both, change, appending("g", "x", 3))
    assert (result["change"], result["g"], result["x"]) == ({"deep": [1, 2]}, {"deep": [1, 3]}, {"deep": [1]})


# What can be read only once ------------------------------------------------------------------------------


@step(cache=False)
def lines() -> Iterator[int]:
    return (number for number in range(3))


def reading(name: str) -> Step:
    return step(name=name, cache=False)(lambda lines: (list(lines), {name: 3}))


def test_a_generator_flows_to_the_one_step_that_takes_it():
    """It cannot be copied, and need not be; a condition may look whether it is there."""
    taker = step(name="f", cache=False, condition=lambda lines: lines is not None)(lambda lines: sum(lines, 0))
    assert run(lines, taker)["f"] == 3
    assert metrics_of(lines, reading("f")) == {"f": [3]}


def test_a_generator_cannot_go_to_several_steps():
    """The second would find it empty; all of them fail and say what to do."""
    result = run(lines, reading("f"), reading("g"))
    expected = "'lines' is a generator, which can be read only once, and several steps take it; make a list of it"
    assert {name: found.error for name, found in result.step_results.items()} == {
        "lines": None, "f": f"WiringError: {expected}", "g": f"WiringError: {expected}",
    }  # fmt: skip
    with pytest.raises(StepError) as caught:
        result.raise_for_status()
    assert type(caught.value.__cause__) is WiringError


def test_an_open_file_cannot_go_to_several_steps(tmp_path):
    """The same for everything that can be read only once."""
    (tmp_path / "f.txt").write_text("1\n2\n")
    with (tmp_path / "f.txt").open() as opened:
        result = run(reading("f"), reading("g"), inputs={"lines": opened})
    assert {found.error for found in result.step_results.values()} == {
        (
            "WiringError: 'lines' is a TextIOWrapper, which can be read only once, and several steps take it; make a list "
            "of it"
        )
    }
