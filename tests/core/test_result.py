"""A result: flat lists and rows, lookups, the digest and what it depends on, the text."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core import (
    ArtifactError,
    BasePlugin,
    CrystallizeError,
    Experiment,
    Hypothesis,
    Result,
    Row,
    Treatment,
)


def step(data, ctx, factor=1):
    ctx.record("loss", data * factor, {"epoch": 0})
    ctx.record("loss", data * factor / 2, {"epoch": 1})
    ctx.artifacts.add("model.txt", f"{data} {factor}")
    return data, {"score": data + factor}


def made(*steps: Any, **parts: Any) -> Experiment:
    defaults: dict[str, Any] = {
        "datasource": lambda ctx: ctx["replicate"],
        "pipeline": list(steps) or [step],
        "treatments": [Treatment("two", {"factor": 2})],
        "replicates": 2,
        "autoload": False,
        "name": "made",
    }
    return Experiment(**defaults | parts)


# Values -------------------------------------------------------------------------------------------


def test_flat_lists_are_in_replicate_order():
    """`metrics.baseline.metrics` and `metrics.treatments[name].metrics` are plain dictionaries of lists."""
    metrics = made().run().metrics
    assert metrics.baseline.metrics == {"loss": [0, 0.0, 1, 0.5], "score": [1, 2]}
    assert metrics.treatments["two"].metrics == {"loss": [0, 0.0, 2, 1.0], "score": [2, 3]}
    assert list(metrics.conditions) == ["baseline", "two"]
    assert metrics.baseline["score"] == [1, 2]
    assert ("score" in metrics.baseline, "other" in metrics.baseline) == (True, False)
    assert metrics.baseline.names == ("loss", "score")
    assert repr(metrics.baseline) == "ConditionMetrics('baseline', loss: 4, score: 2)"


def test_flat_lists_are_copies():
    """Changing one changes no result."""
    result = made().run()
    result.metrics.baseline.metrics["score"].append(5)
    result.metrics.baseline["score"].append(5)
    assert result.metrics.baseline["score"] == [1, 2]


def test_rows_keep_condition_replicate_and_tags():
    """Every value has its origin."""
    rows = list(made(treatments=()).run().rows())
    assert rows == [
        Row("baseline", 0, "loss", 0, {"epoch": 0}),
        Row("baseline", 0, "loss", 0.0, {"epoch": 1}),
        Row("baseline", 1, "loss", 1, {"epoch": 0}),
        Row("baseline", 1, "loss", 0.5, {"epoch": 1}),
        Row("baseline", 0, "score", 1),
        Row("baseline", 1, "score", 2),
    ]


def test_artifacts_can_be_found():
    """By name, condition and replicate; what was not written is None or an error with a suggestion."""
    result = made().run()
    assert result.get_artifact("model.txt") == b"0 1"
    assert result.get_artifact("model.txt", condition="two", replicate=1) == b"1 2"
    assert result.get_artifact("other") is None
    assert result.artifacts.names() == ["model.txt"]
    assert [(a.replicate, a.condition, a.step, a.size) for a in result.artifacts] == [
        (0, "baseline", "step", 3),
        (0, "two", "step", 3),
        (1, "baseline", "step", 3),
        (1, "two", "step", 3),
    ]
    with pytest.raises(ArtifactError) as caught:
        result.artifacts.find("modle.txt", replicate=1)
    assert str(caught.value) == (
        "no artifact 'modle.txt' was written; did you mean 'model.txt'? [replicate 1, condition 'baseline']"
    )


def test_seeds_are_kept_where_a_plugin_set_them():
    """`result.seeds` has the value of `seed_used` per cell."""

    class Seeds(BasePlugin):
        def before_replicate(self, experiment, ctx):
            ctx.add("seed_used", 100 + ctx["replicate"])

    assert made(plugins=[Seeds()]).run().seeds == {"baseline": {0: 100, 1: 101}, "two": {0: 100, 1: 101}}


@pytest.mark.parametrize(("provenance", "expected"), [("first", [0]), ("all", [0, 1]), ("none", [])])
def test_provenance_is_kept_of_the_cells_that_were_asked_for(provenance, expected):
    """Of replicate 0 by default, of all, or of none."""
    found = made().run(provenance=provenance).provenance
    assert {condition: list(cells) for condition, cells in found.items()} == (
        {"baseline": expected, "two": expected} if expected else {}
    )


def test_a_frame_needs_pandas(monkeypatch):
    """Without pandas the message says how to get it and what gives the same."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(CrystallizeError) as caught:
        made().run().to_frame()
    assert str(caught.value) == ("to_frame() needs pandas: pip install pandas; result.rows() gives the same without it")


