"""`retry`, with a stand-in for the engine: how often, how long between, and what is never retried."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace

import pytest

from crystallize_core.errors import HookError, WiringError
from crystallize_retries import FakeClock, RetryPlugin, clock, use_clock


@pytest.fixture(autouse=True)
def fake():
    with use_clock(FakeClock()) as replacement:
        yield replacement


def step(**options):
    is_async = options.pop("is_async", False)
    return SimpleNamespace(name="flaky", options=options, is_async=is_async, function=failing)


def failing(times, error=None):
    """A call that fails so many times and then gives back its data, and the list of its calls."""
    calls = []

    def call(data, ctx):
        calls.append(data)
        if len(calls) <= times:
            raise error or ValueError(f"no {len(calls)}")
        return data

    return call, calls


def asynchronous(call):
    async def later(data, ctx):
        await asyncio.sleep(0)
        return call(data, ctx)

    return later


def run(wrapped, *, is_async):
    return asyncio.run(wrapped("data", None)) if is_async else wrapped("data", None)


@pytest.mark.parametrize("options", [{}, {"retry": 0}, {"retry": 0, "timeout": None}, {"other": 1}])
def test_a_step_without_the_options_is_left_alone(options):
    """None means that the step costs nothing more."""
    assert RetryPlugin().wrap_step(None, step(**options), lambda data, ctx: data) is None


@pytest.mark.parametrize("is_async", [False, True])
def test_a_failed_step_is_called_again_after_1_2_4_seconds(fake, is_async):
    """`retry=3` means four calls at most, with documented waits."""
    call, calls = failing(3)
    wrapped = RetryPlugin().wrap_step(None, step(retry=3, is_async=is_async), asynchronous(call) if is_async else call)
    assert run(wrapped, is_async=is_async) == "data"
    assert (len(calls), fake.slept) == (4, [1.0, 2.0, 4.0])


@pytest.mark.parametrize("is_async", [False, True])
def test_the_last_error_is_raised_as_it_is_with_a_note(is_async):
    """The user sees the own exception, and how often it was tried."""
    call, calls = failing(9)
    wrapped = RetryPlugin().wrap_step(None, step(retry=2, is_async=is_async), asynchronous(call) if is_async else call)
    with pytest.raises(ValueError, match=r"^no 3") as caught:
        run(wrapped, is_async=is_async)
    assert (caught.value.__notes__, len(calls)) == (["after 3 attempts"], 3)


def test_an_error_object_that_is_raised_again_gets_one_note():
    """A library may raise one and the same exception object for ever."""
    error = ValueError("same")
    wrapped = RetryPlugin().wrap_step(None, step(retry=1), failing(99, error)[0])
    for _ in range(3):
        with pytest.raises(ValueError):
            wrapped("data", None)
    assert error.__notes__ == ["after 2 attempts"]


def test_the_waits_follow_the_options_and_their_cap(fake):
    """`first_delay`, `backoff` and `max_delay` are options of the plugin."""
    call, _ = failing(5)
    plugin = RetryPlugin(first_delay=0.5, backoff=3.0, max_delay=10.0)
    plugin.wrap_step(None, step(retry=5), call)("data", None)
    assert fake.slept == [0.5, 1.5, 4.5, 10.0, 10.0]


def test_many_failures_do_not_overflow_the_wait(fake):
    """2**2000 is no float, the cap is."""
    call, _ = failing(2000)
    RetryPlugin(max_delay=7.0).wrap_step(None, step(retry=2000), call)("data", None)
    assert fake.slept[-1] == 7.0


def test_waiting_draws_no_random_number():
    """The user's global random stream is the same with and without retries."""
    random.seed(1)
    expected = random.random()
    random.seed(1)
    RetryPlugin().wrap_step(None, step(retry=3), failing(2)[0])("data", None)
    assert random.random() == expected


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "error", [WiringError("not wired"), HookError("a plugin failed"), KeyboardInterrupt(), SystemExit(1)], ids=repr
)
def test_what_is_not_the_step_itself_is_never_retried(fake, error, is_async):
    """Wiring errors, failing hooks and interruptions are no reason to try again."""
    calls = []

    def call(data, ctx):
        calls.append(data)
        raise error

    async def later(data, ctx):
        call(data, ctx)

    wrapped = RetryPlugin().wrap_step(None, step(retry=3, is_async=is_async), later if is_async else call)
    with pytest.raises(type(error)):
        run(wrapped, is_async=is_async)
    assert (len(calls), fake.slept) == (1, [])


def test_the_clock_is_replaced_and_put_back(fake):
    """`use_clock` nests, and what it did ends with it."""
    inner = FakeClock(now=100.0)
    with use_clock(inner):
        clock.sleep(5)
        assert clock.monotonic() == 105.0
    clock.sleep(1)
    assert (inner.slept, fake.slept, clock.monotonic()) == ([5], [1], 1.0)
