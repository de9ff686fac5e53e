"""The cache of steps that are wired by names: what an entry stands under, what a hit brings back, what costs nothing."""

from __future__ import annotations

import datetime as dt
import errno
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from crystallize_core import DefinitionError, Pipeline, context, step, unless, when
from crystallize_core.cache import CacheWarning, FileStore

@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache, a home and a count of its own for each test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)
    count.calls.clear()
    return tmp_path / "cache"


class Count:
    """Counts calls of steps, and is nothing that they depend on: it is the same whatever it has counted."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def __call__(self, what: str) -> None:
        self.calls[what] += 1

    def __getstate__(self):
        return None


count = Count()


def ran(*steps: Any, name: str = "study", **given: Any) -> Any:
    """The result of a pipeline that keeps no checkpoints, so that nothing but the cache can answer."""
    options = {key: given.pop(key) for key in list(given) if key not in ("inputs", "context", "executor", "debug")}
    return Pipeline(list(steps), name=name, **{"checkpoint": False, **options}).run(**given)


def states(result: Any) -> dict[str, str]:
    return {name: found.state for name, found in result.step_results.items()}


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.pkl") if "runs" not in path.parts)


def step_of(source: str, **options: Any) -> Any:
    """The function `study` of some source text, as a step."""
    module = ModuleType("study")
    exec(textwrap.dedent(source), module.__dict__)
    return step(**{"outputs": ["made"], **options})(module.study)  # type: ignore[attr-defined]


# Strategies ---------------------------------------------------------------------------------------

ADDS = "def study(data, more=1):\n    return data + more"


def outcome(first: Any, second: Any, **given: Any) -> tuple[Any, str]:
    """What the second step makes and how, after the first one ran with the same inputs."""
    ran(first, name="first", **given)
    result = ran(second, name="second", **given)
    return result["made"], next(iter(states(result).values()))


def test_by_its_code_a_step_is_answered_while_code_and_inputs_are_the_same():
    assert outcome(step_of(ADDS), step_of(ADDS), inputs={"data": 1}) == (2, "cached")


def test_by_its_code_a_step_runs_again_for_another_input():
    """A step that loads the path it is given must not answer with the rows of another file."""
    ran(step_of(ADDS), inputs={"data": 1})
    result = ran(step_of(ADDS), inputs={"data": 2})
    assert (result["made"], states(result)) == (3, {"study": "ok"})


@pytest.mark.parametrize(
    ("changed", "made"),
    [
        ("def study(data, more=1):\n    return data - more", 0),
        ("def study(data, more=2):\n    return data + more", 3),
    ],
)
def test_by_its_code_a_step_runs_again_when_body_or_default_changed(changed, made):
    assert outcome(step_of(ADDS), step_of(changed), inputs={"data": 1}) == (made, "ok")


def test_comments_layout_and_docstrings_are_not_code():
    changed = 'def study( data , more = 1 ):\n    """Add."""\n\n    return data + more  # the sum\n'
    assert outcome(step_of(ADDS), step_of(changed), inputs={"data": 1}) == (2, "cached")


def test_by_its_code_a_step_runs_again_when_a_helper_a_constant_or_a_class_of_it_changed():
    source = """
        LIMIT = {limit}
        class Scale:
            def of(self, x):
                return x * {factor}
        def helper(x):
            return min(x, LIMIT) + {plus}
        def study(data):
            return Scale().of(helper(data))
    """
    versions = [{"limit": 9, "factor": 2, "plus": 0}]
    versions += [{**versions[0], name: 3} for name in versions[0]]
    made = [ran(step_of(source.format(**version)), inputs={"data": 5}) for version in (*versions, versions[0])]
    assert [(result["made"], states(result)["study"]) for result in made] == [
        (10, "ok"), (6, "ok"), (15, "ok"), (16, "ok"), (10, "cached"),
    ]  # fmt: skip


def test_what_a_step_closes_over_is_part_of_its_code():
    """Steps made in a loop share their function name and source, and differ by what they close over."""

    def training(kind: str) -> Any:
        @step(outputs=[f"{kind}_model"])
        def train():
            count(kind)
            return f"{kind}!"

        return train

    kinds = ["forest", "net"]
    for order in (kinds, kinds, kinds[::-1]):
        result = ran(*map(training, order))
        assert result.outputs == {f"{kind}_model": f"{kind}!" for kind in order}
    # The numbers in the names follow the order, so that the third run finds nothing; it gets nothing wrong either.
    assert count.calls == {"forest": 2, "net": 2}


def test_by_its_inputs_a_step_is_answered_whatever_its_code():
    """So that code can be tidied up without training again."""
    changed = "def study(data, more=1):\n    total = data + 100\n    return total"
    by_input = {"cache": "input_hash"}
    assert outcome(step_of(ADDS, **by_input), step_of(changed, **by_input), inputs={"data": 1}) == (2, "cached")
    result = ran(step_of(changed, **by_input), inputs={"data": 2})
    assert (result["made"], states(result)) == (102, {"study": "ok"})


def test_by_its_inputs_a_step_runs_again_for_another_default():
    """A default is what the step is given where nothing else is there."""
    changed = step_of("def study(data, more=5):\n    return data + more", cache="input_hash")
    assert outcome(step_of(ADDS, cache="input_hash"), changed, inputs={"data": 1}) == (6, "ok")


def test_by_its_inputs_a_default_that_is_not_used_does_not_count():
    changed = step_of("def study(data, more=5):\n    return data + more", cache="input_hash")
    given = {"inputs": {"data": 1}, "context": {"more": 2}}
    assert outcome(step_of(ADDS, cache="input_hash"), changed, **given) == (3, "cached")


def test_by_its_inputs_a_step_of_another_name_has_entries_of_its_own():
    other = step_of("def study(data):\n    return 'other'", cache="input_hash", name="other")
    assert outcome(step_of(ADDS, cache="input_hash"), other, inputs={"data": 1}) == ("other", "ok")


def test_what_a_step_declares_to_make_is_part_of_what_an_entry_stands_under():
    """A pair is an output with metrics, or the whole of one output; the entry of the one is not that of the other."""
    source = "def study():\n    return [1], {'score': 2}"
    with_metrics = ran(step_of(source, outputs=[]))
    assert (with_metrics["study"], with_metrics.metrics) == ([1], {"score": [2]})
    whole = ran(step_of(source, outputs=["pair"]))
    assert (whole["pair"], whole.metrics, states(whole)) == (([1], {"score": 2}), {}, {"study": "ok"})


@pytest.mark.parametrize("strategy", ["input_hash", lambda step, inputs, context: "the same"])
def test_a_step_that_declares_other_outputs_is_not_answered_with_the_old_ones(strategy):
    one = step_of("def study():\n    return 1, 2", outputs=["pair"], cache=strategy)
    two = step_of("def study():\n    return 1, 2, 3", outputs=["a", "b", "c"], cache=strategy)
    ran(one)
    result = ran(two)
    assert (dict(result.outputs), states(result)) == ({"a": 1, "b": 2, "c": 3}, {"study": "ok"})


def test_a_step_that_is_not_to_be_cached_always_runs_and_leaves_nothing(folder):
    fresh = step_of("def study():\n    return object()", cache=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that its output cannot be kept is nobody's business
        results = [ran(fresh) for _ in range(2)]
    assert [states(result) for result in results] == [{"study": "ok"}] * 2
    assert entries(folder) == []


def test_a_function_of_the_user_decides_what_an_entry_stands_under():
    """It gets the step, what the step is given by parameter, and the parameters of the run."""
    seen = []

    def by_size(step: Any, inputs: Any, context: Any) -> str:
        seen.append((step.name, dict(inputs), context["level"]))
        return f"{len(inputs['data'])}/{context['level']}"

    sized = step_of("def study(data, more=1):\n    return data", cache=by_size)
    given = [([1, 2], 0), ([3, 4], 0), ([3, 4, 5], 0), ([3, 4], 1)]
    made = [ran(sized, inputs={"data": data}, context={"level": level}) for data, level in given]
    assert [(result["made"], states(result)["study"]) for result in made] == [
        ([1, 2], "ok"), ([1, 2], "cached"), ([3, 4, 5], "ok"), ([3, 4], "ok"),
    ]  # fmt: skip
    assert seen == [("study", {"data": data, "more": 1}, level) for data, level in given]


def test_the_key_of_one_step_is_not_that_of_another():
    def same(step: Any, inputs: Any, context: Any) -> str:
        return "key"

    one = step_of("def study():\n    return 1", cache=same, outputs=["one"])
    two = step_of("def study():\n    return 2", cache=same, outputs=["two"], name="other")
    assert dict(ran(one, two).outputs) == {"one": 1, "two": 2}


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (lambda step, inputs, context: 3, "must return text, found int"),
        (lambda step, inputs, context: inputs["rows"], "failed: KeyError: 'rows'"),
    ],
)
def test_a_key_function_that_goes_wrong_fails_the_step_and_is_named(key, problem):
    result = ran(step_of("def study():\n    return 1", cache=key))
    assert result.step_results["study"].error == (
        f"DefinitionError: the cache function of step 'study' {problem} [step 'study']"
    )
    with pytest.raises(DefinitionError, match="the cache function of step 'study'"):
        raise result.step_results["study"].exception


def test_only_what_a_step_receives_counts_not_the_whole_context():
    result = ran(step_of(ADDS), inputs={"data": 1}, context={"more": 2, "unused": 0})
    again = ran(step_of(ADDS), inputs={"data": 1, "other": [1]}, context={"more": 2, "unused": 1})
    assert (result["made"], again["made"], states(again)) == (3, 3, {"study": "cached"})


def test_what_a_step_reads_through_the_context_counts():
    reads = step_of("def study(context, ctx):\n    return context.a + ctx['b'] + context.get('c', 0)")
    contexts = [{"a": 1, "b": 2, "d": 0}, {"a": 1, "b": 2, "d": 9}, {"a": 1, "b": 3}, {"a": 1, "b": 2, "c": 5}]
    made = [ran(reads, context=given) for given in contexts]
    assert [(result["made"], states(result)["study"]) for result in made] == [
        (3, "ok"), (3, "cached"), (4, "ok"), (8, "ok"),
    ]  # fmt: skip


# Content ------------------------------------------------------------------------------------------


class Thing:
    """Prints the same whatever it holds."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __repr__(self) -> str:
        return "Thing"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True), (1, 1.0), ("1", 1), (b"a", "a"), ([1], (1,)), ({1: 2}, {"1": 2}), (None, 0), ([[1], 2], [1, [2]]),
        (Thing(1), Thing(2)), (list(range(5000)), [*range(2500), -1, *range(2501, 5000)]), (0.1 + 0.2, 0.3), ("", b""),
    ],
)  # fmt: skip
def test_inputs_that_differ_in_content_or_type_are_different_inputs(one, other):
    kind = step_of("def study(data):\n    return type(data).__name__, repr(data)[:20]")
    ran(kind, inputs={"data": one})
    assert states(ran(kind, inputs={"data": other})) == {"study": "ok"}
    assert states(ran(kind, inputs={"data": one})) == {"study": "cached"}


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ({3, 1, 2}, {2, 3, 1}), (Thing([1]), Thing([1])), ({1: "a", "x": 2}, {"x": 2, 1: "a"}),
    ],
)  # fmt: skip
def test_inputs_of_the_same_content_are_the_same_input(one, same):
    size = step_of("def study(data):\n    return 1")
    ran(size, inputs={"data": one})
    assert states(ran(size, inputs={"data": same})) == {"study": "cached"}