def test_a_frame_has_a_row_per_value():
    """Columns condition, replicate, metric, value, failed and one per tag."""
    pytest.importorskip("pandas")
    frame = made(treatments=()).run().to_frame()
    assert list(frame.columns) == ["condition", "replicate", "metric", "value", "failed", "tag_epoch"]
    assert len(frame) == 6


def test_a_plugin_may_add_a_warning():
    """`result.add_warning` in `after_run` shows in `warnings` and in the text."""

    class Warns(BasePlugin):
        plugin_name = "warns"

        def after_run(self, experiment, result):
            result.add_warning("the disk is nearly full", plugin="warns")

    result = made(plugins=[Warns()]).run()
    assert result.warnings == ["the disk is nearly full"]
    assert "warning: the disk is nearly full" in str(result)


def test_a_plugin_describes_the_run():
    """What `describe_run` returns is in the record under the name of the plugin."""

    class Describes(BasePlugin):
        plugin_name = "mine"

        def describe_run(self, experiment):
            return {"seed": 7}

    result = made(plugins=[Describes()], description="what it is about").run()
    assert result.run.described == {"mine": {"seed": 7}}
    assert result.run.description == "what it is about"
    assert [plugin.name for plugin in result.run.stack] == ["mine"]
    assert "seed: 7" in str(result)


def test_the_record_has_timings_per_condition_and_step():
    """Calls and seconds in all, at least and at most."""
    timings = made().run().run.timings
    assert set(timings) == {"baseline", "two"}
    row = timings["two"]["step"]
    assert row["calls"] == 2
    assert 0 < row["min"] <= row["max"] <= row["total"]


# The digest ---------------------------------------------------------------------------------------


def test_the_digest_is_the_same_for_the_same():
    """Two runs have one digest of 64 digits; durations, dates and ids have no part in it."""
    first, second = made().run(), made().run()
    assert first.digest == second.digest
    assert len(first.digest) == 64
    assert first.run.info.id != second.run.info.id
    assert first.digest == made(description="other", name="other").run().digest
    assert first.digest == made().run(provenance="none").digest


class Reversed(BasePlugin):
    """An executor that runs the last replicate first."""

    concurrency = "serial"

    def run_experiment_loop(self, experiment, replicate_fn):
        return [replicate_fn(number) for number in reversed(range(experiment.replicates))][::-1]


class Threads(BasePlugin):
    concurrency = "thread"

    def run_experiment_loop(self, experiment, replicate_fn):
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(replicate_fn, range(experiment.replicates)))


@pytest.mark.parametrize("executor", [Reversed, Threads])
def test_the_digest_does_not_depend_on_who_runs_it(executor):
    """Nor on the order of completion."""
    plain = made(replicates=8).run()
    other = made(replicates=8, plugins=[executor()]).run()
    assert other.digest == plain.digest
    assert list(other.rows()) == list(plain.rows())
    assert [a.read() for a in other.artifacts] == [a.read() for a in plain.artifacts]
    assert (plain.run.executor, other.run.executor) == (None, executor.__name__.lower())


@given(st.permutations(range(6)))
def test_any_order_of_completion_gives_the_same_result(order):
    """Replicates may arrive in any order at all."""

    class Any_(BasePlugin):
        def run_experiment_loop(self, experiment, replicate_fn):
            for number in order:
                replicate_fn(number)
            return []

    result = made(replicates=6, plugins=[Any_()]).run()
    assert result.metrics.baseline["score"] == [1, 2, 3, 4, 5, 6]
    assert result.digest == made(replicates=6).run().digest


