"""Where every asset of a run came from: content, step, code, parameters, inputs."""

from __future__ import annotations

import json
import string
import threading
from typing import Any

import pytest

from crystallize_core import Pipeline, context, step
from crystallize_core.fingerprint import code_digest, content_digest
from crystallize_core.pipeline_result import Origin


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache and a home of its own for each test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)


@step(outputs=["train", "test"])
def split(rows, share=0.5):
    at = int(len(rows) * share)
    return rows[:at], rows[at:]


@step(outputs=["model"])
def fit(train, rate, epochs=3):
    return {"rate": rate, "mean": sum(train) / len(train) + epochs}


@step
def judge(model, test, context):
    return model["mean"] - test[0] + context.rate


def ran(*steps: Any, **given: Any) -> Any:
    steps = steps or (split, fit, judge)
    return Pipeline(list(steps), name="study").run(
        **{"inputs": {"rows": [1, 2, 3, 4]}, "context": {"rate": 1}, **given}
    )


def test_each_asset_has_its_content_its_step_its_code_its_parameters_and_its_inputs():
    rows, train, test = ([1, 2, 3, 4], [1, 2], [3, 4])
    model = {"rate": 1, "mean": 4.5}
    of_split = {"step": "split", "code": code_digest(split.function), "inputs": {"rows": content_digest(rows)}}
    by_split = {**of_split, "parameters": {"rows": "input", "share": "default"}}
    assert ran().lineage == {
        "rows": Origin(content_digest(rows)),
        "train": Origin(content_digest(train), **by_split),
        "test": Origin(content_digest(test), **by_split),
        "model": Origin(
            content_digest(model),
            "fit",
            code_digest(fit.function),
            {"train": "output 'train' of 'split'", "rate": "context", "epochs": "default"},
            {"train": content_digest(train)},
        ),
        "judge": Origin(
            content_digest(2.5),
            "judge",
            code_digest(judge.function),
            {"model": "output 'model' of 'fit'", "test": "output 'test' of 'split'", "context": "parameters"},
            {"model": content_digest(model), "test": content_digest(test)},
        ),
    }


def test_digests_have_64_hexadecimal_digits():
    found = ran().lineage
    digests = [
        text for origin in found.values() for text in (origin.digest, origin.code, *origin.inputs.values()) if text
    ]
    assert len(digests) == 14
    assert {len(digest) for digest in digests} == {64}
    assert set("".join(digests)) <= set(string.hexdigits)


def test_lineage_is_the_same_cold_warm_and_resumed():
    cold, warm, resumed = ran(), ran(), ran(resume=True)
    assert [result.step_results["fit"].state for result in (cold, warm, resumed)] == ["ok", "cached", "cached"]
    assert cold.lineage == warm.lineage == resumed.lineage


def test_lineage_goes_into_the_result_as_plain_values():
    result = ran()
    found = json.loads(json.dumps(result.to_dict()))["lineage"]
    assert {name: Origin(**origin) for name, origin in found.items()} == dict(result.lineage)


def test_what_changed_between_two_runs_can_be_read_from_it():
    first, second = ran().lineage, ran(context={"rate": 2}).lineage
    assert [name for name in first if first[name] != second[name]] == ["model", "judge"]
    other_rows = ran(inputs={"rows": [1, 2, 3, 5]}).lineage
    # The training half is the same, although it was made of other rows.
    assert [name for name in first if first[name].digest != other_rows[name].digest] == ["rows", "test"]
    assert first["model"] == other_rows["model"]


def test_the_code_is_that_with_all_it_reaches():
    def version(plus: int) -> Any:
        def helper(x):
            return x + plus

        return step(outputs=["made"], name="made_by")(lambda rows: helper(len(rows)))

    one, other = ran(version(0)).lineage["made"], ran(version(0 + 1)).lineage["made"]
    assert (one.code == other.code, one.inputs == other.inputs, one.digest == other.digest) == (False, True, False)


def test_the_code_is_that_which_made_the_asset_and_not_that_which_found_it():
    """With a strategy that does not look at the code, what is found may have been made by other code."""
    old = step(outputs=["made"], name="made_by", cache="input_hash")(lambda rows: len(rows) + 0)
    new = step(outputs=["made"], name="made_by", cache="input_hash")(lambda rows: len(rows) * 2)
    ran(old)
    for result in (ran(new), ran(new, resume=True)):
        assert (result["made"], result.step_results["made_by"].state) == (4, "cached")
        assert result.lineage["made"].code == code_digest(old.function) != code_digest(new.function)
    assert ran(new, inputs={"rows": [1]}).lineage["made"].code == code_digest(new.function)


def test_a_value_without_content_has_no_digest_and_the_rest_has():
    @step(outputs=["lock"], cache=False)
    def make_lock():
        return threading.Lock()

    @step(outputs=["kind"], cache=False)
    def kind(lock):
        return type(lock).__name__

    found = ran(make_lock, kind).lineage
    assert (found["lock"].digest, found["kind"].inputs) == (None, {"lock": None})
    assert found["kind"].digest == content_digest("lock")


def test_what_a_step_changes_in_its_hands_is_not_what_it_was_given():
    @step(outputs=["last"])
    def last(rows):
        rows.reverse()
        return rows[0]

    found = ran(last).lineage
    assert found["rows"].digest == found["last"].inputs["rows"] == content_digest([1, 2, 3, 4])


def test_only_what_was_made_has_an_origin():
    @step(outputs=["broken"])
    def broken(train):
        raise ValueError("no")

    @step(outputs=["left"])
    def left(broken):
        return broken

    @step(outputs=["skipped"], condition=lambda: False)
    def skipped():
        return 1

    assert list(ran(split, broken, left, skipped).lineage) == ["rows", "train", "test"]


def test_a_default_in_place_of_a_skipped_output_is_a_default():
    @step(outputs=["extra"], condition=lambda rate: rate > 1)
    def extra():
        return 10

    @step(outputs=["sum"])
    def add(rows, extra=0):
        return sum(rows) + extra

    results = [ran(extra, add, context={"rate": rate}) for rate in (1, 2)]
    assert [result["sum"] for result in results] == [10, 20]
    assert [result.lineage["sum"].parameters["extra"] for result in results] == ["default", "output 'extra' of 'extra'"]
    assert [sorted(result.lineage["sum"].inputs) for result in results] == [["rows"], ["extra", "rows"]]


def test_an_asset_that_is_declared_under_another_name_is_named_as_it_is():
    @step(inputs=["data/train"], outputs=["size"])
    def size(table):
        return len(table)

    @step(outputs=["data/train"])
    def load():
        return [1]

    origin = ran(size, load).lineage["size"]
    assert origin.parameters == {"table": "output 'data/train' of 'load'"}
    assert origin.inputs == {"data/train": content_digest([1])}


def test_a_context_value_that_a_step_added_itself_was_not_its_source():
    @step(outputs=["made"])
    def adds(ctx, level=1):
        ctx.add("level", 5)
        return level

    @step(outputs=["seen"])
    def sees(made, level=1):
        return level

    found = ran(adds, sees, context=context())
    assert (found["made"], found["seen"]) == (1, 5)
    assert [found.lineage[name].parameters["level"] for name in ("made", "seen")] == ["default", "context"]