def test_large_arrays_and_tables_that_differ_in_the_middle_are_different():
    numpy, pandas = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    total = step_of("def study(data):\n    return float(data.to_numpy().sum()) if hasattr(data, 'to_numpy') else float(data.sum())")
    array = numpy.zeros(10_000)
    table = pandas.DataFrame({"x": array})
    for data in (array, table, table["x"]):
        changed = data.copy()
        changed[5000:5001] = 1.0
        results = [ran(total, inputs={"data": given}) for given in (data, changed, data.copy())]
        assert [(r["made"], states(r)["study"]) for r in results] == [(0.0, "ok"), (1.0, "ok"), (0.0, "cached")]


# Hits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}, (), 0.0])
def test_none_and_other_empty_values_hit(value):
    @step(outputs=["made"])
    def empty():
        count("empty")
        return value

    assert [ran(empty).step_results["empty"].state for _ in range(2)] == ["ok", "cached"]
    result = ran(empty)
    assert result["made"] == value
    assert type(result["made"]) is type(value)
    assert count.calls == {"empty": 1}


def test_a_hit_says_so_and_takes_the_time_of_the_look_up():
    @step
    def slow():
        count("slow")
        return 1

    ran(slow)
    found = ran(slow).step_results["slow"]
    assert (found.state, found.success, found.cached, found.skipped, found.resumed, found.retries) == (
        "cached", True, True, False, False, 0,
    )  # fmt: skip
    assert 0 < found.duration_seconds < 60
    assert count.calls == {"slow": 1}