def changed(**parts: Any) -> str:
    return made(**parts).run().digest


def one_metric(name, value, tags=None):
    def record(data, ctx):
        ctx.record(name, value, tags)
        return data

    return record


def artifact(name, content):
    def write(data, ctx):
        ctx.artifacts.add(name, content)
        return data

    return write


def fails(data, ctx):
    if ctx["replicate"] == 1:
        raise ValueError("no")
    return data


def verdict(value):
    return Hypothesis(lambda baseline, treatment: {"p_value": value}, "score", name="h")


def broken(baseline, treatment):
    raise ValueError("no")


def test_the_digest_changes_with_everything_that_it_covers():
    """Metrics, names, tags, artifacts, verdicts, failures, conditions and replicates all count."""
    digests = {
        "as it is": changed(),
        "replicates": changed(replicates=3),
        "treatment name": changed(treatments=[Treatment("zwei", {"factor": 2})]),
        "treatment value": changed(treatments=[Treatment("two", {"factor": 3})]),
        "no treatment": changed(treatments=[]),
        "metric": changed(pipeline=[one_metric("a", 1)]),
        "metric value": changed(pipeline=[one_metric("a", 2)]),
        "metric type": changed(pipeline=[one_metric("a", 1.0)]),
        "metric bool": changed(pipeline=[one_metric("a", True)]),
        "metric nested": changed(pipeline=[one_metric("a", [1])]),
        "metric name": changed(pipeline=[one_metric("b", 1)]),
        "tags": changed(pipeline=[one_metric("a", 1, {"k": 1})]),
        "tag value": changed(pipeline=[one_metric("a", 1, {"k": 2})]),
        "tag name": changed(pipeline=[one_metric("a", 1, {"l": 1})]),
        "metric twice": changed(pipeline=[one_metric("a", 1), one_metric("a", 1)]),
        "artifact": changed(pipeline=[artifact("f", "a")]),
        "artifact content": changed(pipeline=[artifact("f", "b")]),
        "artifact name": changed(pipeline=[artifact("g", "a")]),
        "failure": changed(pipeline=[step, fails]),
        "nothing": changed(pipeline=[lambda data: data]),
        "nothing but a failure": changed(pipeline=[fails]),
        "verdict": changed(hypotheses=[verdict(0.1)]),
        "verdict value": changed(hypotheses=[verdict(0.2)]),
        "verdict that failed": changed(hypotheses=[Hypothesis(broken, "score", name="h")]),
        "two verdicts": changed(hypotheses=[verdict(0.1), verdict(0.1)]),
    }
    assert len(set(digests.values())) == len(digests)


def test_the_digest_does_not_depend_on_the_order_of_names():
    """Metrics recorded in another order within a step are the same result."""

    def one(data, ctx):
        return data, {"a": 1, "b": 2}

    def other(data, ctx):
        return data, {"b": 2, "a": 1}

    assert changed(pipeline=[one]) == changed(pipeline=[other])


def test_the_text_of_an_error_does_not_count():
    """Messages may hold addresses and times; that a cell failed counts, how it puts it does not."""

    def fails_with(text):
        def failing(data):
            raise ValueError(text)

        return failing

    assert changed(pipeline=[fails_with("0x7f01")]) == changed(pipeline=[fails_with("0x7f02")])


# Text ---------------------------------------------------------------------------------------------


