"""The step cache: an entry is used only while nothing that the output depended on has changed."""

from __future__ import annotations

import asyncio
import functools
import os
import pickle
import random
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crystallize_core
from crystallize_core import (
    BasePlugin,
    Event,
    Experiment,
    FrozenContext,
    Pipeline,
    PipelineStep,
    Treatment,
    pipeline_step,
    resource_factory,
)
from crystallize_core.cache import CacheWarning


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache and a home of its own for each test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    return tmp_path / "cache"


class Counter:
    """Counts calls without being part of what the steps depend on."""

    def __init__(self):
        self.calls: list[Any] = []

    def __call__(self, what: Any = None) -> None:
        self.calls.append(what)

    def __getstate__(self):
        return None

    def __len__(self):
        return len(self.calls)


def made(*steps: Any, **parts: Any) -> Experiment:
    return Experiment(**{"datasource": lambda ctx: 1, "pipeline": list(steps), "autoload": False, **parts})


def hits(result: Any, condition: str = "baseline", replicate: int = 0) -> list[bool]:
    """Which steps of a cell were answered from the cache."""
    return [record["cache_hit"] for record in result.provenance[condition][replicate]]


def cached(function: Any) -> Any:
    return pipeline_step(cacheable=True)(function)


def code(source: str, **names: Any) -> Any:
    """The function `step` of some source text, as a cacheable step."""
    namespace: dict[str, Any] = {"__name__": "study", **names}
    exec(textwrap.dedent(source), namespace)
    return cached(namespace["step"])


def used_again(
    first: Any, second: Any, *, ctx: dict[str, Any] | None = None, then: dict[str, Any] | None = None
) -> bool:
    """Whether the second step is answered by what the first one left, in these contexts."""
    Pipeline([first]).run(1, FrozenContext(ctx or {}))
    pipeline = Pipeline([second])
    pipeline.run(1, FrozenContext((ctx or {}) if then is None else then))
    return bool(pipeline.get_provenance()[0]["cache_hit"])


# Replay -------------------------------------------------------------------------------------------


def everything(data, ctx):
    ctx.record("loss", 0.5, {"epoch": 0})
    ctx.artifacts.add("model.bin", b"\x00\x01")
    ctx.add("model", {"weights": [1, 2]})
    ctx.emit("trained", epochs=3)
    return [data, "output"], {"score": 7}


def test_a_hit_replays_everything_that_the_step_did():
    """Output, metrics with tags, artifacts, additions and events are there again, without a call."""
    called = Counter()

    @cached
    def step(data, ctx, count=called):
        count()
        return everything(data, ctx)

    experiment = made(step, lambda data, ctx: (data, {"seen": ctx["model"]["weights"]}))
    outcomes = [next(experiment.stream())["baseline"] for _ in range(2)]
    assert len(called) == 1
    for outcome in outcomes:
        assert outcome.metrics == [
            ("loss", 0.5, {"epoch": 0}),
            ("score", 7, None),
            ("seen", [1, 2], None),
        ]
        assert [(a.name, a.step, a.read()) for a in outcome.artifacts] == [("model.bin", "step", b"\x00\x01")]
        assert outcome.events == [Event("trained", {"epochs": 3}, 0, "baseline", "step")]
    assert made(step).apply() == [1, "output"]
    assert len(called) == 1


def test_a_warm_cache_gives_the_same_digest():
    """Cold, warm and without a cache: one result."""
    warm = made(cached(everything), treatments=[Treatment("a", {"x": 1})], replicates=3)
    cold_result, warm_result = warm.run(), warm.run(provenance="all")
    assert hits(warm_result, "a", 2) == [True]
    plain = made(pipeline_step()(everything), treatments=[Treatment("a", {"x": 1})], replicates=3).run()
    assert cold_result.digest == warm_result.digest == plain.digest


def test_events_of_a_hit_belong_to_the_cell_that_hits():
    """Replicate, condition and step of a replayed event are those of now."""

    def emits(data, ctx):
        ctx.emit("hello")
        ctx.artifacts.add("file", b"")
        return data

    outcomes = list(made(cached(emits), cached(emits), replicates=2, treatments=[Treatment("a", {})]).stream())
    assert outcomes[1]["a"].events == [
        Event("hello", {}, 1, "a", "emits"),
        Event("hello", {}, 1, "a", "emits_2"),
    ]
    assert [artifact.step for artifact in outcomes[1]["a"].artifacts] == ["emits", "emits_2"]


