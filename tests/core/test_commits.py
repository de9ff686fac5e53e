"""A step commits or leaves no trace: whatever an attempt wrote is visible once it has succeeded, and never before."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crystallize_core import BasePlugin, Event, Experiment, Pipeline, StepError, pipeline_step


class Again(BasePlugin):
    """A policy that tries each step as often as its option says, and notes the failures that it is told of."""

    def __init__(self):
        self.failures: list[tuple[str, int, str]] = []
        self.starts: list[tuple[str, int]] = []
        self.finished: list[tuple[str, int]] = []

    def step_options(self):
        return {"tries": int}

    def wrap_step(self, experiment, step, call):
        tries = step.options.get("tries")
        if tries is None:
            return None

        def policy(data, ctx):
            for attempt in range(1, tries + 1):
                try:
                    return call(data, ctx)
                except Exception:
                    if attempt == tries:
                        raise
            return None

        async def async_policy(data, ctx):
            for attempt in range(1, tries + 1):
                try:
                    return await call(data, ctx)
                except Exception:
                    if attempt == tries:
                        raise
            return None

        return async_policy if step.is_async else policy

    def before_step(self, experiment, step, ctx):
        self.starts.append((ctx.step_name, ctx.attempt))

    def after_step(self, experiment, step, data, ctx):
        self.finished.append((ctx.step_name, ctx.attempt))

    def step_failed(self, experiment, step, ctx, error, attempt):
        self.failures.append((ctx.step_name, attempt, str(error)))


def outcome_of(*steps: Any, plugin: Any = None) -> Any:
    """The outcome of the only cell of an experiment of these steps."""
    experiment = Experiment(lambda ctx: 0, list(steps), plugins=[plugin or Again()], autoload=False)
    return next(experiment.stream())["baseline"]


def write_all(ctx, attempt):
    """Write everything that a step can write."""
    ctx.record("metric", attempt)
    ctx.artifacts.add("file", str(attempt))
    ctx.add("key", attempt)
    ctx.emit("event", attempt=attempt)


def read_back(data, ctx):
    """What a later step sees of it."""
    return (ctx.get("key"), ctx.metrics["metric"])


# Failed attempts ----------------------------------------------------------------------------------


def test_a_failed_attempt_leaves_nothing():
    """Metrics, artifacts, additions and events of failed attempts are gone; those of the last one are there."""

    @pipeline_step(tries=3)
    def unsteady(data, ctx):
        write_all(ctx, ctx.attempt)
        if ctx.attempt < 3:
            raise ValueError("not yet")
        return data

    outcome = outcome_of(unsteady, read_back)
    assert outcome.error is None
    assert outcome.metrics == [("metric", 3, None)]
    assert [artifact.read() for artifact in outcome.artifacts] == [b"3"]
    assert outcome.events == [Event("event", {"attempt": 3}, 0, "baseline", "unsteady")]


def test_a_failed_attempt_of_an_async_step_leaves_nothing():
    """The same holds for `async def` steps."""

    @pipeline_step(tries=2)
    async def unsteady(data, ctx):
        write_all(ctx, ctx.attempt)
        if ctx.attempt < 2:
            raise ValueError("not yet")
        return data

    outcome = outcome_of(unsteady)
    assert outcome.metrics == [("metric", 2, None)]
    assert [event.payload for event in outcome.events] == [{"attempt": 2}]


def test_the_next_attempt_starts_from_the_same_state():
    """An attempt sees no key, metric or changed value of the one before."""
    seen = []

    @pipeline_step(tries=2)
    def unsteady(data, ctx, rows):
        seen.append((list(rows), list(ctx["rows"]), "key" in ctx, ctx.metrics["metric"], len(ctx.artifacts)))
        rows.append("changed")
        write_all(ctx, ctx.attempt)
        if ctx.attempt == 1:
            raise ValueError("not yet")
        return data

    experiment = Experiment(lambda ctx: 0, [unsteady], [Again()], initial_ctx={"rows": [1]}, autoload=False)
    experiment.apply()
    assert seen == [([1], [1], False, (), 0)] * 2


def test_a_step_that_fails_for_good_leaves_nothing():
    """What earlier steps committed is kept with the failed cell; what the failed step wrote is not."""

    def first(data, ctx):
        ctx.record("first", 1)
        ctx.emit("done")
        return data

    def fails(data, ctx):
        write_all(ctx, 1)
        raise ValueError("always")

    outcome = outcome_of(first, fails)
    assert outcome.metrics == [("first", 1, None)]
    assert outcome.artifacts == []
    assert [event.name for event in outcome.events] == ["done"]
    assert str(outcome.error) == (
        "step 'fails' failed: ValueError: always "
        "[experiment 'experiment', replicate 0, condition 'baseline', step 'fails']"
    )


def test_returned_metrics_of_a_failed_pair_leave_nothing():
    """A returned mapping one of whose names is wrong records none of the others."""
    outcome = outcome_of(lambda data: (data, {"good": 1, 5: 2}))
    assert outcome.metrics == []
    assert outcome.error is not None


def test_nothing_is_visible_before_the_step_has_ended():
    """Events and metrics of a running step are seen by nobody else; its own view has them."""
    seen = []

    class Watch(BasePlugin):
        def after_step(self, experiment, step, data, ctx):
            seen.append(("after", step.name, ctx.metrics["metric"], ctx["key"], [a.name for a in ctx.artifacts]))

    def writes(data, ctx):
        write_all(ctx, 1)
        seen.append(("inside", ctx["key"], ctx.metrics["metric"], ctx.artifacts["file"].read()))
        return data

    outcome_of(writes, plugin=Watch())
    assert seen == [("inside", 1, (1,), b"1"), ("after", "writes", (1,), 1, ["file"])]


def test_a_hook_writes_after_the_step():
    """What a plugin records in `after_step` is kept with the cell."""

    class Measures(BasePlugin):
        def after_step(self, experiment, step, data, ctx):
            ctx.record("size", data)
            ctx.emit("measured", by="plugin")
            ctx.artifacts.add("note.txt", "from the hook")
            ctx.add("noted", step.name)

    def look(data, ctx):
        return data, {"seen": ctx["noted"]} if "noted" in ctx else {}

    class Once(Measures):
        def after_step(self, experiment, step, data, ctx):
            if step.name == "first":
                super().after_step(experiment, step, data, ctx)

    def first(data, ctx):
        ctx.record("own", 1)
        ctx.artifacts.add("own.txt", "from the step")
        return data

    outcome = outcome_of(first, look, plugin=Once())
    assert outcome.metrics == [("own", 1, None), ("size", 0, None), ("seen", "first", None)]
    assert [event.name for event in outcome.events] == ["measured"]
    assert [(artifact.name, artifact.step) for artifact in outcome.artifacts] == [
        ("own.txt", "first"),
        ("note.txt", "first"),
    ]


def test_a_hook_before_the_step_writes_with_the_attempt():
    """What `before_step` writes belongs to the attempt: it is gone when that fails."""

    class Notes(Again):
        def before_step(self, experiment, step, ctx):
            ctx.record("attempt", ctx.attempt)

    @pipeline_step(tries=2)
    def unsteady(data, ctx):
        if ctx.attempt == 1:
            raise ValueError("not yet")
        return data

    assert outcome_of(unsteady, plugin=Notes()).metrics == [("attempt", 2, None)]


# Which hooks are called ---------------------------------------------------------------------------


def test_every_attempt_is_announced_and_every_failure_told():
    """`before_step` comes with each attempt, `step_failed` with each failure, `after_step` once."""
    plugin = Again()

    @pipeline_step(tries=3)
    def unsteady(data, ctx):
        if ctx.attempt < 3:
            raise ValueError(f"attempt {ctx.attempt}")
        return data

    outcome_of(unsteady, plugin=plugin)
    assert plugin.starts == [("unsteady", 1), ("unsteady", 2), ("unsteady", 3)]
    assert plugin.failures == [("unsteady", 1, "attempt 1"), ("unsteady", 2, "attempt 2")]
    assert plugin.finished == [("unsteady", 3)]


@pytest.mark.parametrize("options", [{}, {"tries": 2}], ids=["without policy", "with policy"])
def test_the_last_failure_is_told_once(options):
    """`step_failed` is called once per failed attempt, with and without a policy."""
    plugin = Again()

    @pipeline_step(**options)
    def fails(data, ctx):
        raise ValueError(f"attempt {ctx.attempt}")

    outcome_of(fails, plugin=plugin)
    tries = options.get("tries", 1)
    assert plugin.failures == [("fails", attempt, f"attempt {attempt}") for attempt in range(1, tries + 1)]
    assert plugin.finished == []


def test_a_step_without_the_option_costs_no_policy():
    """`wrap_step` that answers None leaves the step alone."""
    plugin = Again()

    @pipeline_step()
    def fails(data, ctx):
        raise ValueError("once")

    outcome_of(fails, plugin=plugin)
    assert plugin.failures == [("fails", 1, "once")]


def test_attempts_are_counted_in_the_provenance():
    """The record of a step says which attempt succeeded."""

    @pipeline_step(tries=3)
    def unsteady(data, ctx):
        if ctx.attempt < 2:
            raise ValueError("not yet")
        return data

    result = Experiment(lambda ctx: 0, [unsteady], [Again()], autoload=False).run()
    assert result.provenance["baseline"][0][0]["attempts"] == 2


# Attempts that were given up ----------------------------------------------------------------------


class Impatient(BasePlugin):
    """A policy that runs a step in a thread and gives it up when it is told to, as a timeout does."""

    def __init__(self):
        self.pool = ThreadPoolExecutor(2)
        self.running, self.give_up, self.may_end = threading.Event(), threading.Event(), threading.Event()
        self.late: Any = None
        self.failures: list[tuple[int, str]] = []

    def wrap_step(self, experiment, step, call):
        if step.name != "slow":
            return None

        def policy(data, ctx):
            self.late = self.pool.submit(call, data, ctx)
            assert self.running.wait(10)
            ctx.abandon(TimeoutError("too slow"))
            if self.retries:
                return self.pool.submit(call, data, ctx).result(10)
            raise TimeoutError("too slow")

        return policy

    retries = False

    def step_failed(self, experiment, step, ctx, error, attempt):
        self.failures.append((attempt, str(error)))


def test_an_abandoned_attempt_that_ends_later_commits_nothing():
    """A step that goes on in a thread after it was given up writes into a view that nobody commits."""
    plugin = Impatient()

    def slow(data, ctx):
        ctx.record("early", 1)
        plugin.running.set()
        assert plugin.may_end.wait(10)
        write_all(ctx, 1)
        return "late"

    experiment = Experiment(lambda ctx: 0, [slow], [plugin], autoload=False)
    stream = experiment.stream()
    outcome = next(stream)["baseline"]
    plugin.may_end.set()
    assert plugin.late.result(10) == "late"
    assert (outcome.metrics, outcome.artifacts, outcome.events) == ([], [], [])
    assert isinstance(outcome.error, StepError)
    assert isinstance(outcome.error.__cause__, TimeoutError)
    stream.close()
    assert list(stream.result.rows()) == []
    assert plugin.failures == [(1, "too slow")]


def test_an_abandoned_attempt_does_not_disturb_the_next_one():
    """The attempt after the abandoned one counts, even if the abandoned one ends first."""
    plugin = Impatient()
    plugin.retries = True

    def slow(data, ctx):
        if ctx.attempt == 1:
            plugin.running.set()
            assert plugin.may_end.wait(10)
            write_all(ctx, 1)
            return "late"
        plugin.may_end.set()
        assert plugin.late.result(10) == "late"  # the abandoned attempt has ended, successfully, meanwhile
        write_all(ctx, 2)
        return "in time"

    experiment = Experiment(
        lambda ctx: 0, [slow, lambda data, ctx: (data, *read_back(data, ctx))], [plugin], autoload=False
    )
    assert experiment.apply() == ("in time", 2, (2,))
    assert plugin.failures == [(1, "too slow")]


def test_an_abandoned_attempt_that_fails_later_is_told_once():
    """What an abandoned attempt raises afterwards is nobody's business any more."""
    plugin = Impatient()

    def slow(data, ctx):
        plugin.running.set()
        assert plugin.may_end.wait(10)
        raise ValueError("late failure")

    trace = Experiment(lambda ctx: 0, [slow], [plugin], autoload=False).debug()
    plugin.may_end.set()
    with pytest.raises(ValueError, match="late failure"):
        plugin.late.result(10)
    assert str(trace.error.__cause__) == "too slow"
    assert plugin.failures == [(1, "too slow")]


