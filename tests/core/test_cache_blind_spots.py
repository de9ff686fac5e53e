"""What the cache cannot see, as the page on it says; who needs it takes another way."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from crystallize_core import BasePlugin, Experiment, pipeline_step
from crystallize_core.cache import CacheWarning

TABLE = [1]


def by_name():
    """What `getattr` finds by text."""
    return 1


def _environment():
    os.environ["CRYSTALLIZE_TEST_MODE"] = "other"


def _folder():
    Path("other").mkdir()
    os.chdir("other")


def _helper():
    globals()["by_" + "name"] = lambda: 2


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CRYSTALLIZE_TEST_MODE", "one")
    monkeypatch.setitem(globals(), "by_name", by_name)


@pipeline_step(cacheable=True)
def environment(data):
    """Reads a variable."""
    return data, {"m": os.environ["CRYSTALLIZE_TEST_MODE"]}


@pipeline_step(cacheable=True)
def folder(data):
    """Looks where it is."""
    return data, {"m": str(Path.cwd())}


@pipeline_step(cacheable=True)
def clock(data):
    """Looks at the clock."""
    return data, {"m": time.perf_counter_ns()}


@pipeline_step(cacheable=True)
def draw(data):
    """Draws from the global generator."""
    return data, {"m": random.random()}


@pipeline_step(cacheable=True)
def text(data):
    """Finds its helper by text."""
    import sys

    return data, {"m": getattr(sys.modules[__name__], "by_" + "name")()}


@pipeline_step(cacheable=True)
def table(data):
    """Names a list of the module."""
    return data, {"m": sum(TABLE)}


def ran(step):
    """What it records, and whether that came from the cache."""
    result = Experiment(lambda ctx: 1, [step], autoload=False).run()
    return SimpleNamespace(
        value=result.metrics.baseline.metrics["m"][0], hit=result.provenance["baseline"][0][0]["cache_hit"]
    )


@pytest.mark.parametrize(
    ("step", "change"),
    [(environment, _environment), (folder, _folder), (clock, lambda: None), (text, _helper)],
)
def test_what_is_not_seen_is_answered_from_the_cache(step, change):
    """Although it would come to something else."""
    first = ran(step)
    change()
    again = ran(step)
    assert (first.hit, again.hit, again.value) == (False, True, first.value)


def test_a_global_that_was_changed_in_place_is_seen_by_the_next_run(monkeypatch):
    """It counts by its content."""
    monkeypatch.setitem(globals(), "TABLE", [1])
    assert (ran(table).value, ran(table).hit) == (1, True)
    TABLE.append(2)
    assert (ran(table).value, ran(table).hit) == (3, True)


def test_numbers_that_nobody_seeded_are_drawn_anew():
    """Where no plugin watches the global generators the step says once that it is not cached, and why."""
    random.seed(7)
    with pytest.warns(CacheWarning) as caught:
        first, again = ran(draw), ran(draw)
    assert (first.hit, again.hit) == (False, False)
    assert first.value != again.value
    assert str(caught[0].message) == (
        "step 'draw' is not cached: it drew from the global generator of random or numpy, and no plugin of the stack "
        "seeds that: pip install crystallize-seeding, or say that the step is not to be cached"
    )


def test_a_plugin_that_watches_the_generators_is_believed():
    """It says what the numbers depend on; here, that they are always the same."""

    class Watching(BasePlugin):
        watches_generators = True

        def cache_dependencies(self):
            return {"numbers": 7}

    result = [Experiment(lambda ctx: 1, [draw], [Watching()], autoload=False).run() for _ in range(2)]
    assert result[0].metrics.baseline.metrics == result[1].metrics.baseline.metrics
