"""Execution groups: steps that run back to back in one worker, with everything else as outside of groups."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core import (
    BasePlugin,
    Experiment,
    GPUConfig,
    Pipeline,
    ResourceRequest,
    WiringError,
    pipeline_step,
    step,
)
from crystallize_core.wiring.groups import StepGroup
from crystallize_core.wiring.order import units_of


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """No installed plugin takes part, and nothing is written into the checkout."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))


class Spy(BasePlugin):
    """Writes down the hooks that it gets; lets steps run side by side where `workers` says so."""

    plugin_name = "spy"

    def __init__(self, concurrency="serial", workers=1):
        self.concurrency, self.step_workers = concurrency, workers
        self.log: list[tuple[str, ...]] = []

    def run_experiment_loop(self, experiment, replicate_fn):
        return None

    def before_step(self, experiment, step, ctx):
        self.log.append(("before", step.name))

    def after_step(self, experiment, step, data, ctx):
        self.log.append(("after", step.name, str(data)))

    def step_failed(self, experiment, step, ctx, error, attempt):
        self.log.append(("failed", step.name, repr(error)))

    def step_skipped(self, experiment, step, ctx, reason):
        self.log.append(("skipped", step.name, reason))


def made(name: str, takes: str = "", group: str | None = "g", **options: Any):
    """A step that adds up what it takes, plus one."""
    scope: dict[str, Any] = {}
    exec(f"def {name}({takes}):\n    return sum([{takes}], 1)", scope)
    return step(cache=False, execution_group=group, **options)(scope[name])


def unit_names(*steps: Any) -> list[tuple[str, ...]]:
    """The units of groups, each as its name and its steps."""
    return [(found.name, *found.steps) for found in Pipeline(steps).groups()]


def order(*steps: Any) -> list[str]:
    """The steps in the order in which they run."""
    return list(Pipeline(steps, checkpoint=False).run().step_results)


# Units ------------------------------------------------------------------------------------------------


def test_a_group_is_one_unit_where_nothing_comes_between():
    """Its steps run back to back, although others were added between them."""
    steps = made("a"), made("x", group=None), made("b", "a"), made("y", "x", group=None), made("c", "b")
    assert unit_names(*steps) == [("g_0", "a", "b", "c")]
    assert order(*steps) == ["a", "b", "c", "x", "y"]


def test_a_group_is_split_where_another_step_must_run_between():
    """What can still run before it joins the earlier unit, wherever it was added."""
    steps = made("c", "x"), made("a"), made("x", "a", group=None), made("b", "a"), made("d", "c")
    assert unit_names(*steps) == [("g_0", "a", "b"), ("g_1", "c", "d")]
    assert order(*steps) == ["a", "b", "x", "c", "d"]


def test_two_groups_that_alternate_are_split_at_each_turn():
    """Each unit has its own number."""
    steps = made("a"), made("b", "a", "h"), made("c", "b"), made("d", "c", "h")
    assert unit_names(*steps) == [("g_0", "a"), ("h_0", "b"), ("g_1", "c"), ("h_1", "d")]


def test_grouping_never_makes_a_cycle():
    """Two groups of which each has a step before one of the other: one of them is split."""
    steps = made("a1"), made("b1", "", "h"), made("b2", "a1", "h"), made("a2", "b1")
    assert unit_names(*steps) == [("g_0", "a1"), ("h_0", "b1", "b2"), ("g_1", "a2")]
    assert sorted(order(*steps)) == ["a1", "a2", "b1", "b2"]


def test_a_group_of_one_step_is_a_unit():
    """Groups are told apart by name, also where one looks like the unit of another."""
    steps = made("a", group="g"), made("b", group="g_0"), made("c", group="g")
    assert unit_names(*steps) == [("g_0", "a", "c"), ("g_0_0", "b")]


def test_a_chain_may_have_groups():
    """A `pipeline_step` takes the option as well, and gets what the step before it returned."""
    plus, twice = (pipeline_step(execution_group="g")(f) for f in (_plus, _twice))
    pipeline = Pipeline([plus, twice], checkpoint=False)
    assert [(found.name, found.steps) for found in pipeline.groups()] == [("g_0", ("_plus", "_twice"))]
    assert pipeline.run(3) == 8


def _plus(data):
    return data + 1


def _twice(data):
    return data * 2


