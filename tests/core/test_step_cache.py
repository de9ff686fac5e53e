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

from crystallize_core import Asset, BasePlugin, DefinitionError, Experiment, Pipeline, context, step, unless, when
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
    total = step_of(
        "def study(data):\n    return float(data.to_numpy().sum()) if hasattr(data, 'to_numpy') else float(data.sum())"
    )
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


# What cannot be kept or read ----------------------------------------------------------------------


@step(outputs=["a"])
def first():
    count("first")
    return 1


@step(outputs=["b"])
def second(a):
    count("second")
    return a + 1


BOTH = {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-3],
        lambda content: content[:10],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"\x80\x05]q\x00.",
        lambda content: content + b"more",
    ],
)
def test_a_damaged_entry_is_a_miss_and_is_mended(damage, folder):
    ran(first, second)
    for path in entries(folder):
        path.write_bytes(damage(path.read_bytes()))
    found = [ran(first, second) for _ in range(2)]
    assert [dict(result.outputs) for result in found] == [BOTH, BOTH]
    assert list(map(states, found)) == [{"first": "ok", "second": "ok"}, {"first": "cached", "second": "cached"}]


@pytest.mark.parametrize("text", [b"", b"{", b"[1, [2]]", b"\xff\xfe", b'{"a": 1}', b"null"])
def test_damaged_notes_beside_the_entries_are_a_miss(text, folder):
    reads = step_of("def study(ctx):\n    return ctx['x']")
    given = {"context": {"x": 3}}
    ran(reads, **given)
    for path in folder.rglob("*.json"):
        path.write_bytes(text)
    assert [states(ran(reads, **given))["study"] for _ in range(2)] == ["ok", "cached"]


def test_an_output_that_cannot_be_pickled_is_one_warning_that_names_the_step():
    @step(outputs=["lock"])
    def make_lock():
        return threading.Lock()

    @step(outputs=["done"], cache=False)
    def use(lock):
        with lock:
            return "done"

    for checkpoint in (True, False):  # that it cannot be kept for a resume is not worth another one
        with pytest.warns(CacheWarning) as caught:
            result = ran(make_lock, use, checkpoint=checkpoint)
        assert [str(warning.message) for warning in caught] == [
            "step 'make_lock' is not cached: its output cannot be pickled (TypeError: cannot pickle '_thread.lock' object)"
        ]
        assert caught[0].filename == __file__
        assert (states(result), result["done"]) == ({"make_lock": "ok", "use": "ok"}, "done")


def test_an_input_without_content_is_one_warning_that_names_the_step():
    size = step_of("def study(data):\n    return sum(data)")
    for _ in range(2):
        with pytest.warns(CacheWarning) as caught:
            result = ran(size, inputs={"data": (x for x in range(3))}, checkpoint=True)
        (warning,) = caught
        assert str(warning.message).startswith("step 'study' is not cached: its input has no stable digest (")
        assert (result["made"], states(result)) == (3, {"study": "ok"})