@pytest.mark.parametrize("output", [None, False, 0, "", [], {}, (1, 2), {"a": [1]}, b"bytes", 2.5])
def test_any_output_hits(output):
    """Also None and other empty values."""
    called = Counter()

    @cached
    def step(data, count=called, output=output):
        count()
        return output

    assert [made(step).apply() for _ in range(2)] == [output, output]
    assert len(called) == 1


def test_a_replayed_output_is_an_object_of_its_own():
    """A later step that changes it changes nothing for the next replicate."""

    @cached
    def rows(data):
        return [1, 2]

    def spoil(data):
        data.append(len(data))
        return data, {"length": len(data)}

    assert made(rows, spoil, replicates=3).run().metrics.baseline["length"] == [3, 3, 3]


def test_async_steps_are_cached():
    """`async def` makes no difference, under `run` and `arun`."""
    called = Counter()

    @cached
    async def step(data, count=called):
        count()
        await asyncio.sleep(0)
        return data + 1, {"m": data}

    assert made(step).apply() == 2
    result = asyncio.run(made(step).arun())
    assert hits(result) == [True]
    assert result.metrics.baseline["m"] == [1]
    assert len(called) == 1


def test_a_class_based_step_is_cached():
    """`cacheable = True` on the class; its `params` are part of the key."""
    called = Counter()

    class Scale(PipelineStep):
        cacheable = True

        def __init__(self, factor):
            self.factor = factor

        @property
        def params(self):
            return {"factor": self.factor}

        def __call__(self, data):
            called()
            return data * self.factor

    assert [made(Scale(factor)).apply() for factor in (2, 2, 3, 2)] == [2, 2, 3, 2]
    assert len(called) == 2


def test_a_step_that_fails_leaves_no_entry():
    """The next run calls it again."""
    called = Counter()

    @cached
    def step(data, count=called):
        count()
        if len(count) == 1:
            raise ValueError("first time")
        return data

    first, second = made(step).run(), made(step).run()
    assert (len(first.errors), len(second.errors), len(called)) == (1, 0, 2)


def test_hooks_see_a_hit():
    """`after_step` is called with the replayed data; `before_step` belongs to calls."""
    calls = []

    class Watch(BasePlugin):
        def before_step(self, experiment, step, ctx):
            calls.append(f"before {step.name}")

        def after_step(self, experiment, step, data, ctx):
            calls.append(f"after {step.name} {data} {dict(ctx.metrics.as_dict())}")

    @cached
    def step(data):
        return data + 1, {"m": data}

    for _ in range(2):
        made(step, plugins=[Watch()]).run()
    assert calls == ["before step", "after step 2 {'m': (1,)}", "after step 2 {'m': (1,)}"]


def test_a_step_that_is_not_cacheable_leaves_no_file(folder):
    """Nothing is written unless a step asks for it."""
    made(lambda data: data).run()
    assert not folder.exists()


# What the key depends on --------------------------------------------------------------------------


def test_the_same_step_is_used_again():
    """Two functions with the same code are one step."""
    assert used_again(code("def step(data):\n    return data + 1"), code("def step(data):\n    return data + 1"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("def step(data):\n    return data + 1", {}), ("def step(data):\n    return data + 2", {})),
        (("def step(data, a=1):\n    return data", {}), ("def step(data, a=2):\n    return data", {})),
        (("def step(data):\n    return data + N", {"N": 1}), ("def step(data):\n    return data + N", {"N": 2})),
        (
            ("def help(x):\n    return x\ndef step(data):\n    return help(data)", {}),
            ("def help(x):\n    return -x\ndef step(data):\n    return help(data)", {}),
        ),
        (
            ("def make(n):\n    def step(data):\n        return n\n    return step\nstep = make(1)", {}),
            ("def make(n):\n    def step(data):\n        return n\n    return step\nstep = make(2)", {}),
        ),
        (("def step(data, *, a=[1]):\n    return a", {}), ("def step(data, *, a=[2]):\n    return a", {})),
    ],
    ids=["code", "default", "global", "helper", "closure", "keyword default"],
)
def test_other_code_is_another_step(first, second):
    """The code, its defaults, and the globals, helpers and closures that it reaches are part of the key."""
    assert not used_again(code(first[0], **first[1]), code(second[0], **second[1]))


