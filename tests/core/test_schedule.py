"""The schedule: each replicate is handed out once, in chunks that follow the measured time."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from crystallize_core.schedule import MOST_AHEAD, Schedule


def test_before_anything_is_measured_one_replicate_is_handed_out():
    """A first replicate that takes an hour must not hold others back."""
    schedule = Schedule(range(100), workers=2, max_deaths=3)
    assert [schedule.next_chunk([]), schedule.next_chunk([])] == [[0], [1]]


def test_short_replicates_come_in_large_chunks_and_long_ones_alone():
    """A worker has about a tenth of a second of work in advance."""
    short, long = (Schedule(range(100_000), workers=2, max_deaths=3) for _ in range(2))
    short.measured(1, 0.001)
    long.measured(1, 1.0)
    assert (len(short.next_chunk([])), len(short.next_chunk(range(50))), short.next_chunk(range(51))) == (50, 50, [])
    assert long.next_chunk([]) == [0]
    assert long.next_chunk([0]) == []


def test_a_worker_never_waits_for_the_coordinator_between_replicates_of_less_than_a_tenth_of_a_second():
    """It has the next one already; only from a tenth of a second on, the way there and back counts for nothing."""
    for seconds, expected in ((0.051, [[0], [1], []]), (0.099, [[0], [1], []]), (0.1, [[0], [], []])):
        schedule = Schedule(range(100), workers=2, max_deaths=3)
        schedule.measured(1, seconds)
        first = schedule.next_chunk([])
        second = schedule.next_chunk(first)
        assert [first, second, schedule.next_chunk([*first, *second])] == expected


def test_chunks_are_bounded_however_short_a_replicate_is():
    """The outcomes in flight must fit into memory."""
    schedule = Schedule(range(1_000_000), workers=2, max_deaths=3)
    schedule.measured(1000, 0.0)
    assert len(schedule.next_chunk([])) == MOST_AHEAD // 2


def test_towards_the_end_chunks_shrink():
    """No worker sits on the last replicates while the other has nothing to do."""
    schedule = Schedule(range(20), workers=2, max_deaths=3)
    schedule.measured(1, 0.0001)
    sizes = []
    while chunk := schedule.next_chunk([]):
        sizes.append(len(chunk))
    assert sizes == [2] * 4 + [1] * 12


def test_the_replicates_of_a_dead_worker_run_alone_until_one_is_guilty():
    """A chunk that died is suspected as a whole; who dies alone is counted, and given up at the limit."""
    schedule = Schedule(range(4), workers=1, max_deaths=2)
    schedule.measured(1, 0.0001)
    assert (schedule.next_chunk([]), schedule.next_chunk([0])) == ([0], [1])
    assert schedule.died([0, 1]) == []
    assert schedule.next_chunk([]) == [0]
    assert schedule.next_chunk([0]) == []
    assert schedule.next_chunk([]) == [1]
    assert schedule.died([1]) == []
    assert schedule.next_chunk([]) == [1]
    assert schedule.died([1]) == [1]
    assert schedule.deaths(1) == 2
    assert [schedule.next_chunk([]), schedule.next_chunk([]), schedule.left] == [[2], [3], 0]


@given(st.integers(0, 200), st.integers(1, 5), st.integers(0, 10_000))
def test_every_replicate_is_answered_or_given_up_exactly_once(total, workers, seed):
    """Whatever dies and whenever, nothing is lost and nothing is counted twice."""
    draw = random.Random(seed)
    killers = {n for n in range(total) if draw.random() < 0.05}
    schedule = Schedule(range(total), workers, max_deaths=3)
    in_flight: list[list[int]] = [[] for _ in range(workers)]
    ended: list[int] = []
    while schedule.left or any(in_flight):
        for mine in in_flight:
            mine.extend(schedule.next_chunk(mine))
        mine = draw.choice([one for one in in_flight if one])
        if mine[0] in killers:
            ended += schedule.died(list(mine))
            mine.clear()
        else:
            ended.append(mine.pop(0))
            schedule.measured(1, draw.random() * draw.choice([1e-6, 1e-3, 1.0]))
    assert sorted(ended) == list(range(total))


def test_what_is_given_back_comes_first_and_a_suspect_still_runs_alone():
    """A worker that was ended by its own coordinator clears nobody of suspicion."""
    schedule = Schedule(range(10), workers=1, max_deaths=3, ahead_seconds=1.0)
    schedule.measured(1, 0.1)
    first = schedule.next_chunk([])
    schedule.died(first[:1])
    suspect = schedule.next_chunk([])
    schedule.give_back([*first[1:], *suspect])
    assert (first, suspect, schedule.left) == ([0, 1], [0], 10)
    assert (schedule.next_chunk([]), schedule.next_chunk([0]), schedule.next_chunk([])) == ([0], [], [1, 2])


def test_the_share_of_a_worker_follows_their_number():
    """Workers that join late get their part of what is left."""
    schedule = Schedule(range(100), workers=1, max_deaths=3)
    schedule.measured(1, 1e-6)
    assert len(schedule.next_chunk([])) == 25
    schedule.workers = 5
    assert len(schedule.next_chunk([])) == 4