@pytest.mark.parametrize("options", [{}, {"checkpoint": True}, {"checkpoint": True, "enable_cache": False}])
def test_a_full_disk_is_one_warning_and_no_failure(options, folder, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (folder.parent / "home").mkdir()
    ran(first, cache_dir=folder.parent / "other")  # so that there is a key to sign with
    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(CacheWarning) as caught:
        result = ran(first, second, **options)
    (message,) = {str(warning.message) for warning in caught}
    assert len(caught) == 1
    assert message.startswith(f"nothing is cached from here on: {folder}")
    assert message.endswith("cannot be written ([Errno 28] No space left on device)")
    assert (states(result), dict(result.outputs)) == ({"first": "ok", "second": "ok"}, BOTH)
    assert entries(folder) == []
    assert list(folder.rglob(".writing-*")) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        made = subprocess.run(command, capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("nothing can be mounted here")
    if made.returncode:
        pytest.skip("nothing can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True, timeout=10)


def test_a_disk_that_is_really_full_costs_only_what_does_not_fit(small_disk):
    @step(outputs=["large"])
    def large(a):
        return os.urandom(200_000)

    with pytest.warns(CacheWarning, match=r"cannot be written \(\[Errno 28\] No space left on device\)") as caught:
        result = ran(first, large, second, cache_dir=small_disk, checkpoint=True)
    assert len(caught) == 1
    assert (states(result), result["b"]) == ({"first": "ok", "large": "ok", "second": "ok"}, 2)
    with pytest.warns(CacheWarning):
        again = ran(first, large, second, cache_dir=small_disk, checkpoint=True)
    assert states(again) == {"first": "cached", "large": "ok", "second": "ok"}


def test_a_folder_that_can_only_be_read_answers_and_takes_nothing(folder):
    """A cache that others made may be mounted read-only; the warning comes when something is to be kept."""
    ran(first)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write everywhere")
        with pytest.warns(CacheWarning, match="cannot be written") as caught:
            result = ran(first, second, checkpoint=True)
        assert len(caught) == 1
        assert (states(result), dict(result.outputs)) == ({"first": "cached", "second": "ok"}, BOTH)
    finally:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_disk_that_can_only_be_read_answers_and_takes_nothing(small_disk):
    """The same for the user who may write everywhere."""
    ran(first, cache_dir=small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True, timeout=10)
    with pytest.warns(CacheWarning, match=r"\[Errno 30\] Read-only file system") as caught:
        result = ran(first, second, cache_dir=small_disk, checkpoint=True)
    assert len(caught) == 1
    assert (states(result), dict(result.outputs)) == ({"first": "cached", "second": "ok"}, BOTH)


def test_where_nothing_can_be_written_at_all_the_run_goes_on(folder):
    folder.write_text("a file where the folder should be")
    with pytest.warns(CacheWarning, match="cannot be written") as caught:
        result = ran(first, second, checkpoint=True)
    assert len(caught) == 1
    assert (result.success, dict(result.outputs)) == (True, BOTH)


STUDY = """
    import os, sys
    from crystallize_core import Pipeline, step

    @step(outputs=["rows"])
    def rows(n):
        return list(range(n))

    @step(outputs=["total"])
    def total(rows, ctx):
        ctx.record("total", sum(rows))
        return sum(rows)

    if __name__ == "__main__":
        pipeline = Pipeline([rows, total], name="study", cache_max_bytes=1_500)
        for n in list(range(8)) * 2:
            result = pipeline.run(context={"n": n})
            assert result["total"] == sum(range(n)), (n, result["total"])
            assert result.metrics == {"total": [sum(range(n))]}
        print("fine")
"""


def test_many_processes_can_use_one_cache_at_once(tmp_path):
    """Each gets its own results, whatever the others write, use and throw away meanwhile; nobody is warned."""
    script = tmp_path / "study.py"
    script.write_text(textwrap.dedent(STUDY))
    command = [sys.executable, "-W", "error", str(script)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [(*process.communicate(timeout=60), process.returncode) for process in started] == [("fine\n", "", 0)] * 4


def test_an_entry_of_one_process_is_a_hit_in_another(tmp_path):
    """Whatever the hash seed, and although the script is another module there."""
    script = tmp_path / "study.py"
    source = STUDY.replace('print("fine")', "print([r.state for r in result.step_results.values()])")
    script.write_text(textwrap.dedent(source).replace("list(range(8)) * 2", "[4]"))
    found = [
        subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=60,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert found == ["['ok', 'ok']\n", "['cached', 'cached']\n"]


# The pipeline's own say ---------------------------------------------------------------------------


def test_a_pipeline_without_a_cache_neither_reads_nor_writes_it(folder):
    ran(first)
    before = entries(folder)
    assert states(ran(first, second, enable_cache=False)) == {"first": "ok", "second": "ok"}
    assert entries(folder) == before


def test_each_pipeline_can_have_a_folder_of_its_own(tmp_path, folder):
    results = [ran(first, cache_dir=tmp_path / name) for name in ("one", "other", "one")]
    assert [states(result)["first"] for result in results] == ["ok", "ok", "cached"]
    assert not folder.exists()


def test_the_default_folder_is_beside_the_work(tmp_path, monkeypatch):
    monkeypatch.delenv("CRYSTALLIZE_CACHE_DIR")
    ran(first, checkpoint=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".cache", "home"]


@pytest.mark.parametrize("given", ["cache", None])
def test_a_step_that_changes_the_current_folder_does_not_move_the_cache(given, tmp_path, monkeypatch):
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", "cache")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    @step(outputs=["here"], cache=False)
    def wander():
        os.chdir(elsewhere)
        return 1

    @step(outputs=["a"])
    def stay(here):
        return here

    found = []
    for _ in range(2):
        monkeypatch.chdir(tmp_path)
        found.append(states(ran(wander, stay, cache_dir=given, checkpoint=True, cache_max_bytes=10_000)))
    assert found == [{"wander": "ok", "stay": "ok"}, {"wander": "ok", "stay": "cached"}]
    assert list(elsewhere.iterdir()) == []


def aged(folder: Path, seconds: float) -> None:
    """Make everything that is cached older."""
    for path in entries(folder):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def test_an_entry_that_is_too_old_is_a_miss_and_is_renewed(folder):
    ran(first)
    aged(folder, 100)
    assert states(ran(first, cache_ttl=200)) == {"first": "cached"}
    assert states(ran(first, cache_ttl=50)) == {"first": "ok"}
    assert states(ran(first, cache_ttl=50)) == {"first": "cached"}


def test_using_an_entry_does_not_make_it_younger(folder):
    ran(first)
    aged(folder, 100)
    ran(first)
    assert states(ran(first, cache_ttl=50)) == {"first": "ok"}


def bytes_of(size: int) -> Any:
    return step(outputs=["made"], name=f"of_{size}")(lambda: b"x" * size)


def test_what_was_not_used_for_the_longest_time_goes_first(folder):
    for size in (1000, 1001, 1002):
        ran(bytes_of(size))
        aged(folder, 100)
    ran(bytes_of(1000), cache_max_bytes=3000)  # which uses the oldest
    assert [states(ran(bytes_of(n)))[f"of_{n}"] for n in (1000, 1002, 1001)] == ["cached", "cached", "ok"]


def test_an_output_that_is_larger_than_the_whole_cache_goes_alone(folder):
    ran(bytes_of(1000))
    ran(bytes_of(9000), cache_max_bytes=3000)
    assert [path.stat().st_size < 2000 for path in entries(folder)] == [True]


def test_a_pipeline_counts_what_its_cache_did(folder):
    pipeline = Pipeline([first, second, step(cache=False)(lambda b: b)], name="study")
    for _ in range(3):
        pipeline.run()
    size = {path.parent.name: path.stat().st_size for path in entries(folder)}
    found = pipeline.cache_stats()
    assert {name: value for name, value in found.items() if name not in ("bytes", "steps")} == {
        "entries": 2, "hits": 4, "misses": 2,
    }  # fmt: skip
    assert found["bytes"] == sum(size.values())
    assert {name: value["entries"] for name, value in found["steps"].items()} == {"first": 1, "second": 1}


def test_what_the_cache_was_not_asked_for_is_no_miss():
    pipeline = Pipeline([first], name="study", enable_cache=False)
    pipeline.run()
    assert pipeline.run(resume=True).step_results["first"].resumed
    assert pipeline.cache_stats() == {"entries": 0, "bytes": 0, "hits": 0, "misses": 0, "steps": {}}


def test_entries_can_be_thrown_away_by_step_and_by_date(folder):
    pipeline = Pipeline([first, second], name="study", checkpoint=False)
    other = step_of("def study():\n    return 1")
    pipeline.run()
    ran(other)
    aged(folder, 7200)
    today = dt.datetime.now(dt.UTC)
    assert pipeline.invalidate_cache(before=today - dt.timedelta(hours=3)) == 0
    assert pipeline.invalidate_cache(step="first") == 1
    assert states(pipeline.run()) == {"first": "ok", "second": "cached"}
    assert pipeline.invalidate_cache(before=today - dt.timedelta(hours=1)) == 1
    assert states(pipeline.run()) == {"first": "cached", "second": "ok"}
    assert pipeline.invalidate_cache() == 2
    assert pipeline.invalidate_cache() == 0
    assert states(ran(other)) == {"study": "cached"}  # which is none of its steps


@pytest.mark.parametrize("make", [dt.datetime.fromtimestamp, dt.date.fromtimestamp, float])
def test_a_date_is_a_date_a_time_or_seconds(make):
    ran(first)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    assert Pipeline([first], name="study").invalidate_cache(before=make(later.timestamp())) == 1


def test_what_is_wrong_with_an_invalidation_is_said(folder):
    pipeline = Pipeline([first, second], name="study")
    with pytest.raises(DefinitionError) as caught:
        pipeline.invalidate_cache("frist")
    assert str(caught.value) == "pipeline 'study' has no step 'frist'; did you mean 'first'?"
    with pytest.raises(DefinitionError) as caught:
        pipeline.invalidate_cache(before="yesterday")  # type: ignore[arg-type]
    assert str(caught.value) == "before must be a date, a time or seconds since 1970, found 'yesterday'"


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("cache_ttl", -1, "a number of at least 0"), ("cache_ttl", "1h", "a number of at least 0"),
        ("cache_ttl", float("nan"), "a number of at least 0"), ("cache_max_bytes", -1, "an int of at least 0"),
        ("cache_max_bytes", 1.5, "an int of at least 0"), ("keep_runs", 0, "an int of at least 1"),
        ("keep_runs", 1.5, "an int of at least 1"), ("keep_runs", None, "an int of at least 1"),
        ("keep_runs", True, "an int of at least 1"), ("enable_cache", "no", "a bool"), ("checkpoint", None, "a bool"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_refused_when_the_pipeline_is_made(option, value, expected):
    with pytest.raises(DefinitionError) as caught:
        Pipeline("study", **{option: value})
    assert str(caught.value) == f"{option} must be {expected}, found {value!r}"


def test_what_a_killed_process_left_half_written_is_thrown_away_after_a_day(folder):
    ran(first)
    (entry,) = entries(folder)
    old, young = entry.with_name(".writing-old"), entry.with_name(".writing-young")
    for path, age in ((old, 25 * 3600), (young, 60)):
        path.write_bytes(b"half")
        then = path.stat().st_mtime - age
        os.utime(path, (then, then))
    assert Pipeline([first], name="study").invalidate_cache(before=0) == 0
    assert (old.exists(), young.exists(), entry.exists()) == (False, True, True)


def test_a_store_whose_folder_is_removed_meanwhile_makes_it_again(folder, monkeypatch):
    """Another process may throw an empty folder away between the moment that it is made and that it is used."""
    ran(first)  # so that there is a key to sign with
    made = Path.mkdir

    def removed_at_once(self: Path, *args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(Path, "mkdir", made)
        self.mkdir(*args, **kwargs)
        self.rmdir()

    monkeypatch.setattr(Path, "mkdir", removed_at_once)
    store = FileStore(folder)
    assert store.write("ab/cd", {"output": 1}, step="first")
    assert store.read("ab/cd")["output"].load() == 1


def test_a_run_with_data_uses_the_same_entries():
    pipeline = Pipeline([first, second], name="study", context=context(unused=1))
    assert pipeline.run(None) == 2
    assert [record["cache_hit"] for record in pipeline.get_provenance()] == [False, False]
    assert states(pipeline.run()) == {"first": "cached", "second": "cached"}


# Assets that plugins store ------------------------------------------------------------------------


class Shelf(BasePlugin):
    """Stores assets, and says under which type and name."""

    plugin_name = "shelf"

    def __init__(self) -> None:
        self.stored: list[tuple[str, str | None, Any]] = []

    def store_asset(self, experiment, asset, ctx):
        self.stored.append((type(asset).__name__, asset.name, asset.data))
        ctx.artifacts.add(f"{asset.name}.txt", str(asset.data).encode())
        return "shelf"


class Model(Asset):
    """A type of asset."""


class Table(Asset):
    """Another one."""


def replicates(*steps: Any, plugins: Any = ()) -> tuple[list[bool], list[str]]:
    """Which steps of an experiment were answered from the cache, and the artifacts that there are."""
    experiment = Experiment(lambda ctx: 1, Pipeline(list(steps), name="study"), plugins=list(plugins), autoload=False)
    result = experiment.run()
    assert result.errors == {}
    return [record["cache_hit"] for record in result.provenance["baseline"][0]], [a.name for a in result.artifacts]


def returning(kind: Any, value: Any) -> Any:
    def make():
        return value

    make.__annotations__ = {} if kind is None else {"return": kind}
    return step(outputs=["made"])(make)


def test_a_hit_brings_back_what_was_stored_and_stores_nothing_anew():
    shelf = Shelf()
    found = [replicates(returning(None, Model(3)), plugins=[shelf]) for _ in range(2)]
    assert found == [([False], ["made.txt"]), ([True], ["made.txt"])]
    assert shelf.stored == [("Model", "made", 3)]


@pytest.mark.parametrize(("kind", "value"), [(None, Model(3)), (Model, 3)])
def test_what_nobody_stored_is_made_again_when_a_plugin_is_there_that_stores_it(kind, value):
    shelf = Shelf()
    found = [replicates(returning(kind, value), plugins=plugins) for plugins in ([], [], [shelf], [shelf], [])]
    assert found == [([False], []), ([True], []), ([False], ["made.txt"]), ([True], ["made.txt"]), ([True], [])]
    assert shelf.stored == [("Model", "made", 3)]


def test_one_asset_among_several_outputs_is_one_to_store():
    @step(outputs=["a", "b"])
    def two():
        return {"a": 1, "b": Model(2)}

    shelf = Shelf()
    assert [replicates(two, plugins=plugins)[0] for plugins in ([], [shelf], [shelf])] == [[False], [False], [True]]
    assert shelf.stored == [("Model", "b", 2)]


def test_what_is_no_asset_does_not_depend_on_who_stores_assets():
    plain = returning(None, [Model])
    assert [replicates(plain, plugins=plugins)[0] for plugins in ([], [Shelf()])] == [[False], [True]]


def test_a_step_that_is_annotated_as_another_asset_runs_again_to_be_stored_as_that():
    shelf = Shelf()
    kinds = [None, Model, Table, Model]
    assert [replicates(returning(kind, 3), plugins=[shelf])[0] for kind in kinds] == [[False], [False], [False], [True]]
    assert shelf.stored == [("Model", "made", 3), ("Table", "made", 3)]