def test_a_bound_parameter_is_part_of_the_key():
    """Each value has an entry of its own."""

    @cached
    def step(data, *, factor=1):
        return data * factor

    assert not used_again(step(factor=2), step(factor=3))
    assert used_again(step(factor=2), step(factor=2))
    assert not used_again(step, step(factor=1))


@pytest.mark.parametrize(
    "reads",
    [
        lambda data, ctx: ctx["a"],
        lambda data, ctx: ctx.get("a"),
        lambda data, ctx: "a" in ctx and ctx.get("a"),
        lambda data, ctx: dict(ctx.items())["a"],
        lambda data, ctx: dict(ctx.as_dict())["a"],
        lambda data, a: a,
        lambda data, a=0: a,
        lambda data, ctx, *, a=0: a,
    ],
    ids=["item", "get", "in", "items", "as_dict", "parameter", "with default", "keyword"],
)
def test_every_way_of_reading_a_key_is_noticed(reads):
    """A changed value is never answered with the old output; the same value is."""
    step = cached(reads)
    assert not used_again(step, step, ctx={"a": 1}, then={"a": 2})
    assert used_again(step, step, ctx={"a": 1}, then={"a": 1})
    assert used_again(step, step, ctx={"a": [1]}, then={"a": [1]})


def test_a_key_that_is_not_read_does_not_matter():
    """Other keys of the context may change."""
    step = cached(lambda data, ctx: ctx["a"])
    assert used_again(step, step, ctx={"a": 1, "b": 1}, then={"a": 1, "b": 2, "c": 3})


@pytest.mark.parametrize(
    "reads",
    [
        lambda data, ctx: ctx.get("a", "nothing"),
        lambda data, ctx: "a" in ctx,
        lambda data, ctx: list(ctx),
        lambda data, ctx: len(ctx),
        lambda data, a="nothing": a,
    ],
    ids=["get", "in", "list", "len", "default"],
)
def test_that_a_key_was_missing_is_part_of_the_key(reads):
    """A key that appears later is noticed, also by steps that only iterate."""
    step = cached(reads)
    assert not used_again(step, step, ctx={}, then={"a": 1})
    assert used_again(step, step, ctx={}, then={})


def test_that_a_key_is_gone_is_noticed():
    """A key that was read and is missing now is a miss as well."""
    step = cached(lambda data, ctx: ctx.get("a", "nothing"))
    assert not used_again(step, step, ctx={"a": 1}, then={})


def test_a_step_that_looks_at_all_keys_notices_a_new_one():
    """Iteration depends on which keys there are."""
    step = cached(lambda data, ctx: sorted(ctx.keys()))
    assert not used_again(step, step, ctx={"a": 1}, then={"a": 1, "b": 1})


def test_a_key_that_is_read_depending_on_another_is_noticed():
    """A step that reads more only sometimes is answered rightly in all cases."""

    @cached
    def step(data, ctx):
        return ctx["b"] if ctx["a"] else "no b"

    def output(**values):
        return Pipeline([step]).run(1, FrozenContext(values))

    for _ in range(2):
        assert output(a=False, b=1) == "no b"
        assert output(a=True, b=1) == 1
        assert output(a=True, b=2) == 2
        assert output(a=False, b=2) == "no b"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 1)), min_size=2, max_size=6))
def test_a_cached_step_is_a_function_of_its_context(contexts):
    """Whatever was cached before, each context gives what the step computes in it."""

    def compute(data, ctx):
        if ctx.get("a"):
            return ("b", ctx.get("b"))
        return ("c", ctx.get("c", "none")) if "b" in ctx else sorted(ctx.keys())

    for context in contexts:
        expected = compute(0, FrozenContext(context))
        assert Pipeline([cached(compute)]).run(0, FrozenContext(context)) == expected


def test_the_input_is_part_of_the_key():
    """Its content, not its printed form: two big arrays that differ in the middle are two inputs."""
    called = Counter()

    @cached
    def step(data, count=called):
        count()
        return sum(data)

    big = [0] * 5000
    other = [*big[:2500], 1, *big[2501:]]
    pipeline = Pipeline([step])
    assert [pipeline.run(rows) for rows in (big, other, list(big))] == [0, 1, 0]
    assert len(called) == 2