def test_groups_add_up_what_their_steps_need():
    """The most of each amount, the best GPU, and all labels; nothing where nothing is asked for."""
    steps = [
        made("a", resources={"cpu": 2, "memory": "1Gi", "affinity": ["zone=eu"]}),
        made("b", "a", resources={"cpu": 1, "memory": "4Gi", "gpu": "nvidia-tesla-v100"}),
        made("c", "b", resources={"gpu": 2, "affinity": ["disk=ssd"]}),
        made("x", group=None, resources={"cpu": 64}),
        made("d", group="h"),
    ]
    both = ResourceRequest(
        cpu=2,
        memory="4Gi",
        gpu=GPUConfig("nvidia-tesla-v100", 2),
        affinity=["disk=ssd", "zone=eu"],
    )
    assert Pipeline(steps).groups() == [
        StepGroup("g_0", ("a", "b", "c"), both),
        StepGroup("h_0", ("d",), ResourceRequest()),
    ]


def test_the_record_of_a_group_cannot_be_changed():
    """It says what will be, not what should be."""
    (found,) = Pipeline([made("a")]).groups()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        found.name = "other"


def test_groups_of_what_cannot_be_put_in_order_are_an_error():
    """The same one as that of a run."""
    with pytest.raises(WiringError, match=r"steps wait for each other: a -> b -> a"):
        Pipeline([made("a", "b"), made("b", "a")]).groups()


@st.composite
def grouped(draw):
    """What each of some steps waits for, in any order of adding, and the groups of some of them."""
    count = draw(st.integers(1, 12))
    places = draw(st.permutations(range(count)))
    waits: list[set[int]] = [set() for _ in range(count)]
    for at in range(1, count):
        waits[places[at]] = {places[other] for other in draw(st.sets(st.integers(0, at - 1), max_size=3))}
    groups = draw(st.dictionaries(st.integers(0, count - 1), st.sampled_from("gh")))
    return waits, groups


def reaches(waits: list[set[int]], units: list[list[int]]) -> bool:
    """Whether a walk from unit to unit, each waiting for the next, comes back to where it began."""
    unit_of = {step: at for at, unit in enumerate(units) for step in unit}
    before = {at: {unit_of[o] for s in unit for o in waits[s]} - {at} for at, unit in enumerate(units)}
    while free := [at for at, others in before.items() if not others]:
        for at in free:
            del before[at]
        before = {at: others - set(free) for at, others in before.items()}
    return bool(before)


@given(grouped())
def test_units_are_as_few_as_can_be_without_waiting_for_each_other(drawn):
    """Each step is in one unit of its own group, after what it waits for; no two units of a group can be joined."""
    waits, groups = drawn
    units = units_of(waits, groups)
    flat = [step for unit in units for step in unit]
    assert sorted(flat) == list(range(len(waits)))
    assert all(flat.index(other) < flat.index(step) for step in flat for other in waits[step])
    assert all(len({groups.get(step, f"alone {step}") for step in unit}) == 1 for unit in units)
    for one, other in itertools.combinations(units, 2):
        if groups.get(one[0], 0) == groups.get(other[0], 1):
            rest = [unit for unit in units if unit not in (one, other)]
            assert reaches(waits, [*rest, one + other])


def test_hundreds_of_steps_in_groups_are_put_in_order_at_once():
    """Groups that take turns are the worst case: 150 units of each."""
    waits = [{at - 1} if at else set() for at in range(600)]
    began = time.process_time()
    assert len(units_of(waits, {at: "gh"[at % 2] for at in range(600)})) == 600
    assert time.process_time() - began < 5  # it took minutes when each step was tried in each unit from scratch


# Everything inside is as outside ----------------------------------------------------------------------


def steps_of_all_kinds(group: str | None) -> list[Any]:
    """Steps that succeed, fail, are skipped, wait, record metrics and take data."""
    given = {"cache": False, "execution_group": group}

    @step(**given)
    def first(ctx):
        ctx.record("first", 1)
        return 1

    @step(**given, condition=lambda first: first > 1)
    def skipped(first):
        return first

    @step(**given)
    def needs_skipped(skipped):
        return skipped

    @step(**given)
    def defaulted(skipped=7):
        return skipped

    @step(**given)
    def fails(first):
        raise ValueError("no")

    @step(**given)
    def needs_fails(fails):
        return fails

    @step(**given, outputs=["a", "b"])
    async def pair(first, ctx):
        await asyncio.sleep(0)
        ctx.record("pair", first)
        return first, first + 1

    @step(**given)
    def both(a, b, ctx):
        return a + b + len(ctx.metrics)

    return [first, skipped, needs_skipped, defaulted, fails, needs_fails, pair, both]


def run_of(group: str | None, spy: Spy) -> tuple[Any, ...]:
    pipeline = Pipeline(steps_of_all_kinds(group), name="p", checkpoint=False)
    result = asyncio.run(pipeline.arun(executor=spy)) if spy.concurrency == "async" else pipeline.run(executor=spy)
    found = {name: (r.state, r.error, r.reason, r.output) for name, r in result.step_results.items()}
    return list(found.items()), dict(result.outputs), result.metrics, str(result.error), result.record.digest