def test_a_policy_may_answer_without_an_attempt():
    """A policy that answers itself (a fallback) commits what it wrote, and nothing of failed attempts."""

    class Fallback(BasePlugin):
        def wrap_step(self, experiment, step, call):
            def policy(data, ctx):
                try:
                    return call(data, ctx)
                except ValueError:
                    ctx.emit("fallback", step=ctx.step_name)
                    return "instead", {"fallback": 1}

            return policy

    def fails(data, ctx):
        write_all(ctx, 1)
        raise ValueError("always")

    outcome = outcome_of(fails, plugin=Fallback())
    assert outcome.error is None
    assert outcome.metrics == [("fallback", 1, None)]
    assert [event.name for event in outcome.events] == ["fallback"]
    assert outcome.artifacts == []


def test_what_a_policy_says_is_committed_with_the_step():
    """Events of the policy come with those of the attempt that succeeded."""

    class Tells(BasePlugin):
        def wrap_step(self, experiment, step, call):
            def policy(data, ctx):
                ctx.emit("policy")
                return call(data, ctx)

            return policy

    outcome = outcome_of(lambda data, ctx: ctx.emit("step"), plugin=Tells())
    assert [event.name for event in outcome.events] == ["step", "policy"]


def test_policies_wrap_in_the_order_of_the_stack():
    """The first plugin of the stack is the outermost."""
    order = []

    def plugin(name):
        class Wraps(BasePlugin):
            plugin_name = name

            def wrap_step(self, experiment, step, call):
                def policy(data, ctx):
                    order.append(name)
                    return call(data, ctx)

                return policy

        return Wraps()

    Experiment(lambda ctx: 0, [lambda data: data], [plugin("outer"), plugin("inner")], autoload=False).apply()
    assert order == ["outer", "inner"]


# A pipeline on its own ----------------------------------------------------------------------------


def test_a_failed_step_of_a_pipeline_leaves_nothing_in_the_context():
    """The context that a pipeline was given has what the steps before the failed one committed."""
    from crystallize_core import FrozenContext

    def good(data, ctx):
        ctx.add("good", 1)
        return data

    def bad(data, ctx):
        ctx.add("bad", 1)
        raise ValueError("no")

    ctx = FrozenContext()
    with pytest.raises(StepError):
        Pipeline([good, bad]).run(0, ctx)
    assert dict(ctx.items()) == {"good": 1}