def test_the_metrics_that_a_step_reads_are_part_of_the_key():
    """A step that looks at what was recorded before is not answered with the numbers of another cell."""

    def record(data, ctx):
        ctx.record("n", ctx["replicate"])
        return data

    @cached
    def look(data, ctx):
        return data, {"seen": ctx.metrics["n"][0]}

    experiment = made(record, look, replicates=3)
    for _ in range(2):
        assert experiment.run().metrics.baseline["seen"] == [0, 1, 2]
    assert hits(experiment.run(provenance="all"), replicate=2) == [False, True]


def test_a_step_that_looks_at_its_run_is_called_in_each_run():
    """The id of the run is not that of an earlier one."""

    @cached
    def step(data, ctx):
        return ctx.run.id

    experiment = made(step)
    assert experiment.apply() != experiment.apply()


def test_a_resource_is_known_by_its_code():
    """A step that uses a resource is cached as long as what makes the resource is the same."""
    step = cached(lambda data, ctx: ctx["client"])

    def client(name):
        return resource_factory(lambda ctx: name)

    assert used_again(step, step, ctx={"client": client("a")}, then={"client": client("a")})
    assert not used_again(step, step, ctx={"client": client("a")}, then={"client": client("b")})


# Replicates and random streams --------------------------------------------------------------------


def test_replicates_and_conditions_share_entries():
    """A step that reads neither is called once for all of them."""
    called = Counter()

    @cached
    def load(data, count=called):
        count()
        return data

    result = made(load, replicates=4, treatments=[Treatment("a", {"factor": 2})]).run()
    assert len(called) == 1
    assert result.errors == {}


def test_replicates_that_are_read_do_not_share():
    """A step that reads the number of the replicate has an entry for each."""

    @cached
    def step(data, ctx):
        return data, {"n": ctx["replicate"]}

    experiment = made(step, replicates=3)
    assert [experiment.run().metrics.baseline["n"] for _ in range(2)] == [[0, 1, 2]] * 2


class Streams(BasePlugin):
    """Gives each step of each replicate a random stream, as a seeding plugin does."""

    def before_replicate(self, experiment, ctx):
        ctx.add("seed_used", ctx["replicate"])
        ctx.provide("rng", lambda view: random.Random(f"{view['seed_used']} {view.step_name}"))


def draw(data, ctx):
    return data, {"draw": ctx.rng.random()}


def test_random_steps_do_not_share_a_draw():
    """A step that uses a provided stream has an entry per replicate, and the same draws on a hit."""
    experiment = made(cached(draw), plugins=[Streams()], replicates=4)
    cold, warm = experiment.run(), experiment.run(provenance="all")
    assert len(set(cold.metrics.baseline["draw"])) == 4
    assert warm.metrics.baseline["draw"] == cold.metrics.baseline["draw"]
    assert hits(warm, replicate=3) == [True]


def test_two_places_of_one_random_step_do_not_share_a_draw():
    """The stream of a step depends on its name in the pipeline, and so does its entry."""
    plain = made(draw, draw, plugins=[Streams()], replicates=2).run()
    experiment = made(cached(draw), cached(draw), plugins=[Streams()], replicates=2)
    for _ in range(2):
        assert experiment.run().metrics.baseline["draw"] == plain.metrics.baseline["draw"]


def test_a_hit_does_not_shift_the_draws_of_later_steps():
    """What a cached step drew has no effect on the streams of the others."""
    experiment = made(cached(draw), lambda data, ctx: (data, {"later": ctx.rng.random()}), plugins=[Streams()])
    assert experiment.run().metrics.baseline["later"] == experiment.run().metrics.baseline["later"]


def test_a_plugin_says_what_else_counts():
    """`cache_dependencies` is part of the key: a changed answer is a miss, the same one a hit."""

    class Version(BasePlugin):
        plugin_name = "version"

        def __init__(self, version):
            self.version = version

        def cache_dependencies(self, experiment, step, ctx):
            return {"version": self.version}

    step = cached(lambda data: data)
    found = [hits(made(step, plugins=[Version(version)]).run()) for version in (1, 1, 2, 2, 1)]
    assert found == [[False], [True], [False], [True], [True]]
    assert hits(made(step).run()) == [False]


def test_what_a_hook_reads_before_a_step_is_not_the_steps_doing():
    """A plugin that looks at the replicate does not keep replicates from sharing."""
    called = Counter()

    class Looks(BasePlugin):
        def before_step(self, experiment, step, ctx):
            ctx["replicate"], ctx["condition"]

    @cached
    def step(data, count=called):
        count()
        return data

    made(step, plugins=[Looks()], replicates=3).run()
    assert len(called) == 1


