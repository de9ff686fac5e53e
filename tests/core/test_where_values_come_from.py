"""What results, lineage and debugging say about where the parameters of a step came from."""

from __future__ import annotations

import pytest

from crystallize_core import Pipeline, context, step, when


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    """The cache of a test stays with it."""
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")


@step(outputs=["rows"])
def read():
    return [3, 1]


@step(inputs=["rows", "path/to/labels"])
def learn(rows, labels, rate, rounds=2, scale=1):
    return len(rows) * rate * rounds


PIPELINE = Pipeline([read, learn], context=context(rate=0.5, scale=4))
SOURCES = {
    "rows": "output 'rows' of 'read'",
    "labels": "input 'path/to/labels'",
    "rate": "context",
    "rounds": "default",
    "scale": "context",
}


def test_a_result_tells_a_default_from_a_context_value():
    """Though the wiring looks for both in the context."""
    result = PIPELINE.run(inputs={"path/to/labels": "x"})
    assert dict(result.step_results["learn"].sources) == SOURCES
    assert dict(result.lineage["learn"].parameters) == SOURCES


def test_the_same_default_is_a_context_value_where_the_run_was_given_one():
    """Which of them it is depends on the run."""
    result = PIPELINE.run(inputs={"path/to/labels": "x"}, context={"rounds": 9})
    assert dict(result.step_results["learn"].sources) == {**SOURCES, "rounds": "context"}


def test_the_default_stands_in_for_an_output_of_a_skipped_step():
    """And the result says that it did."""

    @step
    @when(lambda: False)
    def never():
        return 1

    @step
    def after(never=0):
        return [never]

    result = Pipeline([never, after]).run()
    assert result.outputs["after"] == [0]
    assert dict(result.step_results["after"].sources) == {"never": "default"}


def test_debugging_shows_each_value_with_its_source(capsys):
    """Defaults and bound parameters, too; a secret is masked."""

    @step(cache=False)
    def connect(host, password, port=80, retries=3):
        return host

    pipeline = Pipeline([connect.bound({"retries": 5})], context={"host": "here", "password": "123"})
    pipeline.run(debug=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[1:] == [
        "  host ← context = 'here'",
        "  password ← context = ***",
        "  port ← default = 80",
        "  retries ← bound = 5",
        "  cache: a miss: it is not cached",
        "  returns 'here'",
    ]
