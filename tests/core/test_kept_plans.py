"""A pipeline that runs again keeps its plan, and notices everything that would make another one."""

from __future__ import annotations

import os
import warnings
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crystallize_core import FrozenContext, Pipeline, pipeline_step
from crystallize_core.cache import CacheWarning


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache and a home of its own for each test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.delenv("CRYSTALLIZE_CACHE_DIR", raising=False)
    monkeypatch.chdir(tmp_path)

    return tmp_path


FACTOR = 2


def helper(x):
    return x * FACTOR


@pipeline_step(cacheable=True)
def scale(data, ctx):
    return helper(data)


def test_the_plan_of_a_run_is_that_of_the_run_before():
    """Nothing is wired, walked through or looked up again."""
    pipeline = Pipeline([scale()])
    assert pipeline.run(1) == 2
    first = pipeline._kept.plan
    assert pipeline.run(2) == 4
    assert pipeline._kept.plan is first


def test_a_helper_that_changed_between_two_runs_is_noticed(monkeypatch):
    """The cache is never wrong: not for a pipeline that ran before either."""
    pipeline = Pipeline([scale()])
    assert pipeline.run(3) == 6
    monkeypatch.setitem(globals(), "helper", lambda x: x + 100)
    assert pipeline.run(3) == 103
    monkeypatch.undo()


def test_a_constant_that_changed_between_two_runs_is_noticed(monkeypatch):
    """Whether an entry for the new one is there or not."""
    pipeline = Pipeline([scale()])
    assert [pipeline.run(3), pipeline.run(3)] == [6, 6]
    monkeypatch.setitem(globals(), "FACTOR", 5)
    assert [pipeline.run(3), pipeline.run(3)] == [15, 15]
    monkeypatch.setitem(globals(), "FACTOR", 2)
    assert pipeline.run(3) == 6


def test_a_step_that_is_added_is_run():
    """Steps can be added at any time."""
    pipeline = Pipeline([scale()])
    assert pipeline.run(3) == 6
    pipeline.add_step(scale())
    assert pipeline.run(3) == 12


def test_the_cache_follows_the_current_folder_and_the_environment(folder, monkeypatch):
    """As it does for a pipeline that has not run yet."""
    pipeline = Pipeline([scale()])
    pipeline.run(1)
    (folder / "elsewhere").mkdir()
    os.chdir(folder / "elsewhere")
    pipeline.run(1)
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(folder / "named"))
    pipeline.run(1)
    found = [
        sorted(p.name for p in place.glob("*/*.pkl"))
        for place in (folder / ".cache", folder / "elsewhere/.cache", folder / "named")
    ]
    assert found[0]
    assert found == [found[0]] * 3


def test_a_cache_that_is_switched_off_is_not_asked(folder):
    """`enable_cache` can be set between two runs."""
    pipeline = Pipeline([scale()])
    pipeline.enable_cache = False
    pipeline.run(1)
    assert not (folder / ".cache").exists()
    pipeline.enable_cache = True
    pipeline.run(1)
    assert (folder / ".cache").exists()


@pipeline_step()
def add(data, ctx, *, more=0):
    return data + more


def test_a_context_with_other_keys_is_wired_anew():
    """What fills a parameter depends on what is there."""
    pipeline = Pipeline([add()])
    assert [pipeline.run(1), pipeline.run(1, FrozenContext({"more": 5})), pipeline.run(1)] == [1, 6, 1]


def test_a_warning_comes_again_in_each_run():
    """What could not be cached is said of each run, as if nothing had been kept."""

    @pipeline_step(cacheable=True)
    def make(data, ctx):
        return (value for value in [1])

    pipeline = Pipeline([make()])
    for _ in range(2):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            pipeline.run(1)
        assert [w.category for w in found] == [CacheWarning]


def test_the_provenance_of_each_run_is_its_own():
    """Records do not run together."""
    pipeline = Pipeline([scale()])
    pipeline.run(7)
    first = pipeline.get_provenance()
    pipeline.run(7)
    assert [record["cache_hit"] for record in (*first, *pipeline.get_provenance())] == [False, True]


HOOKS = """
from crystallize_core import hookimpl

@hookimpl
def step_options():
    return {"counted": bool}

@hookimpl
def wrap_step(step, call):
    calls = []

    def wrapped(data, ctx):
        calls.append(data)
        return call(data, ctx), {"calls": len(calls)}

    return wrapped if step.options.get("counted") else None
"""


def test_policies_begin_anew_in_each_run(folder, monkeypatch):
    """A policy may keep count; a plan with policies is made for each run."""
    monkeypatch.delenv("CRYSTALLIZE_AUTOLOAD")
    (folder / "hooks.py").write_text(HOOKS)
    (folder / "crystallize.toml").write_text('plugins = ["./hooks.py"]')

    @pipeline_step(counted=True)
    def step(data, ctx):
        return data

    pipeline = Pipeline([step()])
    recorded = []
    for _ in range(2):
        pipeline.run(1)
        recorded.append(pipeline.get_provenance()[0]["ctx_changes"]["metrics"]["calls"]["after"])
    assert recorded == [(1,), (1,)]


WORK = """
LIMIT = 3
SIZES = [1, 2]

class Model:
    scale = 2

def helper(x):
    return x * LIMIT + sum(SIZES)

def step(data, ctx):
    return [type(LIMIT).__name__, helper(data), Model.scale]
"""
EDITS = {
    "a constant": lambda work, n: setattr(work, "LIMIT", n),
    "its type": lambda work, n: setattr(work, "LIMIT", float(n)),
    "a list": lambda work, n: work.SIZES.append(n),
    "another list": lambda work, n: setattr(work, "SIZES", [n]),
    "a helper": lambda work, n: exec(f"def helper(x):\n    return x + {n}", work.__dict__),
    "code": lambda work, n: setattr(work.helper, "__code__", (lambda x: x - 1).__code__),
    "a class": lambda work, n: setattr(work.Model, "scale", n),
    "nothing": lambda work, n: None,
}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.sampled_from(sorted(EDITS)), st.integers(0, 2)), min_size=1, max_size=8),
    has_class=st.booleans(),
)
def test_every_answer_is_that_of_a_fresh_computation(tmp_path, edits, has_class):
    """Whatever is edited between two runs of one pipeline, and however often back again."""
    work = ModuleType("work")
    exec(WORK if has_class else WORK.replace(", Model.scale", ""), work.__dict__)
    pipeline = Pipeline([pipeline_step(cacheable=True)(work.step)()], cache_dir=tmp_path / "shared")
    for what, value in edits:
        EDITS[what](work, value)
        assert pipeline.run(value) == work.step(value, None)
