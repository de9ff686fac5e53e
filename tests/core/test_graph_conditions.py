"""Conditions of steps: where they get what they ask about, and what becomes of a step whose condition does not hold."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from crystallize_core import (
    BasePlugin,
    DefinitionError,
    Experiment,
    Pipeline,
    PipelineResult,
    Skipped,
    WiringError,
    pipeline_step,
    step,
    unless,
    when,
)


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """No installed plugin takes part, and nothing is written into the checkout."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))


class Skips(BasePlugin):
    """Writes down what it is told of steps that are skipped, and which steps began."""

    plugin_name = "skips"
    concurrency = "serial"

    def __init__(self) -> None:
        self.skipped: list[tuple[str, str]] = []
        self.began: list[str] = []

    def run_experiment_loop(self, experiment, replicate_fn):
        return None

    def before_step(self, experiment, step, ctx):
        self.began.append(step.name)

    def step_skipped(self, experiment, step, ctx, reason):
        self.skipped.append((ctx.step_name, reason))


@step(cache=False)
def number():
    return 3


@step(cache=False)
def score():
    return {"accuracy": 0.9, "loss": 1}


def graph(steps: list[Any]) -> Pipeline:
    """A pipeline of these steps that keeps nothing on the disk."""
    return Pipeline(steps, enable_cache=False, checkpoint=False)


def fate(result: PipelineResult, name: str) -> tuple[str, Any]:
    """What became of a step, and why or with what."""
    found = result.step_results[name]
    return found.state, found.error or found.reason or found.output


def small(number):
    return number < 5


def large(number):
    return number > 5


# Where a condition gets what it asks about ------------------------------------------------------------


@pytest.mark.parametrize(("predicate", "expected"), [(small, ("ok", "ran")), (large, ("skipped", None))])
def test_a_condition_decides_whether_the_step_runs(predicate, expected):
    """A skipped step succeeded and has no output."""

    @step(cache=False, condition=predicate)
    def asked(number):
        return "ran"

    result = graph([number, asked]).run()
    found = result.step_results["asked"]
    assert (found.state, found.output) == expected
    assert (result.success, found.success, found.skipped) == (True, True, expected[0] == "skipped")
    assert ("asked" in result.outputs) is (expected[0] == "ok")


CONDITIONS = {
    "a parameter of its step": lambda number: number == 3,
    "an output that its step does not take": lambda score: score["loss"] == 1,
    "an input of the run": lambda limit: limit == 4,
    "a context value": lambda rate: rate == 0.5,
    "the context": lambda context: context.rate == 0.5,
    "the view of the run": lambda ctx: ctx["rate"] == 0.5,
    "an entry of an output": lambda accuracy: accuracy == 0.9,
    "several of these": lambda number, accuracy, limit, rate: (number, accuracy, limit, rate) == (3, 0.9, 4, 0.5),
    "nothing": lambda: True,
    "a default that nobody fills": lambda nothing=1: nothing == 1,
    "a name with a default that is filled": lambda number=0, rate=0: (number, rate) == (3, 0.5),
    "only by name": lambda *, number, rate: (number, rate) == (3, 0.5),
}