def test_what_a_hook_adds_before_a_step_is_not_taken_from_another_replicate():
    """A key that a plugin makes of what it read stands for what it read."""

    class Folds(BasePlugin):
        def before_step(self, experiment, step, ctx):
            if step.name == "step":
                ctx.add("fold", ctx["replicate"])

    @cached
    def step(data, ctx):
        return data, {"fold": ctx["fold"]}

    experiment = made(step, plugins=[Folds()], replicates=3)
    for _ in range(2):
        result = experiment.run()
        assert result.errors == {}
        assert result.metrics.baseline["fold"] == [0, 1, 2]


# Policies -----------------------------------------------------------------------------------------


class Twice(BasePlugin):
    """A policy that tries again once, and then answers itself."""

    def wrap_step(self, experiment, step, call):
        def policy(data, ctx):
            for _ in range(2):
                try:
                    return call(data, ctx)
                except ValueError:
                    continue
            return "instead"

        return policy


def test_a_retried_step_is_cached_as_its_last_attempt():
    """Only what the successful attempt wrote is in the entry."""
    called = Counter()

    @cached
    def step(data, ctx, count=called):
        count()
        ctx.record("call", len(count))
        if len(count) == 1:
            raise ValueError("not yet")
        return data

    for _ in range(2):
        assert made(step, plugins=[Twice()]).run().metrics.baseline["call"] == [2]
    assert len(called) == 2


def test_a_step_that_asks_for_its_attempt_is_cached_for_the_first_only():
    """What a second attempt came to is not what the next run, which begins with the first, would come to."""
    called = Counter()

    @cached
    def step(data, ctx, count=called):
        count()
        ctx.record("attempt", ctx.attempt)
        if len(count) == 1:
            raise ValueError("not yet")
        return data

    found = [made(step, plugins=[Twice()]).run().metrics.baseline["attempt"] for _ in range(3)]
    assert (found, len(called)) == ([[2], [1], [1]], 3)


def test_what_a_policy_says_instead_is_not_cached():
    """A fallback answer depends on why the step failed; the next run tries again."""
    called = Counter()

    @cached
    def step(data, count=called):
        count()
        if len(count) <= 2:
            raise ValueError("not yet")
        return data

    assert [made(step, plugins=[Twice()]).apply() for _ in range(2)] == ["instead", 1]


# Files --------------------------------------------------------------------------------------------


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "last")


def entries(folder: Path) -> list[Path]:
    return [path for path in files(folder) if path.suffix == ".pkl"]


@cached
def doubled(data):
    return data * 2, {"m": data}


def test_entries_are_below_the_hash_of_the_step(folder):
    """`<step_hash>/<input_hash>...`, with nothing half written beside them."""
    made(doubled).run()
    step_hash = doubled().step_hash
    found = [path for path in files(folder) if path != folder / ".lock"]
    assert {path.parent for path in found} == {folder / step_hash}
    assert {path.name.partition(".")[0] for path in found} == {crystallize_core.content_digest(1), "step"}
    assert (folder / step_hash / "step").read_text() == "doubled"


def test_without_a_variable_the_cache_is_in_the_current_folder(tmp_path, monkeypatch):
    """`.cache` is the default."""
    monkeypatch.delenv("CRYSTALLIZE_CACHE_DIR")
    monkeypatch.chdir(tmp_path)
    made(doubled).run()
    assert entries(tmp_path / ".cache")