@pytest.mark.parametrize(("concurrency", "workers"), [("serial", 1), ("thread", 4), ("async", 8)])
def test_a_group_changes_nothing_but_where_steps_run(concurrency, workers):
    """Hooks, conditions, failures, outputs, metrics and the digest are those of the same steps without a group."""
    plain, spy = Spy(), Spy(concurrency, workers)
    assert run_of("g", spy) == run_of(None, plain)
    assert spy.log == plain.log
    assert [event for event in plain.log if event[0] != "before"] == [
        ("after", "first", "1"),
        ("skipped", "skipped", "condition '<lambda>' is False"),
        ("skipped", "needs_skipped", "it needs output 'skipped' of 'skipped', which was skipped"),
        ("after", "defaulted", "7"),
        ("failed", "fails", "ValueError('no')"),
        ("after", "pair", "(1, 2)"),
        ("after", "both", "5"),
    ]


@pytest.mark.parametrize("group", [None, "g"])
@pytest.mark.parametrize(("concurrency", "workers"), [("serial", 1), ("thread", 4)])
def test_the_cache_and_resuming_know_no_groups(group, concurrency, workers, tmp_path):
    """A cached step is a hit inside of a group, and a run that failed goes on where it ended."""
    fixed = str(tmp_path / "fixed")

    @step(execution_group=group)
    def cached():
        return 1

    @step(cache=False, execution_group=group)
    def kept(cached):
        return cached + 1

    @step(cache=False, execution_group=group)
    def fails_at_first(kept):
        return kept + len(Path(fixed).read_text(encoding="utf-8"))

    pipeline = Pipeline([cached, kept, fails_at_first])
    states = [[r.state for r in pipeline.run(executor=Spy(concurrency, workers)).step_results.values()]]
    states += [[r.state for r in pipeline.run(executor=Spy(concurrency, workers)).step_results.values()]]
    (tmp_path / "fixed").write_text("four")
    resumed = pipeline.run(resume=True, executor=Spy(concurrency, workers))
    assert states == [["ok", "ok", "failed"], ["cached", "ok", "failed"]]
    assert [(r.state, r.resumed) for r in resumed.step_results.values()] == [
        ("cached", True),
        ("cached", True),
        ("ok", False),
    ]
    assert resumed["fails_at_first"] == 6


@pytest.mark.parametrize("group", [None, "g"])
def test_a_missing_parameter_is_an_error_before_anything_runs(group):
    """All of them, whatever unit they are in."""
    ran = []

    @step(cache=False, execution_group=group)
    def runs():
        ran.append("runs")

    @step(cache=False, execution_group=group)
    def lacks(runs, rate, depth):
        return runs

    with pytest.raises(WiringError) as info:
        Pipeline([runs, lacks], name="p").run()
    assert [line.partition(" is ")[0] for line in str(info.value).splitlines()] == [
        "pipeline 'p': 2 problem(s)",
        "  step 'lacks': parameter 'rate'",
        "  step 'lacks': parameter 'depth'",
    ]
    assert ran == []


def test_the_steps_of_a_unit_run_in_one_thread_and_other_units_beside_it():
    """A unit is not torn apart, and two units overlap."""
    barrier = threading.Barrier(2, timeout=10)
    threads: dict[str, int] = {}

    def noted(name, takes, group, *, meets=False):
        def body(*_):
            threads[name] = threading.get_ident()
            if meets:
                barrier.wait()

        scope: dict[str, Any] = {"body": body}
        exec(f"def {name}({takes}):\n    return body({takes})", scope)
        return step(cache=False, execution_group=group)(scope[name])

    steps = [
        noted("a", "", "g"),
        noted("b", "a", "g", meets=True),
        noted("c", "b", "g"),
        noted("x", "", "h"),
        noted("y", "x", "h"),
        noted("alone", "", None, meets=True),
    ]
    Pipeline(steps, checkpoint=False).run(executor=Spy("thread", 4)).raise_for_status()
    assert threads["a"] == threads["b"] == threads["c"]
    assert threads["x"] == threads["y"]
    assert threads["alone"] != threads["b"]


def test_an_experiment_has_groups_too():
    """Under every condition and in every replicate."""
    steps = [made("a", "data"), made("x", "a", None), made("b", "a"), made("c", "x, b")]
    for plugins in ([], [Spy("thread", 4)]):
        experiment = Experiment(lambda ctx: ctx["replicate"], steps, replicates=2, plugins=plugins, autoload=False)
        assert [experiment.apply(replicate=number) for number in (0, 1)] == [5, 7]
