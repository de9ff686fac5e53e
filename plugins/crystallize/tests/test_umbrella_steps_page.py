"""The page on steps wired by name: every snippet of it, one below the other in one module."""

from __future__ import annotations

import importlib.util
import sys
import textwrap

import pytest

from crystallize import load_asset


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    """The cache and the artifacts of a test stay with it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRYSTALLIZE_CACHE_DIR", raising=False)


def _states(result):
    """What became of the steps, in the order in which they ran."""
    return {name: found.state for name, found in result.step_results.items()}


# The page in one module -------------------------------------------------------------------------------

STAND_INS = """
class Service:  # what the snippets ask for is nowhere near
    def current(self):
        return {"level": 3}


service = Service()
offset = 0


def fit(rows, rate):
    return {"rows": len(rows), "rate": rate}


def slow_square(number):
    return number * number
"""

SNIPPETS = [
    # pure, and with a side effect
    """
    from crystallize import step

    @step(outputs=["tidy"])
    def drop_gaps(raw):
        return [row for row in raw if row is not None]

    @step
    def shift():
        global offset
        offset += 1
        return offset
    """,
    # one thing per step, and all in one
    """
    @step(outputs=["halves"])
    def halve(data, share=0.5):
        at = int(len(data) * share)
        return data[:at], data[at:]

    @step(inputs=["halves"], outputs=["fitted"])
    def learn(halves):
        return fit(halves[0], rate=1)

    @step(outputs=["fitted"])
    def halve_and_learn(data):
        halves = halve(data)
        return learn(halves), len(halves)

    monolith = halve_and_learn([1, 2, 3, 4])
    """,
    # with declared inputs and without, under one name
    """
    @step(inputs=["raw"], outputs=["tidy"])
    def tidy_up(raw):
        return sorted(raw)

    @step
    def tidy_up(data):
        return sorted(data)
    """,
    # all options
    """
    @step(
        inputs=["rows"], outputs=["fitted"], cache="input_hash", retry=3, timeout=3600,
        resources={"gpu": 1, "memory": "16Gi"},
    )
    def learn_slowly(rows, rate: float):
        \"\"\"Fit the rows.\"\"\"
        return fit(rows, rate=rate)
    """,
    # order
    """
    from crystallize import Pipeline

    @step(outputs=["rows"])
    def read():
        return [3, 1, 2]

    @step(inputs=["rows"], outputs=["ordered"])
    def order(rows):
        return sorted(rows)

    ordering = Pipeline("ordering")
    ordering.add_step(read)
    ordering.add_step(order)
    ordered = ordering.run()
    """,
    # several outputs, several inputs
    """
    @step(outputs=["first", "rest"])
    def cut(rows, at=1):
        return rows[:at], rows[at:]

    @step(outputs=["names"])
    def read_names():
        return ["c", "a", "b"]

    @step(inputs=["rows", "names"], outputs=["named"])
    def name_rows(rows, names):
        return dict(zip(names, rows))

    several = Pipeline("several").add_steps(name_rows, cut, read_names, read).run()
    """,
    # context
    """
    from crystallize import context

    settings = context(rate=0.5, rounds=3, unused="x")

    @step(outputs=["fitted"])
    def learn(rows, rate: float, rounds: int):
        return fit(rows * rounds, rate=rate)

    learning = Pipeline("learning", context=settings)
    learning.add_steps(read, learn)
    learned = learning.run()
    """,
    # types
    """
    from crystallize import Dataset, Model

    @step
    def gather() -> Dataset:
        return Dataset([1, 2], name="rows")

    @step
    def shape(gather) -> Model:
        return Model({"size": len(gather.data)}, name="sizes")

    stored = Pipeline("stored").add_steps(gather, shape).run()
    """,
    # caching
    """
    @step(cache="code_hash")
    def compute(data):
        return slow_square(data)

    @step(cache="input_hash")
    def prepare(compute, config):
        return [compute, config]

    @step(cache=False)
    def latest():
        return service.current()

    caching = Pipeline("caching").add_steps(compute, prepare, latest)
    once, again = (caching.run(inputs={"data": 4}, context={"config": "c"}) for _ in range(2))
    """,
    # failures
    """
    from crystallize import CircuitBreaker, on_failure, retry

    @step(retry=3)
    def ask():
        return service.current()

    @step(timeout=300)
    def wait():
        return "done"

    def nothing_known():
        return {"level": None}

    @step
    @retry(max_attempts=3, backoff=2.0)
    @on_failure(nothing_known)
    @CircuitBreaker(failure_threshold=5)
    def ask_carefully():
        return service.current()

    careful = Pipeline("careful").add_steps(ask, wait, ask_carefully).run()
    """,
    # resources
    """
    @step(resources={"cpu": "4", "memory": "16Gi"})
    def on_cores():
        ...

    @step(resources={"gpu": "nvidia-tesla-v100", "gpu_count": 2})
    def on_gpus():
        ...
    """,
    # tests of steps and of pipelines
    """
    def test_drop_gaps():
        assert drop_gaps([1, None, 2]) == [1, 2]

    def test_learn():
        assert learn([1], rate=0.1, rounds=2) == {"rows": 2, "rate": 0.1}

    def test_the_pipeline():
        pipeline = Pipeline("tested", context=context(rate=0.01, rounds=1))
        pipeline.add_step(read)
        pipeline.add_step(learn)
        result = pipeline.run()
        assert result.success
        assert "fitted" in result.outputs

    for test in (test_drop_gaps, test_learn, test_the_pipeline):
        test()
    """,
    # the result
    """
    lines = []
    result = learning.run()
    for step_name, step_result in result.step_results.items():
        lines.append(f"{step_name}: {step_result.duration_seconds:.1f} s, cached={step_result.cached}")
    """,
    # conditions
    """
    from crystallize import unless, when

    @step
    @when(lambda x: x > 100)
    def only_large(data):
        return data

    @step
    @unless(lambda x: x is None)
    def only_known(data):
        return data
    """,
    # parallel
    """
    from typing import List

    from crystallize import parallel_map

    @step
    def square_all(items: List):
        return parallel_map(slow_square, items, num_workers=4)

    squares = Pipeline("squares").add_step(square_all).run(inputs={"items": range(5)})
    """,
    # made in a loop
    """
    def make_step(kind: str):
        @step(outputs=[f"{kind}_fitted"])
        def learn():
            return fit([kind], rate=len(kind))
        return learn

    pipeline = Pipeline("kinds")
    for kind in ["a", "bb", "ccc"]:
        made = make_step(kind)
        pipeline.add_step(made)
    kinds = pipeline.run()
    """,
]


@pytest.fixture
def page(tmp_path):
    """The module that somebody has who pastes one snippet below the other."""
    file = tmp_path / "pasted_page.py"
    file.write_text("\n\n".join([STAND_INS, *map(textwrap.dedent, SNIPPETS)]), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("pasted_page", file)
    module = sys.modules["pasted_page"] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules["pasted_page"]


def test_all_snippets_of_the_page_run_in_one_module(page):
    """One below the other, though they use names again; what each of them comes to is asserted."""
    runs = [page.ordered, page.several, page.learned, page.stored, page.once, page.again, page.careful, page.kinds]
    assert [run.success for run in runs] == [True] * len(runs)
    assert page.monolith == ({"rows": 2, "rate": 1}, 2)
    assert dict(page.ordered.outputs) == {"rows": [3, 1, 2], "ordered": [1, 2, 3]}
    assert dict(page.several.outputs) == {
        "rows": [3, 1, 2], "first": [3], "rest": [1, 2], "names": ["c", "a", "b"], "named": {"c": 3, "a": 1, "b": 2},
    }  # fmt: skip
    assert page.learned.outputs["fitted"] == {"rows": 9, "rate": 0.5}
    assert load_asset(page.stored.record, "sizes").data == {"size": 2}
    assert _states(page.once) == {"compute": "ok", "prepare": "ok", "latest": "ok"}
    assert _states(page.again) == {"compute": "cached", "prepare": "cached", "latest": "ok"}
    assert dict(page.careful.outputs) == {"ask": {"level": 3}, "wait": "done", "ask_carefully": {"level": 3}}
    assert page.lines == ["read: 0.0 s, cached=True", "learn: 0.0 s, cached=True"]
    assert page.squares["square_all"] == [0, 1, 4, 9, 16]
    assert page.kinds.outputs["ccc_fitted"] == {"rows": 1, "rate": 3}
