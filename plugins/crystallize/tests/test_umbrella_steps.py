"""Steps wired by name as a user writes them: the decorator, the wiring, results, patterns."""

from __future__ import annotations

import threading

import pytest

from crystallize import (
    Dataset,
    Metrics,
    Model,
    Pipeline,
    Skipped,
    Step,
    WiringError,
    context,
    load_asset,
    parallel_map,
    step,
    unless,
    when,
)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    """The cache and the artifacts of a test stay with it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRYSTALLIZE_CACHE_DIR", raising=False)


def _states(result):
    """What became of the steps, in the order in which they ran."""
    return {name: found.state for name, found in result.step_results.items()}


@step(outputs=["rows"])
def read():
    return [3, 1, 2]


@step(inputs=["rows"], outputs=["ordered"])
def order(rows):
    return sorted(rows)


# The decorator ----------------------------------------------------------------------------------------


def test_a_step_is_its_function_to_whoever_calls_it():
    """With the name and the documentation of the function, and without any of its policies."""

    @step(outputs=["doubled"], retry=3, timeout=60)
    def double(value):
        """Twice the value."""
        return value * 2

    assert isinstance(double, Step)
    assert double([1, 2]) == [1, 2, 1, 2]
    assert (double.__name__, double.__doc__) == ("double", "Twice the value.")


def test_the_options_have_these_defaults():
    """Bare, or with empty parentheses; readable as attributes."""

    @step
    def bare():
        """Nothing was said."""

    found = {name: getattr(bare, name) for name in ("cache", "retry", "timeout", "resources", "execution_group")}
    assert found == {
        "cache": "code_hash", "retry": 0, "timeout": None, "resources": None, "execution_group": None,
    }  # fmt: skip
    assert (list(bare.inputs), list(bare.outputs)) == ([], [])
    assert step()(bare.function).cache == "code_hash"


def test_all_options_at_once():
    """What was given can be read again."""

    @step(
        inputs=["rows"], outputs=["fitted"], cache="input_hash", retry=3, timeout=3600,
        resources={"gpu": 1, "memory": "16Gi"}, execution_group="fitting",
    )  # fmt: skip
    def learn(rows, rate: float):
        return len(rows) * rate

    assert (list(learn.inputs), list(learn.outputs)) == (["rows"], ["fitted"])
    assert (learn.cache, learn.retry, learn.timeout, learn.execution_group) == ("input_hash", 3, 3600, "fitting")
    assert learn.resources == {"gpu": 1, "memory": "16Gi"}


# Wiring -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("added", [[read, order], [order, read]], ids=["in order", "against it"])
def test_the_order_follows_from_inputs_and_outputs(added):
    """Not from the order in which steps are added."""
    result = Pipeline("ordering").add_steps(*added).run()
    assert list(result.step_results) == ["read", "order"]
    assert dict(result.outputs) == {"rows": [3, 1, 2], "ordered": [1, 2, 3]}


def test_a_parameter_with_the_name_of_an_output_needs_no_declaration():
    """It makes the same edge."""

    @step
    def count(rows):
        return len(rows)

    result = Pipeline("counting").add_steps(count, read).run()
    assert list(result.step_results) == ["read", "count"]
    assert result.outputs["count"] == 3


def test_several_outputs_are_returned_as_a_tuple():
    """Each goes to those who ask for it by name; the whole is there under the name of the step."""

    @step(outputs=["first", "rest"])
    def cut(rows, at=1):
        return rows[:at], rows[at:]

    @step
    def join(rest, first):
        return rest + first

    result = Pipeline("cutting").add_steps(read, cut, join).run()
    assert (result.outputs["first"], result.outputs["rest"]) == ([3], [1, 2])
    assert result["cut"] == ([3], [1, 2])
    assert result["join"] == [1, 2, 3]


def test_a_wrong_number_of_outputs_fails_the_step():
    """With what was declared and what came."""

    @step(outputs=["first", "rest"])
    def cut(rows):
        return rows

    result = Pipeline("cutting").add_steps(read, cut).run()
    assert result.step_results["cut"].error == (
        "OutputError: step 'cut' declares 2 outputs (first, rest), returned list of 3; "
        "return 2 values in this order [step 'cut']"
    )


def test_several_inputs_come_from_several_steps():
    """Each by its name."""

    @step(outputs=["names"])
    def read_names():
        return ["c", "a", "b"]

    @step(inputs=["rows", "names"], outputs=["named"])
    def name_rows(names, rows):
        return list(zip(names, rows, strict=True))

    result = Pipeline("naming").add_steps(read, read_names, name_rows).run()
    assert result["named"] == [("c", 3), ("a", 1), ("b", 2)]


def test_a_missing_input_is_reported_before_anything_runs():
    """Together with everything else that is missing, and with what it may have been meant to be."""
    ran = []

    @step(outputs=["numbers"], cache=False)
    def read_numbers():
        ran.append(1)

    @step(inputs=["number"])
    def total(number, weight):
        return number * weight

    with pytest.raises(WiringError) as caught:
        Pipeline("missing").add_steps(read_numbers, total).run()
    problems = str(caught.value).splitlines()
    assert problems[0] == "pipeline 'missing': 2 problem(s)"
    assert "step 'total': parameter 'number' is neither" in problems[1]
    assert "did you mean 'numbers'?" in problems[1]
    assert "step 'total': parameter 'weight' is neither" in problems[2]
    assert ran == []


def test_the_context_fills_parameters_by_their_names():
    """What a run is given replaces a value for that run alone; an output comes before the context."""
    settings = context(rate=0.5, rounds=3, batch_size=32)

    @step
    def learn(rows, rate: float, rounds: int, extra=7):
        return [sum(rows), rate, rounds, extra]

    learning = Pipeline("learning", context=settings).add_steps(read, learn)
    assert learning.run()["learn"] == [6, 0.5, 3, 7]
    assert learning.run(context={"rate": 2, "rows": [100]})["learn"] == [6, 2, 3, 7]
    assert learning.run()["learn"] == [6, 0.5, 3, 7]
    assert settings.to_dict() == {"rate": 0.5, "rounds": 3, "batch_size": 32}


# Types ------------------------------------------------------------------------------------------------


def test_assets_are_stored_by_their_type():
    """Where they are made, or where the annotation promises them; the values flow on."""

    @step
    def gather() -> Dataset:
        return [1, 2]

    @step
    def shape(gather):
        return Model({"size": len(gather)}, name="sizes", framework="own")

    @step
    def rate(shape):
        return Metrics({"size": shape.data["size"]})

    result = Pipeline("stored").add_steps(gather, shape, rate).run()
    assert result["gather"] == [1, 2]
    assert load_asset(result.record, "gather").data == [1, 2]
    assert load_asset(result.record, "sizes").metadata["framework"] == "own"
    assert result.metrics == {"size": [2]}
    assert result.step_results["shape"].artifact_uri is not None


def test_annotations_that_cannot_fit_are_refused_before_anything_runs():
    """With both of them."""

    @step(outputs=["rows"])
    def read_text() -> str:
        return "1"

    @step
    def total(rows: list[int]) -> int:
        return sum(rows)

    with pytest.raises(WiringError) as caught:
        Pipeline("typed").add_steps(read_text, total).run()
    assert str(caught.value) == (
        "pipeline 'typed': 1 problem(s)\n"
        "  step 'total' takes 'rows' from output 'rows' of 'read_text': that produces str, expected list[int]; "
        "mend one of the two annotations"
    )


# Tests of steps ---------------------------------------------------------------------------------------


def test_the_output_of_a_pipeline_can_be_asked_for_by_name():
    """As the test of a pipeline does."""
    result = Pipeline("tested", context=context(rate=0.01)).add_steps(read, order).run()
    assert result.success
    assert "ordered" in result.outputs
    assert "order" in result.outputs
    assert "fitted" not in result.outputs
    with pytest.raises(KeyError, match="did you mean 'ordered'"):
        result["orderd"]


def test_what_became_of_each_step_is_in_the_result():
    """In the order in which they ran."""
    ordering = Pipeline("ordering").add_steps(order, read)
    first, second = ordering.run(), ordering.run()
    found = [(name, step_result.cached) for name, step_result in first.step_results.items()]
    assert found == [("read", False), ("order", False)]
    assert [step_result.cached for step_result in second.step_results.values()] == [True, True]
    durations = [r.duration_seconds for result in (first, second) for r in result.step_results.values()]
    assert all(isinstance(seconds, float) and seconds >= 0 for seconds in durations)


# Patterns ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [(101, {"large": "ok", "known": "ok"}), (100, {"large": "skipped", "known": "ok"})],
)
def test_steps_run_when_and_unless(value, expected):
    """The condition gets the leading argument of the step, whatever that is called."""

    @step
    @when(lambda x: x > 100)
    def large(data):
        return data

    @step
    @unless(lambda x: x is None)
    def known(value):
        return value

    result = Pipeline("guarded").add_steps(large, known).run(inputs={"data": value, "value": value})
    assert _states(result) == expected
    assert result.success
    assert ("large" in result.outputs) is (value > 100)


def test_a_skipped_call_is_told_from_a_value():
    """Called directly, a guarded step gives something false that says why."""

    @step
    @unless(lambda x: x is None)
    def known(value):
        return [value]

    assert known(3) == [3]
    skipped = known(None)
    assert isinstance(skipped, Skipped)
    assert not skipped


def test_a_step_can_work_on_items_in_parallel():
    """In order, several at a time."""
    both_are_here = threading.Barrier(2)

    @step(cache=False)
    def square_all(items: list):
        def square(number):
            both_are_here.wait(timeout=60)
            return number * number

        return parallel_map(square, items, num_workers=2)

    # That two of them are at work at once is what ends the barrier; within two at a time there is no share to divide.
    result = Pipeline("squares").add_step(square_all).run(inputs={"items": iter([3, 1])})
    assert result["square_all"] == [9, 1]


def test_steps_made_in_a_loop_are_told_apart():
    """Though their functions have one name: by their outputs, and by a number behind the name."""

    def make_step(kind):
        @step(outputs=[f"{kind}_fitted"])
        def learn():
            return f"fitted {kind}"

        return learn

    pipeline = Pipeline("kinds")
    for kind in ("a", "b", "c"):
        pipeline.add_step(make_step(kind))
    for state in ("ok", "cached"):
        result = pipeline.run()
        assert _states(result) == {"learn": state, "learn_2": state, "learn_3": state}
        assert dict(result.outputs) == {"a_fitted": "fitted a", "b_fitted": "fitted b", "c_fitted": "fitted c"}


def test_debug_says_where_everything_came_from(capsys):
    """On standard error: the parameters with their sources, the cache, what was made."""

    @step
    def learn(rows, rate):
        return len(rows) * rate

    learning = Pipeline("learning", context=context(rate=2)).add_steps(read, learn)
    assert learning.run(debug=True)["learn"] == 6
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith("step ")]
    assert lines == [
        "  cache: a miss: it has not run before",
        "  returns [3, 1, 2]",
        "  rows ← output 'rows' of 'read' = [3, 1, 2]",
        "  rate ← context = 2",
        "  cache: a miss: it has not run before",
        "  returns 6",
    ]


def test_nothing_is_printed_unless_asked_for(tmp_path, capfd):
    """Nor written anywhere but into the folder of the cache."""
    assert Pipeline("quiet").add_steps(read, order).run().success
    assert capfd.readouterr() == ("", "")
    assert [entry.name for entry in tmp_path.iterdir()] == [".cache"]
