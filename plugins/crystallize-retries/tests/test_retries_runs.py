"""Whole experiments with retries and timeouts."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from crystallize_core import BasePlugin, Experiment, StepError, StepOptionError, WiringError, pipeline_step
from crystallize_retries import FakeClock, RetryPlugin, StepTimeout, use_clock

# The plugin for test timeouts would use the alarm itself, which must be free here.
pytestmark = pytest.mark.timeout(60, method="thread")


@pytest.fixture(autouse=True)
def only_what_is_named(monkeypatch, tmp_path):
    """No other plugin that may be installed takes part, and nothing is written beside the tests."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def fake():
    with use_clock(FakeClock()) as replacement:
        yield replacement


class Watch(BasePlugin):
    """Writes down what the hooks around the attempts are told."""

    plugin_name = "watch"

    def __init__(self):
        self.seen = []

    def before_step(self, step, ctx):
        self.seen.append(("before", ctx.attempt))

    def step_failed(self, step, error, attempt):
        self.seen.append(("failed", attempt, type(error).__name__))

    def after_step(self, step, ctx):
        self.seen.append(("after", ctx.attempt))


def run(step, *plugins, replicates=1, **options):
    return Experiment(
        datasource=lambda ctx: ctx["replicate"],
        pipeline=[step],
        replicates=replicates,
        plugins=[RetryPlugin(**options), *plugins],
    ).run()


def flaky(times, *, is_async=False, **options):
    """A step that leaves something everywhere, and fails so many times per replicate after that."""
    failures = {}

    def body(data, ctx):
        ctx.add("left", data)
        ctx.metrics.add("tried", ctx.attempt)
        failures[data] = failures.get(data, 0) + 1
        if failures[data] <= times:
            raise ValueError(f"no {failures[data]}")
        return data, {"value": data}

    async def later(data, ctx):
        await asyncio.sleep(0)
        return body(data, ctx)

    later.__name__ = body.__name__ = "flaky"
    return pipeline_step(**options)(later if is_async else body)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_retried_step_leaves_the_trace_of_one_attempt(fake, is_async):
    """Metrics and context additions of failed attempts are gone; the hooks saw every attempt."""
    watch = Watch()
    result = run(flaky(2, retry=2, is_async=is_async), watch)
    assert result.errors == {}
    assert result.metrics.baseline.metrics == {"tried": [3], "value": [0]}
    assert fake.slept == [1.0, 2.0]
    assert watch.seen == [
        ("before", 1), ("failed", 1, "ValueError"),
        ("before", 2), ("failed", 2, "ValueError"),
        ("before", 3), ("after", 3),
    ]  # fmt: skip


def test_the_digest_does_not_depend_on_failed_attempts():
    """A run that was healed is the same run."""
    healthy = threading.Event()

    @pipeline_step(retry=1)
    def fetch(data, ctx):
        if ctx.attempt == 1 and not healthy.is_set():
            raise OSError("network")
        return data, {"value": data}

    healed = run(fetch, replicates=3)
    healthy.set()
    assert healed.digest == run(fetch, replicates=3).digest


def test_the_last_error_is_the_cause_of_a_step_error_with_its_address():
    """Other replicates are not lost."""

    @pipeline_step(retry=1)
    def broken(data, ctx):
        if data == 1:
            raise ValueError("really")
        return data, {"value": data}

    result = run(broken, replicates=3)
    (error,) = result.errors.values()
    assert isinstance(error, StepError)
    assert (error.replicate, error.condition, error.step) == (1, "baseline", "broken")
    assert (str(error.__cause__), error.__cause__.__notes__) == ("really", ["after 2 attempts"])
    assert result.metrics.baseline.metrics == {"value": [0, 2]}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"retry": -1}, "expected an int of at least 0"),
        ({"retry": True}, "expected an int of at least 0"),
        ({"timeout": 0}, "expected a positive number of seconds"),
        ({"timeout": "3"}, "expected a positive number of seconds"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(options, text):
    """The message names step and option and says what is expected."""
    step = flaky(0, **options)
    with pytest.raises(StepOptionError) as caught:
        run(step)
    for part in ("flaky", next(iter(options)), text, repr(next(iter(options.values())))):
        assert part in str(caught.value)


@pytest.mark.parametrize("in_main_thread", [True, False])
def test_an_attempt_whose_time_is_over_leaves_no_trace(in_main_thread, fake):
    """What it wrote before and what it would write after never counts."""
    watch = Watch()

    @pipeline_step(retry=1, timeout=0.03)
    def slow(data, ctx):
        ctx.metrics.add("tried", ctx.attempt)
        if ctx.attempt == 1:
            while True:
                pass
        return data, {"value": data}

    result = []
    if in_main_thread:
        result.append(run(slow, watch))
    else:
        thread = threading.Thread(target=lambda: result.append(run(slow, watch)))
        thread.start()
        thread.join()
    assert result[0].errors == {}
    assert result[0].metrics.baseline.metrics == {"tried": [2], "value": [0]}
    assert [entry[:2] for entry in watch.seen] == [("before", 1), ("failed", 1), ("before", 2), ("after", 2)]


def test_an_attempt_that_was_left_behind_never_counts():
    """It still runs when the next one is done, and what it does then is for nothing."""
    ended = threading.Event()

    @pipeline_step(retry=1, timeout=0.03)
    def slow(data, ctx):
        if ctx.attempt == 1:
            time.sleep(0.35)
            ctx.metrics.add("late", 1)
            ended.set()
        return data, {"value": ctx.attempt}

    result = []
    thread = threading.Thread(target=lambda: result.append(run(slow)))
    thread.start()
    thread.join()
    assert not ended.is_set()
    assert result[0].metrics.baseline.metrics == {"value": [2]}
    time.sleep(0.2)
    assert result[0].metrics.baseline.metrics == {"value": [2]}


@pytest.mark.parametrize("is_async", [False, True])
def test_a_timeout_is_a_failure_like_any_other(is_async):
    """The run goes on, and the cause of the error is a `StepTimeout`."""

    def body(data, ctx):
        if data == 1:
            time.sleep(0.5)
        return data, {"value": data}

    async def later(data, ctx):
        if data == 1:
            await asyncio.sleep(5)
        return data, {"value": data}

    later.__name__ = body.__name__ = "slow"
    result = run(pipeline_step(timeout=0.05)(later if is_async else body), replicates=3)
    (error,) = result.errors.values()
    assert (error.replicate, error.step, type(error.__cause__)) == (1, "slow", StepTimeout)
    assert str(error.__cause__) == "step 'slow' did not finish within 0.05 s"
    assert result.metrics.baseline.metrics == {"value": [0, 2]}


def test_a_wiring_error_is_not_retried(fake):
    """A parameter that nothing fills is the same the next time."""

    @pipeline_step(retry=5)
    def needs(data, ctx, missing):
        return data

    try:
        (error,) = run(needs).errors.values()
    except WiringError as refused:  # found before the run, where the keys of the context are known
        error = refused
    assert "missing" in str(error)
    assert fake.slept == []