@step(outputs=["model", "report"])
def train(ctx):
    count("train")
    ctx.record("loss", 0.5, {"epoch": 1})
    ctx.artifacts.add("weights.bin", b"\x00\x01")
    ctx.emit("trained", epochs=3)
    ctx.add("best", [1, 2])
    return {"model": [7], "report": None}


@step(outputs=["score"])
def judge(model, ctx):
    return model[0] + sum(ctx["best"])


def test_a_hit_replays_metrics_artifacts_events_and_context_additions():
    cold, warm = ran(train, judge), ran(train, judge)
    assert (states(cold), states(warm)) == ({"train": "ok", "judge": "ok"}, {"train": "cached", "judge": "cached"})
    for result in (cold, warm):
        assert dict(result.outputs) == {"model": [7], "report": None, "score": 10}
        assert result.outputs["train"] == {"model": [7], "report": None}
        assert result.metrics == {"loss": [0.5]}
        assert [(a.name, a.step, a.read()) for a in result.record.artifacts] == [("weights.bin", "train", b"\x00\x01")]
    assert cold.record.digest == warm.record.digest
    assert count.calls == {"train": 1}


def test_what_a_hit_replays_feeds_a_step_that_runs():
    ran(train)
    result = ran(train, judge)
    assert (states(result), result["score"]) == ({"train": "cached", "judge": "ok"}, 10)


