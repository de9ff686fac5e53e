"""Limits of minutes that pass at once, because a test moves the clock; and what a watchdog is told of attempts."""

from __future__ import annotations

import asyncio
import pickle
import signal
import threading
import time

import pytest

from crystallize_core import BasePlugin, Experiment, pipeline_step
from crystallize_core.watchdog import install
from crystallize_retries import FakeClock, RetryPlugin, StepTimeout, clock, on_failure, use_clock

# The plugin for test timeouts would use the alarm itself, which must be free here.
pytestmark = pytest.mark.timeout(60, method="thread")
needs_alarm = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no alarm signal")


@pytest.fixture(autouse=True)
def only_what_is_named(monkeypatch, tmp_path):
    """No other plugin that may be installed takes part, and nothing is written beside the tests."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fake():
    with use_clock(FakeClock()) as replacement:
        yield replacement


class Watch(BasePlugin):
    """Writes down the failures of attempts."""

    def __init__(self):
        self.failed = []

    def step_failed(self, error, attempt):
        self.failed.append((attempt, type(error)))


def run(step, *plugins, replicates=1):
    return Experiment(lambda ctx: ctx["replicate"], [step], [RetryPlugin(), *plugins], replicates=replicates).run()


def in_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def in_main(function):
    return function()


WHERE = [pytest.param(in_main, marks=needs_alarm), in_thread]


def waiting(data, ctx):
    """Waits by the clock, as a client that is asked again and again does."""
    ctx.metrics.add("tried", ctx.attempt)
    clock.sleep(100 if ctx.attempt == 3 else 1000)
    ctx.metrics.add("waited", clock.monotonic())
    return data, {"value": data}


async def awaiting(data, ctx):
    ctx.metrics.add("tried", ctx.attempt)
    await clock.asleep(100 if ctx.attempt == 3 else 1000)
    ctx.metrics.add("waited", clock.monotonic())
    return data, {"value": data}


@pytest.mark.parametrize("body", [waiting, awaiting])
@pytest.mark.parametrize("where", WHERE)
def test_a_limit_of_minutes_is_over_at_once_where_the_step_waits_by_the_clock(where, body, fake):
    """The wait ends at the limit, not at its own end, and leaves no trace; each attempt has the whole time."""
    watch, began = Watch(), time.monotonic()
    result = where(lambda: run(pipeline_step(timeout=300, retry=2)(body), watch))
    assert result.errors == {}
    assert watch.failed == [(1, StepTimeout), (2, StepTimeout)]
    ended = 300 + 1 + 300 + 2 + 100
    assert result.metrics.baseline.metrics == {"tried": [3], "waited": [ended], "value": [0]}
    assert (fake.now, fake.deadlines) == (ended, [])
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("where", WHERE)
def test_a_busy_loop_ends_when_another_thread_moves_the_clock(where, fake):
    """Where the step itself does not look at the clock."""
    running = threading.Event()

    def move():
        running.wait(10)
        fake.advance(300)

    def busy(data, ctx):
        running.set()
        while True:
            pass

    mover = threading.Thread(target=move)
    mover.start()
    (error,) = where(lambda: run(pipeline_step(timeout=300)(busy))).errors.values()
    mover.join()
    assert (type(error.__cause__), str(error.__cause__)) == (
        StepTimeout, "step 'busy' did not finish within 300 s",
    )  # fmt: skip


def test_a_coroutine_ends_when_another_thread_moves_the_clock(fake):
    running, cleaned = threading.Event(), []

    def move():
        running.wait(10)
        fake.advance(300)

    async def forever(data, ctx):
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # the cleanup is cancelled once, not twice
            cleaned.append(True)

    mover = threading.Thread(target=move)
    mover.start()
    (error,) = run(pipeline_step(timeout=300)(forever)).errors.values()
    mover.join()
    assert (type(error.__cause__), cleaned) == (StepTimeout, [True])


@pytest.mark.parametrize("where", WHERE)
def test_what_the_step_makes_of_its_interruption_does_not_matter(where, fake):
    """Its time was over: it neither succeeds nor fails with something else."""

    def swallowing(data, ctx):
        try:
            clock.sleep(1000)
        except BaseException:
            return data

    def turning(data, ctx):
        try:
            clock.sleep(1000)
        finally:
            raise ValueError("could not clean up")

    for body in (swallowing, turning):
        watch = Watch()
        (error,) = where(lambda body=body, watch=watch: run(pipeline_step(timeout=300)(body), watch)).errors.values()
        assert (type(error.__cause__), watch.failed) == (StepTimeout, [(1, StepTimeout)])


@pytest.mark.parametrize("where", WHERE)
def test_a_step_that_is_done_before_its_time_is_not_disturbed(where, fake):
    """Its deadline is taken back, whatever it came to."""

    def quick(data, ctx):
        clock.sleep(299)
        if data == 1:
            raise ValueError("no")
        return data, {"value": data}

    result = where(lambda: run(pipeline_step(timeout=300)(quick), replicates=3))
    assert result.metrics.baseline.metrics == {"value": [0, 2]}
    assert [type(error.__cause__) for error in result.errors.values()] == [ValueError]
    assert (fake.now, fake.deadlines) == (3 * 299, [])
    fake.advance(10_000)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(("outer", "inner", "expected"), [(10, 300, 10), (300, 10, 10)])
def test_of_two_limits_the_shorter_one_ends_the_step(where, outer, inner, expected, fake):
    """A step may run an experiment of its own, whose steps are limited too."""

    @pipeline_step(timeout=inner)
    def within(data, ctx):
        clock.sleep(1000)

    @pipeline_step(timeout=outer)
    def around(data, ctx):
        (error,) = run(within).errors.values()
        raise error.__cause__

    (error,) = where(lambda: run(around)).errors.values()
    assert type(error.__cause__) is StepTimeout
    assert f"within {expected} s" in str(error.__cause__)
    assert fake.deadlines == []


def test_a_clock_that_nobody_moves_does_not_keep_a_step_alive(fake):
    """The seconds of the system count too."""

    @pipeline_step(timeout=0.05)
    def busy(data, ctx):
        while True:
            pass

    for where in (in_main, in_thread):
        (error,) = where(lambda: run(busy)).errors.values()
        assert type(error.__cause__) is StepTimeout
    assert (fake.now, fake.deadlines) == (0, [])


@needs_alarm
def test_an_alarm_that_comes_at_the_last_moment_does_not_end_the_process(fake):
    """The clock is moved while attempts end, many times; each is either in time or a timeout."""
    done = threading.Event()

    def move():
        while not done.is_set():
            fake.advance(1)

    @pipeline_step(timeout=1)
    def quick(data, ctx):
        return data, {"value": data}

    mover = threading.Thread(target=move)
    mover.start()
    try:
        result = run(quick, replicates=500)
    finally:
        done.set()
        mover.join()
    outcomes = [type(error.__cause__) for error in result.errors.values()]
    assert set(outcomes) <= {StepTimeout}
    assert len(outcomes) + len(result.metrics.baseline.metrics.get("value", [])) == 500
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


# What a watchdog is told ---------------------------------------------------------------------------


class Log:
    """A watchdog that writes down what it is told."""

    def __init__(self):
        self.begun, self.ended = [], []

    def begin(self, announcement):
        self.begun.append(announcement)
        return announcement.step

    def end(self, token):
        self.ended.append(token)


@pytest.fixture
def log():
    watchdog = Log()
    before = install(watchdog)
    yield watchdog
    install(before)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("is_async", [False, True])
def test_each_attempt_is_announced_with_the_error_for_the_worst_case(where, is_async, log, fake):
    """Its words say that the worker process was ended, and it survives the way to another process."""

    def body(data, ctx):
        if ctx.attempt < 3:
            raise ValueError("no")
        return data

    async def later(data, ctx):
        return body(data, ctx)

    later.__name__ = "body"
    where(lambda: run(pipeline_step(timeout=30, retry=2)(later if is_async else body)))
    assert [(said.step, said.seconds, said.condition) for said in log.begun] == [("body", 30, "baseline")] * 3
    assert log.ended == ["body"] * 3
    error = pickle.loads(pickle.dumps(log.begun[0].error()))
    assert (type(error), error.step, error.seconds, error.stopped) == (StepTimeout, "body", 30, True)
    assert str(error) == (
        "step 'body' did not finish within 30 s; nothing inside could stop the attempt, so that its worker process "
        "was ended, and it is not retried"
    )


def test_an_attempt_that_was_left_behind_is_not_announced_any_more(log):
    """The run went on, and there is nothing left to end the process for."""
    go_on = threading.Event()

    @pipeline_step(timeout=0.02)
    def stuck(data, ctx):
        go_on.wait(10)

    (error,) = in_thread(lambda: run(stuck)).errors.values()
    assert error.__cause__.stopped is False
    assert log.ended == ["stuck"]
    go_on.set()


def test_a_step_without_a_limit_is_not_announced(log, fake):
    run(pipeline_step(retry=1, fallback=lambda: 1)(lambda data, ctx: 1 / 0))
    assert log.begun == []


# What the engine is told ---------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"timeout": 3}, True),
        ({"fallback": lambda: 1}, True),
        ({"timeout": 3, "fallback": lambda: 1, "on_failure": on_failure(action=print)}, True),
        ({"timeout": 3, "retry": 0}, True),
        ({"timeout": 3, "retry": 1}, False),
        ({"retry": 2}, False),
    ],
)
def test_policies_say_whether_they_may_call_a_step_again(options, expected, is_async):
    """Only where `retry` is among them, so that others need no copy of the input."""

    def body(data, ctx):
        return data

    async def later(data, ctx):
        return data

    step = pipeline_step(**options)(later if is_async else body)()
    wrapped = RetryPlugin().wrap_step(None, step, later if is_async else body)
    assert getattr(wrapped, "single_attempt", False) is expected
    assert not hasattr(body, "single_attempt")