@pytest.mark.parametrize("places", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
@pytest.mark.parametrize("asks", CONDITIONS)
def test_a_condition_gets_what_it_names(asks, places):
    """Wherever the steps that make it were added: parameters of conditions make edges, entries are looked up last."""
    predicate = CONDITIONS[asks]
    given: dict[str, Any] = {"inputs": {"limit": 4}, "context": {"rate": 0.5}}

    @step(cache=False, condition=predicate)
    def wanted(number):
        return "ran"

    @step(cache=False, skip_if=predicate)
    def unwanted(number):
        return "ran"

    for asked, expected in ((wanted, "ok"), (unwanted, "skipped")):
        steps = [number, score, asked]
        result = graph([steps[place] for place in places]).run(**given)
        assert fate(result, asked.name)[0] == expected, result.summary()


def test_a_condition_that_needs_an_entry_sees_it_as_it_was_made():
    """Although the only step that takes the output changes it in place before."""

    @step(cache=False)
    def spoils(score):
        score["accuracy"] = 0

    @step(cache=False, condition=lambda accuracy: accuracy == 0.9)
    def asked():
        return "ran"

    experiment = Experiment(lambda ctx: 0, [score, spoils, asked], autoload=False)
    assert experiment.apply() == "ran"


def test_a_condition_may_ask_for_what_a_step_has_added_to_the_context():
    """Such a value is there once the step has run."""

    @step(cache=False)
    def adds(number, ctx):
        ctx.add("mode", "fast" if number == 3 else "slow")

    @step(cache=False, condition=lambda mode: mode == "fast")
    def asked(adds):
        return "ran"

    assert fate(graph([asked, adds, number]).run(), "asked") == ("ok", "ran")


def test_a_condition_that_asks_for_what_is_nowhere_fails_its_step():
    """The error says where it was looked for."""

    @step(cache=False, condition=lambda nowhere: True)
    def asked():
        return "ran"

    message = (
        "a condition needs 'nowhere', which is no parameter of its step, no output, input or context value, and no entry "
        "of an output that is a mapping; the entries before it are: none."
    )
    assert fate(graph([asked, number]).run(), "asked") == ("failed", f"WiringError: {message}")


@pytest.mark.parametrize(
    ("predicate", "runs"),
    [
        (lambda x: x == 3, True),
        (lambda x, y: (x, y) == (3, "b"), True),
        (lambda x, y=7: (x, y) == (3, "b"), True),
        (lambda *values: values == (3, "b"), True),
        (lambda b: b == "b", True),
        (lambda x, /: x > 5, False),
        (callable, False),
        (bool, True),
        ((3).__eq__, True),
    ],
    ids=range(9),
)
def test_a_guard_gets_the_leading_arguments_where_it_names_none(predicate, runs):
    """As many as it takes; a name that it shares with the step counts as a name. A direct call says the same."""

    @when(predicate)
    @step(cache=False)
    def guarded(number, b="b"):
        return "ran"

    @step(cache=False)
    @unless(predicate)
    def inverse(number, b="b"):
        return "ran"

    result = graph([number, guarded, inverse]).run()
    assert [result.step_results[name].state == "ok" for name in ("guarded", "inverse")] == [runs, not runs]
    assert [bool(guarded(3)), bool(inverse(3, "b"))] == [runs, not runs]


def test_a_guard_that_needs_more_than_there_is_is_an_error_before_anything_runs():
    """Its parameters are neither names that are known nor as many as the step has."""

    @step(cache=False)
    @when(lambda first, second: True)
    def one(number):
        return number

    @step(cache=False)
    @unless(lambda x, *, key: True)
    def two(number):
        return number

    with pytest.raises(WiringError) as info:
        Pipeline([number, one, two], name="p").run()
    assert str(info.value) == (
        "pipeline 'p': 2 problem(s)\n"
        "  step 'one': its condition '<lambda>' takes 'first', 'second', which are not all parameters of the step, "
        "outputs, inputs or context values; by position it would get 1\n"
        "  step 'two': its condition '<lambda>' takes 'x', 'key', which are not all parameters of the step, "
        "outputs, inputs or context values; by position it would get 1"
    )


@pytest.mark.parametrize("data", [50, 200, None])
def test_the_conditions_of_the_page(data):
    """`lambda x: x > 100` on `f(data)`, and `lambda x: x is None`."""

    @step(cache=False)
    @unless(lambda x: x is None)
    def process_if_exists(data):
        return "exists"

    @step(cache=False)
    @when(lambda x: x > 100)
    def expensive_path(data=0):
        return "expensive"

    result = graph([process_if_exists]).run(inputs={"data": data})
    assert result.step_results["process_if_exists"].state == ("skipped" if data is None else "ok")
    if data is not None:
        result = graph([expensive_path]).run(inputs={"data": data})
        assert result.step_results["expensive_path"].state == ("ok" if data > 100 else "skipped")


# Async predicates -------------------------------------------------------------------------------------


async def is_small(x):
    await asyncio.sleep(0)
    return x < 5


@pytest.mark.parametrize("value", [3, 7])
def test_a_pipeline_waits_for_an_async_predicate(value):
    """Around plain and async steps, under `run` and `arun`."""

    @step(cache=False)
    @when(is_small)
    def plain(x):
        return x

    @step(cache=False, condition=is_small)
    async def waits(x):
        return x

    pipeline = graph([plain, waits])
    for result in (pipeline.run(inputs={"x": value}), asyncio.run(pipeline.arun(inputs={"x": value}))):
        states = [found.state for found in result.step_results.values()]
        assert states == (["ok", "ok"] if value == 3 else ["skipped", "skipped"])


def test_a_direct_call_waits_for_an_async_predicate_or_says_that_it_cannot():
    """A coroutine would otherwise count as true."""

    @when(is_small)
    async def waits(x):
        return x

    @when(is_small)
    def plain(x):
        return x

    assert asyncio.run(waits(3)) == 3
    assert asyncio.run(waits(7)) == Skipped("waits", "condition 'is_small' is False")
    with pytest.raises(DefinitionError) as info:
        plain(7)
    assert str(info.value) == (
        "the condition 'is_small' of 'plain' has to be awaited, which a pipeline does and a direct call of a plain "
        "function cannot; write 'plain' as `async def`"
    )


# Any order of decorators ------------------------------------------------------------------------------


def _positive(x):
    return x > 0


def _huge(x):
    return x > 100


@pytest.mark.parametrize(
    "order", list(itertools.permutations([step(cache=False), when(_positive), unless(_huge)])), ids=range(6)
)
@pytest.mark.parametrize("maker", [None, pipeline_step()], ids=["step", "pipeline_step"])
def test_guards_stand_above_or_below_the_step_in_any_order(order, maker):
    """All of them have to hold; the step stays a step."""

    def body(data):
        return data + 1

    made: Any = body
    for decorator in order:
        made = maker(made) if maker is not None and decorator is order[_place_of_step(order)] else decorator(made)
    states = {value: graph([made]).run(inputs={"data": value}).step_results["body"].state for value in (5, -5, 500)}
    assert states == {5: "ok", -5: "skipped", 500: "skipped"}
    direct = made if maker is None else made()
    assert direct(5) == 6
    assert direct(-5) == Skipped("body", "condition '_positive' is False")
    assert direct(500) == Skipped("body", "unless '_huge' is True")


def _place_of_step(order):
    return next(at for at, decorator in enumerate(order) if decorator.__qualname__.startswith("step"))


def test_every_condition_of_a_step_has_to_hold():
    """An option, its opposite and guards together; the first one that does not hold is the reason."""

    @step(cache=False, condition=_positive, skip_if=lambda x: x == 1)
    @when(lambda x: x != 2)
    def asked(x):
        return x

    found = [fate(graph([asked]).run(inputs={"x": x}), "asked") for x in (-1, 1, 2, 3)]
    assert found == [
        ("skipped", "condition '_positive' is False"),
        ("skipped", "unless '<lambda>' is True"),
        ("skipped", "condition '<lambda>' is False"),
        ("ok", 3),
    ]


def test_a_predicate_is_asked_once():
    """In a pipeline by the engine, and not again by the function; called directly, by the function."""
    asked = []

    @step(cache=False)
    @when(lambda x: asked.append(x) is None)
    def guarded(x):
        return guarded(x - 1) if x else "end"

    assert fate(graph([guarded]).run(inputs={"x": 2}), "guarded") == ("ok", "end")
    assert asked == [2, 1, 0]


# What becomes of others -------------------------------------------------------------------------------


@step(cache=False, condition=large)
def skipped(number):
    return number


def test_those_that_need_what_was_skipped_are_skipped_and_others_get_their_default():
    """Down the graph; a condition that needs it counts as well, and so does one of several inputs."""

    @step(cache=False)
    def needs(skipped):
        return skipped

    @step(cache=False)
    def needs_that(needs, number):
        return needs

    @step(cache=False, condition=lambda skipped: True)
    def asks():
        return 1

    @step(cache=False)
    def defaulted(skipped="default"):
        return skipped

    @step(cache=False)
    def after_default(defaulted):
        return defaulted

    spy = Skips()
    result = graph([needs_that, needs, skipped, asks, after_default, defaulted, number]).run(executor=spy)
    assert {name: fate(result, name) for name in result.step_results} == {
        "number": ("ok", 3),
        "skipped": ("skipped", "condition 'large' is False"),
        "needs": ("skipped", "it needs output 'skipped' of 'skipped', which was skipped"),
        "needs_that": ("skipped", "it needs output 'needs' of 'needs', which was skipped"),
        "asks": ("skipped", "it needs output 'skipped' of 'skipped', which was skipped"),
        "defaulted": ("ok", "default"),
        "after_default": ("ok", "default"),
    }
    assert (result.success, dict(result.outputs).keys()) == (True, {"number", "defaulted", "after_default"})
    states = [(name, found.reason) for name, found in result.step_results.items() if found.skipped]
    assert spy.skipped == states
    assert spy.began == ["number", "defaulted", "after_default"]


def test_a_step_of_several_outputs_that_is_skipped_makes_none_of_them():
    """Each taker has its own lot."""

    @step(outputs=["a", "b"], cache=False, condition=large)
    def pair(number):
        return 1, 2

    @step(cache=False)
    def takes(a, b=5):
        return a

    @step(cache=False)
    def defaults(a=1, b=5):
        return a, b

    result = graph([number, pair, takes, defaults]).run()
    assert fate(result, "takes") == ("skipped", "it needs output 'a' of 'pair', which was skipped")
    assert fate(result, "defaults") == ("ok", (1, 5))


def test_a_failure_weighs_more_than_a_skip():
    """A step that needs both did not run, which is no success."""

    @step(cache=False)
    def fails():
        raise ValueError

    @step(cache=False)
    def needs_both(skipped, fails):
        return 1

    result = graph([number, skipped, fails, needs_both]).run()
    assert fate(result, "needs_both") == ("not run", "it needs output 'fails' of 'fails', which failed")


def test_data_that_the_step_before_did_not_make_is_missing():
    """A chain of steps whose first one is skipped is skipped as a whole, and its output is None."""
    first = when(lambda data: data > 5)(pipeline_step()(lambda data: data))
    second = pipeline_step()(_plus_one)
    spy = Skips()
    experiment = Experiment(lambda ctx: 1, [first, second], plugins=[spy], autoload=False)
    assert experiment.apply() is None
    assert spy.skipped == [
        ("<lambda>", "condition '<lambda>' is False"),
        ("_plus_one", "it needs output '<lambda>' of '<lambda>', which was skipped"),
    ]


def _plus_one(data):
    return data + 1


# Conditions that raise --------------------------------------------------------------------------------


class Undecided:
    def __bool__(self):
        raise ValueError("neither")


@pytest.mark.parametrize(
    ("predicate", "text"),
    [
        (lambda number: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda number: Undecided(), "ValueError: neither"),
        (lambda number: next(iter(())), "StopIteration"),
        (lambda number: int("x"), "ValueError: invalid literal for int() with base 10: 'x'"),
    ],
    ids=["raises", "has no truth", "ends", "value"],
)
def test_an_exception_in_a_condition_is_a_failure_of_its_step(predicate, text):
    """With that very exception; the step does not run, and what needs it neither."""
    ran = []

    @step(cache=False, condition=predicate)
    def asked(number):
        ran.append(number)

    @step(cache=False)
    def needs(asked):
        return asked

    result = graph([number, asked, needs]).run()
    assert fate(result, "asked") == ("failed", text)
    assert type(result.step_results["asked"].exception).__name__ == text.partition(":")[0]
    assert fate(result, "needs") == ("not run", "it needs output 'asked' of 'asked', which failed")
    assert ran == []


def test_an_interruption_in_a_condition_propagates():
    """Ctrl-C is no answer."""

    def interrupts():
        raise KeyboardInterrupt

    @step(cache=False, condition=interrupts)
    def asked():
        return 1

    with pytest.raises(KeyboardInterrupt):
        graph([asked]).run()


# Skipped ----------------------------------------------------------------------------------------------


def test_skipped_is_false_and_says_why():
    """It can be told from every output."""

    @when(lambda x: x > 0)
    def guarded(x):
        return x

    found = guarded(-1)
    assert found == Skipped(step="guarded", reason="condition '<lambda>' is False")
    assert not found


@pytest.mark.parametrize("asks_late", [False, True])
def test_a_step_may_say_itself_that_it_is_skipped(asks_late):
    """By returning `Skipped`, at once or when it is awaited; what it wrote is dropped."""

    @step(cache=False)
    def itself(ctx):
        ctx.record("lost", 1)
        return Skipped("itself", "nothing to do")

    @step(cache=False, name="itself")
    async def awaited(ctx):
        ctx.record("lost", 1)
        return Skipped("itself", "nothing to do")

    @step(cache=False)
    def needs(itself):
        return itself

    spy = Skips()
    result = Pipeline([awaited if asks_late else itself, needs]).run(executor=spy)
    assert fate(result, "itself") == ("skipped", "nothing to do")
    assert spy.skipped == [
        ("itself", "nothing to do"),
        ("needs", "it needs output 'itself' of 'itself', which was skipped"),
    ]
    assert (result.metrics, dict(result.outputs), result.success) == ({}, {}, True)


def test_a_step_that_calls_a_guarded_one_may_pass_its_marker_on():
    """What comes back of a direct call never becomes an output."""

    @when(lambda x: x > 0)
    def inner(x):
        return x

    @step(cache=False)
    def outer(number):
        return inner(-number)

    result = Pipeline([number, outer]).run()
    assert fate(result, "outer") == ("skipped", "condition '<lambda>' is False")
    assert "outer" not in result.outputs


@pytest.mark.parametrize("observed", [True, False])
def test_in_a_chain_plugins_hear_of_what_is_skipped_too(observed):
    """Also in cells that nobody observes."""
    skips = pipeline_step()(lambda data: Skipped("first", "nothing to do"))
    spy = Skips()
    experiment = Experiment(lambda ctx: 1, [skips, _plus_one], plugins=[spy], autoload=False, replicates=1)
    experiment.run(provenance="first" if observed else "none")
    assert spy.skipped == [
        ("<lambda>", "nothing to do"),
        ("_plus_one", "it needs the output of '<lambda>', which was skipped"),
    ]


@pytest.mark.parametrize("cache", ["code_hash", "input_hash", lambda step, inputs, context: "key"])
def test_a_skip_is_neither_read_from_the_cache_nor_written_to_it(cache):
    """The condition is asked first, and asked again in every run."""

    @step(cache=cache, condition=lambda wanted: wanted)
    def asked():
        return "ran"

    @step(cache=cache)
    def says_so(wanted):
        return "ran" if wanted else Skipped("says_so", "not wanted")

    pipeline = Pipeline([asked, says_so])
    states = [
        [found.state for found in pipeline.run(inputs={"wanted": wanted}, resume=at > 0).step_results.values()]
        for at, wanted in enumerate([False, False, True, True, False])
    ]
    own_key = callable(cache)  # then one key stands for everything, also for what is wanted
    assert states == [
        ["skipped", "skipped"],
        ["skipped", "skipped"],
        ["ok", "ok"],
        ["cached", "cached"],
        ["skipped", "cached" if own_key else "skipped"],
    ]


def test_what_a_condition_reads_is_no_dependency_of_the_output():
    """Another value with the same answer is a hit."""

    @step(condition=lambda ctx: ctx["budget"] > 0)
    def asked():
        return "ran"

    pipeline = Pipeline([asked])
    assert [pipeline.run(context={"budget": n}).step_results["asked"].state for n in (1, 2)] == ["ok", "cached"]


def test_a_condition_cannot_write():
    """What it puts into the context is gone."""

    @step(cache=False, condition=lambda ctx: ctx.record("lost", 1) is None)
    def asked():
        return 1

    result = Pipeline([asked]).run()
    assert (fate(result, "asked"), result.metrics) == (("ok", 1), {})