def test_steps_that_change_what_they_are_given_do_not_change_what_is_cached():
    @step(outputs=["rows"])
    def rows():
        return [3, 1, 2]

    @step(outputs=["smallest"])
    def smallest(rows):
        rows.sort()
        return rows.pop(0)

    results = [ran(rows, smallest, inputs={"given": [1]}) for _ in range(2)]
    assert [dict(result.outputs) for result in results] == [{"rows": [3, 1, 2], "smallest": 1}] * 2
    assert states(results[1]) == {"rows": "cached", "smallest": "cached"}


def test_what_is_taken_from_a_result_and_changed_is_not_what_the_next_run_gets():
    @step(outputs=["rows"])
    def rows():
        return [1]

    for _ in range(3):
        result = ran(rows)
        assert result["rows"] == [1]
        result["rows"].append(2)


def test_an_async_step_is_answered_from_the_cache_too():
    @step(outputs=["made"])
    async def fetched(data):
        count("fetched")
        return data + 1

    assert [states(ran(fetched, inputs={"data": 1}))["fetched"] for _ in range(2)] == ["ok", "cached"]
    assert count.calls == {"fetched": 1}


# Conditions, failures -----------------------------------------------------------------------------


def test_the_condition_is_asked_before_the_cache():
    """A step whose condition does not hold is skipped, whatever the cache has; it is neither read nor written."""

    def wanted(go):
        count("asked")
        return go

    @step(outputs=["made"], condition=wanted)
    def guarded():
        count("ran")
        return 1

    found = [states(ran(guarded, context={"go": go}))["guarded"] for go in (False, True, True, False)]
    assert found == ["skipped", "ok", "cached", "skipped"]
    assert count.calls == {"asked": 4, "ran": 1}


@pytest.mark.parametrize("guard", [when(lambda data: data > 1), unless(lambda data: data <= 1)])
def test_a_skipped_step_is_not_cached_and_its_marker_is_no_output(guard, folder):
    @step(outputs=["made"])
    @guard
    def guarded(data):
        return data

    result = ran(guarded, inputs={"data": 0})
    assert (states(result), dict(result.outputs), entries(folder)) == ({"guarded": "skipped"}, {}, [])


def test_a_failure_is_never_cached(folder):
    class Weather:
        fails = True

        def __getstate__(self):
            return None

    weather = Weather()

    @step(outputs=["made"])
    def stormy(ctx):
        ctx.record("tries", 1)
        if weather.fails:
            raise OSError("wet")
        return 1

    failed = ran(stormy)
    assert (states(failed), failed.metrics, entries(folder)) == ({"stormy": "failed"}, {}, [])
    weather.fails = False
    assert states(ran(stormy)) == {"stormy": "ok"}
    assert states(ran(stormy)) == {"stormy": "cached"}


def test_an_output_that_does_not_fit_what_is_declared_is_a_failure_and_not_cached(folder):
    @step(outputs=["a", "b"])
    def three():
        return 1, 2, 3

    for _ in range(2):
        assert states(ran(three)) == {"three": "failed"}
    assert entries(folder) == []
