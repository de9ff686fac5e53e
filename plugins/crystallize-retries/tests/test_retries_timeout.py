"""`timeout`, with a stand-in for the engine: what ends, what cannot end, and what is said about it."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import signal
import threading
import time
import weakref
from types import SimpleNamespace

import pytest

from crystallize_retries import FakeClock, RetryPlugin, StepTimeout, use_clock

LIMIT = 0.02
# The plugin for test timeouts would use the alarm itself, which must be free here.
pytestmark = pytest.mark.timeout(60, method="thread")
needs_alarm = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no alarm signal")


class Context:
    """The part of the context that a policy talks to."""

    def __init__(self):
        self.abandoned = []
        self.condemned = []

    def condemn(self, error):
        self.condemned.append(error)

    def abandon(self, error):
        self.abandoned.append(error)


def step(**options):
    is_async = options.pop("is_async", False)
    return SimpleNamespace(name="slow", options=options, is_async=is_async, function=busy)


def limited(call, *, seconds=LIMIT, is_async=False, **options):
    return RetryPlugin().wrap_step(None, step(timeout=seconds, is_async=is_async, **options), call)


def in_thread(function):
    """Run it in a thread that is not the main one, and give back or raise what it came to."""
    outcome = []

    def body():
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def in_main(function):
    return function()


def busy(data, ctx):
    while True:
        pass


def stubborn(data, ctx):
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.001)


def sleeping(data, ctx):
    time.sleep(0.5)


WHERE = [pytest.param(in_main, marks=needs_alarm), in_thread]


@pytest.mark.parametrize("where", WHERE)
def test_a_step_in_time_is_not_disturbed(where):
    """What it returns, what it raises and what it prints stays as it is."""
    ctx = Context()
    assert where(lambda: limited(lambda data, ctx: data + 1, seconds=5)(1, ctx)) == 2
    with pytest.raises(ZeroDivisionError):
        where(lambda: limited(lambda data, ctx: 1 / 0, seconds=5)(1, ctx))
    assert ctx.abandoned == []


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("body", [busy, stubborn])
def test_python_code_ends_when_its_time_is_over(where, body):
    """A loop ends within the limit and a little, even if it catches every `Exception`."""
    ctx, began = Context(), time.monotonic()
    with pytest.raises(StepTimeout) as caught:
        where(lambda: limited(body)(None, ctx))
    assert time.monotonic() - began < 0.5
    assert str(caught.value) == "step 'slow' did not finish within 0.02 s"
    assert (caught.value.step, caught.value.seconds, caught.value.stopped) == ("slow", LIMIT, True)
    assert ctx.abandoned == [caught.value] or str(ctx.abandoned) == str([caught.value])


@needs_alarm
def test_a_sleep_in_the_main_thread_ends_when_its_time_is_over():
    """The alarm interrupts the sleep itself."""
    began = time.monotonic()
    with pytest.raises(StepTimeout):
        limited(sleeping)(None, Context())
    assert time.monotonic() - began < 0.3


def test_a_sleep_in_another_thread_is_left_behind_and_said_so():
    """Nothing can end it there: the run goes on, and the error does not pretend."""
    ctx, began = Context(), time.monotonic()
    with pytest.raises(StepTimeout) as caught:
        in_thread(lambda: limited(sleeping)(None, ctx))
    assert time.monotonic() - began < 0.45
    assert str(caught.value) == (
        "step 'slow' did not finish within 0.02 s; the attempt still runs in a thread that could not be stopped, "
        "and nothing it does counts"
    )
    assert (caught.value.stopped, len(ctx.abandoned)) == (False, 1)


@needs_alarm
def test_the_alarm_is_given_back():
    """After a call, in time or not, the process has its alarm as it was."""
    with pytest.raises(StepTimeout):
        limited(busy)(None, Context())
    limited(lambda data, ctx: data)(1, Context())
    assert (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)) == (signal.SIG_DFL, (0.0, 0.0))


@needs_alarm
def test_an_alarm_that_somebody_else_uses_is_left_alone():
    """The attempt then runs in a thread, and the other alarm still rings."""
    rang, seen = [], []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(True))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.03)
        with pytest.raises(StepTimeout):
            limited(lambda data, ctx: seen.append(threading.current_thread().name) or busy(data, ctx))(None, Context())
        while not rang:
            time.sleep(0.001)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert seen == ["step-slow"]


@needs_alarm
def test_a_limit_inside_a_limit_works_and_the_outer_one_wins():
    """A step that runs a pipeline of its own may be limited inside and outside."""
    ctx = Context()
    inner = limited(busy, seconds=30)
    with pytest.raises(StepTimeout, match=r"within 0\.3 s"):
        limited(inner, seconds=0.3)(None, ctx)  # long enough for the inner one to begin on a busy machine
    assert len(ctx.abandoned) == 2
    inner = limited(busy)
    with pytest.raises(StepTimeout, match=r"within 0\.02 s"):
        limited(inner, seconds=30)(None, ctx)


@needs_alarm
def test_an_interruption_that_was_wrapped_or_swallowed_is_still_a_timeout():
    """What the attempt makes of its interruption does not matter: its time was over."""

    def wrapping(data, ctx):
        try:
            time.sleep(0.5)
        except BaseException as error:
            raise BaseExceptionGroup("several", [error]) from error

    def swallowing(data, ctx):
        try:
            time.sleep(0.5)
        except BaseException:
            return "late"

    for body in (wrapping, swallowing):
        ctx = Context()
        with pytest.raises(StepTimeout) as caught:
            limited(body)(None, ctx)
        assert ctx.abandoned == [caught.value]


@needs_alarm
@pytest.mark.parametrize("kind", ["__del__", "weakref"])
def test_an_alarm_that_rings_where_exceptions_are_lost_waits_for_a_better_moment(kind, monkeypatch):
    """Python prints what a `__del__` raises and goes on; the step then still ends, and nothing is printed."""
    lost = []
    monkeypatch.setattr("sys.unraisablehook", lost.append)

    def linger(*_):
        until = time.monotonic() + 2 * LIMIT
        while time.monotonic() < until:
            pass

    class Plain:
        pass

    class Lingering:
        def __del__(self):
            linger()

    def body(data, ctx):
        thing = Lingering() if kind == "__del__" else Plain()
        if kind == "weakref":
            weakref.finalize(thing, linger)
        del thing
        busy(data, ctx)

    began = time.monotonic()
    with pytest.raises(StepTimeout):
        limited(body)(None, Context())
    assert time.monotonic() - began < 1.0
    assert lost == []


@pytest.mark.parametrize("where", WHERE)
def test_an_attempt_that_took_too_long_is_retried(where):
    """Retrying stands around the limit, and each attempt has the whole time."""
    calls = []

    def body(data, ctx):
        calls.append(data)
        return busy(data, ctx) if len(calls) < 3 else "done"

    with use_clock(FakeClock()) as fake:
        assert where(lambda: limited(body, retry=2)(None, Context())) == "done"
    assert (len(calls), fake.slept) == (3, [1.0, 2.0])


def test_ctrl_c_reaches_a_limited_step_in_a_thread():
    """What the thread raises arrives in the caller as it is."""

    def body(data, ctx):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_thread(lambda: limited(body, retry=3)(None, Context()))


def test_a_coroutine_is_cancelled_when_its_time_is_over():
    """It ends at its next await, and its cleanup runs."""
    ctx, ended = Context(), []

    async def body(data, ctx):
        try:
            await asyncio.sleep(10)
        finally:
            ended.append(True)

    with pytest.raises(StepTimeout, match=r"^step 'slow' did not finish within 0\.02 s$") as caught:
        asyncio.run(limited(body, is_async=True)(None, ctx))
    assert (ctx.abandoned, ended) == ([caught.value], [True])


def test_a_coroutine_in_time_is_not_disturbed():
    """Results and errors pass through."""

    async def body(data, ctx):
        await asyncio.sleep(0)
        return data / ctx

    assert asyncio.run(limited(body, is_async=True)(6, 2)) == 3
    with pytest.raises(ZeroDivisionError):
        asyncio.run(limited(body, is_async=True)(6, 0))


def test_a_coroutine_that_refuses_to_end_is_left_behind_and_said_so():
    """Cancellation is a request; the run does not wait for ever."""

    async def body(data, ctx):
        until = time.monotonic() + 0.4
        while time.monotonic() < until:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    with pytest.raises(StepTimeout, match="still runs in a task of the event loop that could not be stopped"):
        asyncio.run(limited(body, is_async=True)(None, Context()))


def test_a_cancelled_caller_cancels_the_attempt():
    """An event loop that winds up takes the limited step with it."""
    ended = []

    async def body(data, ctx):
        try:
            await asyncio.sleep(10)
        finally:
            ended.append(True)

    async def main():
        task = asyncio.ensure_future(limited(body, seconds=5, is_async=True)(None, Context()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert ended == [True]

    asyncio.run(main())


def test_the_error_survives_pickling():
    """A timeout in a worker process reads the same in the coordinator."""
    error = StepTimeout("too long", step="slow", seconds=2.0, stopped=False)
    error.add_note("after 3 attempts")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.step, copy.seconds, copy.stopped, copy.__notes__) == (
        "too long", "slow", 2.0, False, ["after 3 attempts"],
    )  # fmt: skip
    assert isinstance(copy, TimeoutError)