def test_the_text_shows_everything_once():
    """A table with mean and spread, the verdicts in words, the failures, the stack and the digest."""

    def test_score(baseline, treatment):
        return {"p_value": 0.04, "accepted": True}

    def sometimes(data, ctx):
        if ctx["condition"] == "three" and ctx["replicate"] == 0:
            raise ValueError("no")
        return data

    result = made(
        lambda data, ctx, factor=1: (data, {"score": data * factor}),
        sometimes,
        treatments=[Treatment("two", {"factor": 2}), Treatment("three", {"factor": 3})],
        hypotheses=[Hypothesis(test_score, "score", name="better"), Hypothesis(broken, "score", name="bad")],
        replicates=3,
    ).run()
    text = str(result).replace(f"{result.run.duration:.2f} s", "0.00 s")
    head, table, *rest = text.split("\n\n")
    assert head == "made: 3 conditions, 3 replicates, 0.00 s"
    assert [line.split() for line in table.splitlines()] == [
        ["condition", "score"],
        ["---------", "---------"],
        ["baseline", "1", "±", "1"],
        ["two", "2", "±", "2"],
        ["three", "4.5", "±", "2.1"],
    ]
    assert len({len(line) for line in table.splitlines()}) == 1
    words = "\n".join(rest)
    assert "better" in words
    assert "supported (p_value = 0.04)" in words
    assert "not verified: the verifier 'broken' failed: ValueError: no" in words
    assert "1 cells failed:" in words or "1 cell failed:" in words
    assert (
        "step 'sometimes' failed: ValueError: no [experiment 'made', replicate 0, condition 'three', step 'sometimes']"
        in words
    )
    assert f"digest: {result.digest}" in words
    assert "stack: no plugins" in words


def test_a_result_without_metrics_says_so():
    """An empty table is no table."""
    assert "no metrics were recorded" in str(made(lambda data: data).run())


def test_the_short_text_names_conditions_and_digest():
    """`repr(result)` is one line."""
    result = made().run()
    assert repr(result) == f"<Result of 'made': baseline, two; 0 errors; {result.digest[:12]}>"


def test_many_errors_are_counted():
    """Five are shown, the rest is counted."""
    result = made(lambda data: 1 / 0, treatments=(), replicates=8).run()
    text = str(result)
    assert "8 cells failed:" in text
    assert text.count("ZeroDivisionError") == 5
    assert "and 3 more in result.errors" in text


# The tree -----------------------------------------------------------------------------------------


def tree(fmt: str, capsys: Any) -> list[str]:
    result = made(reader, treatments=[Treatment("two", {"factor": 2})], replicates=1).run()
    result.print_tree(fmt)
    return [line.rpartition("  ")[0] if line.endswith(" ms") else line for line in capsys.readouterr().out.splitlines()]


def reader(data, ctx):
    ctx.add("new", 5)
    return ctx.get("factor", 1), {"m": 1}


@pytest.mark.parametrize(
    ("fmt", "expected"),
    [
        (
            "treatment > replicate > step",
            [
                "treatment baseline",
                "  replicate 0",
                "    step reader",
                "treatment two",
                "  replicate 0",
                "    step reader",
            ],
        ),
        ("step > treatment", ["step reader", "  treatment baseline", "  treatment two"]),
        ("Replicate", ["replicate 0"]),
        (
            "treatment > action",
            [
                "treatment baseline",
                "  writes new = 5",
                "  records m: () -> (1,)",
                "treatment two",
                "  reads factor = 2",
                "  writes new = 5",
                "  records m: () -> (1,)",
            ],
        ),
    ],
)
def test_the_tree_has_the_levels_that_were_asked_for(fmt, expected, capsys):
    """Any order of treatment, replicate and step, and actions as the last level."""
    assert tree(fmt, capsys) == expected


@pytest.mark.parametrize("fmt", ["", "steps", "treatment > treatment", "action > step", "step >"])
def test_a_wrong_tree_is_refused(fmt):
    """The message lists the levels."""
    with pytest.raises(ValueError) as caught:
        made().run().print_tree(fmt)
    assert str(caught.value) == (
        f"fmt {fmt!r}: levels are treatment, replicate, step, action, each once, separated by '>', 'action' last"
    )


def test_the_tree_shows_failed_steps(capsys):
    """A failed step shows its error."""
    made(lambda data: 1 / 0, treatments=(), replicates=1).run().print_tree("step")
    assert capsys.readouterr().out == "step <lambda>  failed: ZeroDivisionError: division by zero\n"


def test_a_tree_without_provenance_says_so(capsys):
    """There is nothing to draw where nothing was kept."""
    made().run(provenance="none").print_tree()
    assert capsys.readouterr().out == "no provenance was kept\n"


def test_a_result_is_read_back_as_text_too():
    """What was read back prints the same tree and the same summary."""
    result = made().run()
    back = Result.from_json(result.to_json())
    assert str(back) == str(result)