def test_the_key_is_readable_by_its_user_only(folder, tmp_path):
    """The key that signs entries lies outside the cache, in a file that nobody else can read."""
    made(doubled).run()
    (key,) = files(tmp_path / "home")
    assert key.name == "cache.key"
    assert key.stat().st_mode & 0o077 == 0
    assert len(key.read_bytes()) == 32


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: content[:-3] + b"xyz",
        lambda content: b"not an entry at all",
        lambda content: content.replace(b"crystallize-entry-2", b"crystallize-entry-9"),
        lambda content: pickle.dumps({"output": "forged"}),
    ],
    ids=["empty", "half", "cut", "longer", "changed", "other", "newer", "plain pickle"],
)
def test_a_damaged_entry_is_a_miss_and_is_repaired(damage, folder):
    """The step is called, nobody complains, and the entry is good again."""
    made(doubled).run()
    (entry,) = entries(folder)
    entry.write_bytes(damage(entry.read_bytes()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        repaired = made(doubled).run()
        again = made(doubled).run()
    assert (hits(repaired), hits(again)) == ([False], [True])
    assert repaired.digest == again.digest


@pytest.mark.parametrize(
    "text", ["", "{", "5", '["a"]', "[[5]]", '{"a": 1}', '[["nobody:knows"]]', "\udcff", '[["context:a", null]]']
)
def test_a_damaged_record_of_reads_is_a_miss(text, folder):
    """The list of what a step read may be damaged too."""
    made(doubled).run()
    (record,) = [path for path in files(folder) if path.suffix == ".json"]
    record.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert made(doubled).run().metrics.baseline["m"] == [1]
    assert hits(made(doubled).run()) == [True]


class Bomb:
    """Does something when it is unpickled."""

    exploded: list[int] = []

    def __reduce__(self):
        return Bomb.exploded.append, (1,)


MAGIC = b"crystallize-entry-2\n"
BOMB = pickle.dumps(Bomb())
LENGTH = len(BOMB).to_bytes(8, "big")


def test_a_forged_entry_is_never_unpickled(folder, tmp_path):
    """An entry that was signed with another key runs no code."""
    made(doubled).run()
    (entry,) = entries(folder)
    for forged in (
        pickle.dumps(Bomb()),
        MAGIC + b"\0" * 32 + LENGTH + BOMB,
        entry.read_bytes()[: len(MAGIC) + 32] + LENGTH + BOMB,
    ):
        entry.write_bytes(forged)
        assert made(doubled).run().metrics.baseline["m"] == [1]
    assert Bomb.exploded == []


def test_an_entry_of_another_user_is_a_miss(folder, tmp_path, monkeypatch):
    """A cache folder that was copied from elsewhere is not trusted."""
    made(doubled).run()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other-home"))
    assert hits(made(doubled).run()) == [False]


def test_an_entry_under_another_name_is_a_miss(folder):
    """An entry that was renamed is no entry of that name."""

    @cached
    def tripled(data):
        return data * 3

    made(doubled).run()
    (first,) = entries(folder)
    made(tripled).run()
    (second,) = set(entries(folder)) - {first}
    second.write_bytes(first.read_bytes())
    assert made(tripled).apply() == 3


def test_a_damaged_key_is_replaced(folder, tmp_path):
    """An empty or cut key signs nothing; a new one is made and old entries are misses."""
    made(doubled).run()
    (key,) = files(tmp_path / "home")
    for damaged in (b"", b"short"):
        key.write_bytes(damaged)
        assert hits(made(doubled).run()) == [False]
        assert len(key.read_bytes()) == 32
    assert hits(made(doubled).run()) == [True]
    assert files(tmp_path / "home") == [key]


@pytest.mark.parametrize("where", ["cache", "home"])
def test_a_folder_that_cannot_be_written_is_one_warning(where, folder, tmp_path):
    """The run goes on without a cache; the warning comes once and names the folder."""
    (tmp_path / where).write_text("a file where a folder should be")
    with pytest.warns(CacheWarning) as caught:
        result = made(doubled, replicates=3).run()
    assert len(caught) == 1
    assert str(caught[0].message).startswith(f"nothing is cached from here on: {folder} cannot be written (")
    assert caught[0].filename == __file__
    assert result.metrics.baseline["m"] == [1, 1, 1]
    assert result.errors == {}


def test_an_output_that_cannot_be_pickled_is_one_warning():
    """Generators and locks flow on; the step is called each time."""

    @cached
    def step(data):
        return (x for x in range(data + 2))

    with pytest.warns(CacheWarning) as caught:
        result = made(step, lambda data: (0, {"sum": sum(data)}), replicates=3).run()
    assert [str(warning.message) for warning in caught] == [
        "step 'step' is not cached: its output cannot be pickled (TypeError: cannot pickle 'generator' object)"
    ]
    assert result.metrics.baseline["sum"] == [3, 3, 3]


def test_an_input_without_content_is_one_warning():
    """A generator as input has no digest; the step runs."""

    @cached
    def step(data):
        return sum(data), {"sum": 3}

    with pytest.warns(CacheWarning) as caught:
        result = made(step, datasource=lambda ctx: (x for x in range(3)), replicates=3).run()
    assert [str(warning.message) for warning in caught] == [
        (
            "step 'step' is not cached: its input has no stable digest (value of type 'builtins.generator' has no stable "
            "digest: it cannot be described by data (cannot pickle 'generator' object). Say what counts with "
            "register_hasher('builtins.generator', function) or with a method __crystallize_digest__() of the class)"
        )
    ]
    assert result.metrics.baseline["sum"] == [3, 3, 3]


def test_a_parameter_without_content_is_one_warning():
    """A bound lock cannot be part of a key; the step runs and is not cached."""
    import threading

    @cached
    def step(data, lock):
        return data, {"m": 1}

    with pytest.warns(CacheWarning) as caught:
        result = made(functools.partial(step, lock=threading.Lock()), replicates=3).run()
    assert [str(warning.message) for warning in caught] == [
        (
            "step 'step' is not cached: its code or parameters have no stable digest (value[3]['lock'] of type "
            "'_thread.lock' has no stable digest: it cannot be described by data (cannot pickle '_thread.lock' object). "
            "Say what counts with register_hasher('_thread.lock', function) or with a method __crystallize_digest__() of "
            "the class)"
        )
    ]
    assert result.metrics.baseline["m"] == [1, 1, 1]


def test_a_read_without_content_is_one_warning():
    """A context value that has no digest keeps a step from being cached, not from running."""

    class Odd:
        def __deepcopy__(self, memo):
            return self

        def __reduce__(self):
            raise TypeError("no content")

    @cached
    def step(data, ctx):
        ctx["odd"]
        return data, {"m": 1}

    with pytest.warns(CacheWarning) as caught:
        result = made(step, initial_ctx={"odd": Odd()}, replicates=3).run()
    assert len(caught) == 1
    assert str(caught[0].message).startswith("step 'step' is not cached: something that it read has no stable digest (")
    assert result.metrics.baseline["m"] == [1, 1, 1]


def test_ten_megabytes_through_a_plain_step_are_not_looked_at():
    """Only cacheable steps look at their input."""

    class Refuses:
        def __reduce__(self):
            raise AssertionError("looked at")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert made(lambda data: Refuses(), lambda data: type(data).__name__).apply() == "Refuses"


# Processes ----------------------------------------------------------------------------------------

STUDY = """
    import json, sys
    from crystallize_core import Experiment, pipeline_step

    @pipeline_step(cacheable=True)
    def load(data, ctx):
        ctx.record("rows", len(data))
        return [x * 2 for x in data]

    @pipeline_step(cacheable=True)
    def per_replicate(data, ctx):
        return sum(data) + ctx["replicate"], {"sum": sum(data) + ctx["replicate"]}

    def run():
        experiment = Experiment(
            lambda ctx: list(range(20000)), [load, per_replicate], replicates=10, autoload=False
        )
        result = experiment.run(provenance="all")
        records = [record for cell in result.provenance["baseline"].values() for record in cell]
        return result, sum(record["cache_hit"] for record in records)
"""


def start(tmp_path: Path, script: str) -> subprocess.Popen[str]:
    study = tmp_path / "study.py"
    if not study.exists():  # another process may be reading it
        study.write_text(textwrap.dedent(STUDY))
    package = Path(crystallize_core.__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(package)]), "PYTHONWARNINGS": "error"}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        cwd=tmp_path,
    )


def test_an_entry_is_used_by_another_process(tmp_path):
    """What one process computed, the next one replays, whatever the seed of its hashes."""
    script = "import study\nresult, hits = study.run()\nprint(result.digest, hits)"
    outputs = []
    for _ in range(2):
        process = start(tmp_path, script)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        outputs.append(out.split())
    (first, cold), (second, warm) = outputs
    assert first == second
    assert (cold, warm) == ("9", "20")


def test_processes_at_once_share_one_cache(tmp_path, folder):
    """Four processes that start on an empty cache together all succeed and agree, and leave no half-written file."""
    script = """
        import sys, study
        sys.stdin.readline()
        result, hits = study.run()
        print(result.digest, len(result.errors))
    """
    processes = [start(tmp_path, script) for _ in range(4)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = []
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        outputs.append(out)
    assert len(set(outputs)) == 1
    assert outputs[0].endswith(" 0\n")
    assert not [path for path in files(folder) if path.name.startswith(".writing")]
    assert len(files(tmp_path / "home")) == 1
