"""The clock: the one of the machine, the one for tests, and which of them is in use."""

from __future__ import annotations

import asyncio
import math
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core.clock import FakeClock, SystemClock, clock, manual_clock, use_clock

SECONDS = st.floats(0, 1e6)


def test_the_clock_in_use_is_that_of_the_machine_unless_somebody_replaces_it():
    """Also where the block is left by an error, and one inside the other."""
    before = time.monotonic()
    assert before <= clock.monotonic() <= time.monotonic()
    outer, inner = FakeClock(1.0), FakeClock(2.0)
    with pytest.raises(ZeroDivisionError), use_clock(outer) as used:
        assert (used, clock.monotonic(), manual_clock()) == (outer, 1.0, outer)
        with use_clock(inner):
            assert (clock.monotonic(), manual_clock()) == (2.0, inner)
        assert clock.monotonic() == 1.0
        1 / 0
    assert manual_clock() is None
    assert clock.monotonic() >= before


def test_a_clock_of_ones_own_needs_no_more_than_to_tell_the_time_and_to_wait():
    """Its seconds then count as those of the system."""

    class Own:
        waits = []

        def monotonic(self):
            return 7.0

        def sleep(self, seconds):
            self.waits.append(seconds)

        async def asleep(self, seconds):
            self.waits.append(-seconds)

    with use_clock(Own()) as own:
        clock.sleep(1.5)
        asyncio.run(clock.asleep(2.5))
        assert (clock.monotonic(), own.waits, manual_clock()) == (7.0, [1.5, -2.5], None)


def test_the_clock_of_the_machine_waits():
    system, began = SystemClock(), time.monotonic()
    system.sleep(0.01)
    asyncio.run(system.asleep(0.01))
    assert system.monotonic() - began >= 0.02


@given(st.lists(SECONDS), st.lists(SECONDS))
def test_a_fake_clock_takes_no_time_and_writes_down_what_was_waited_for(waits, moves):
    """`sleep` and `asleep` are waits; moving it is none."""
    fake, began = FakeClock(), time.monotonic()
    for seconds in waits:
        fake.sleep(seconds)
    for seconds in moves:
        fake.advance(seconds)
    total = 0.0
    for seconds in [*waits, *moves]:
        total += seconds
    assert (fake.slept, fake.now, fake.monotonic()) == (waits, total, total)
    assert time.monotonic() - began < 5


@given(st.lists(SECONDS), st.lists(SECONDS))
def test_what_falls_due_is_called_once_in_the_order_of_time_and_never_early(moments, moves):
    """However the time is moved, and whatever is asked for at the same moment."""
    fake, called = FakeClock(), []
    for moment in moments:
        fake.call_at(moment, lambda moment=moment: called.append((moment, fake.now)))
    for seconds in moves:
        fake.advance(seconds)
    due = sorted(moment for moment in moments if moment <= fake.now)
    assert sorted(moment for moment, _ in called) == due
    assert [moment for moment, _ in called if moment] == [moment for moment in due if moment]
    assert all(now == moment for moment, now in called)
    assert fake.deadlines == sorted(moment for moment in moments if moment > fake.now)


def test_what_was_taken_back_is_not_called():
    """Also twice, and after it was called."""
    fake, called = FakeClock(), []
    keep, drop = fake.call_at(5, lambda: called.append("keep")), fake.call_at(5, lambda: called.append("drop"))
    drop()
    drop()
    assert fake.deadlines == [5]
    fake.now = 10
    keep()
    assert (called, fake.deadlines, fake.now) == (["keep"], [], 10)


def test_what_an_action_raises_ends_the_wait_at_that_moment():
    """As an interruption ends a sleep; whoever waits for the same moment is called nevertheless, later ones are not."""
    fake, called = FakeClock(), []

    def interrupt():
        raise InterruptedError("now")

    fake.call_at(5, interrupt)
    fake.call_at(5, lambda: called.append(5))
    fake.call_at(6, lambda: called.append(6))
    with pytest.raises(InterruptedError, match="now"):
        fake.sleep(10)
    assert (fake.now, called, fake.deadlines, fake.slept) == (5, [5], [6], [10])


def test_an_action_may_ask_to_be_called_again():
    """Within the same wait."""
    fake, called = FakeClock(), []

    def again():
        called.append(fake.now)
        fake.call_at(fake.now + 2, again)

    fake.call_at(1, again)
    fake.advance(6)
    assert (called, fake.deadlines) == ([1, 3, 5], [7])


@pytest.mark.parametrize("seconds", [-1, -0.001, math.inf, math.nan])
def test_a_clock_never_goes_back_and_never_to_the_end_of_time(seconds):
    """The message says from where to where."""
    fake = FakeClock(10)
    for move in (fake.advance, fake.sleep, lambda by: setattr(fake, "now", 10 + by)):
        with pytest.raises(ValueError, match=r"can only be moved forwards; it is 10, and was moved to "):
            move(seconds)
    assert fake.now == 10


def test_threads_share_a_fake_clock():
    """No wait is lost, and nothing is called twice."""
    fake, called = FakeClock(), []
    for moment in range(1, 401):
        fake.call_at(moment, lambda moment=moment: called.append(moment))
    threads = [threading.Thread(target=lambda: [fake.sleep(1) for _ in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (fake.now, len(fake.slept)) == (400, 400)
    assert sorted(called) == list(range(1, 401))


@pytest.mark.parametrize("move", [lambda fake: fake.sleep(10), lambda fake: setattr(fake, "now", 10)])
def test_what_one_thread_waits_while_another_one_is_on_its_way_is_added(move):
    """Whoever was on the way arrives that much later; no wait is swallowed by a longer one."""
    fake = FakeClock()

    def another_thread_waits():
        thread = threading.Thread(target=fake.sleep, args=(3,))
        thread.start()
        thread.join()

    fake.call_at(4, another_thread_waits)
    move(fake)
    assert fake.now == 13
    fake.advance(1)
    assert fake.now == 14


def test_an_awaited_wait_lets_other_tasks_run():
    order = []

    async def waiter(name, fake):
        order.append(name)
        await fake.asleep(1)
        order.append(name)

    async def main():
        fake = FakeClock()
        await asyncio.gather(waiter("a", fake), waiter("b", fake))
        return fake.now

    assert asyncio.run(main()) == 2
    assert order == ["a", "b", "a", "b"]
