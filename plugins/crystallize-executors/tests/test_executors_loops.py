"""The loops of the executors that stay in this process, with a stand-in for the replicate function."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time

import pytest

from crystallize_executors import AsyncExecution, SerialExecution, ThreadExecution

LOCAL = [SerialExecution(), ThreadExecution(max_workers=4), AsyncExecution(max_workers=4)]


class Replicates:
    """What `run_experiment_loop` is given, reduced to what an executor sees of it."""

    def __init__(self, pending, body, stop_after=None):
        self.pending = pending
        self.delivered = []
        self._body = body
        self._stop_after = stop_after

    @property
    def stopped(self):
        return self._stop_after is not None and len(self.delivered) >= self._stop_after

    def __call__(self, number):
        self._body(number)
        self.delivered.append(number)

    async def arun(self, number):
        outcome = self._body(number)
        if inspect.isawaitable(outcome):
            await outcome
        self.delivered.append(number)


def named(executor):
    return executor.plugin_name


@pytest.mark.parametrize("executor", LOCAL, ids=named)
def test_exactly_the_pending_numbers_run(executor):
    """What is known from earlier is not run again; no number runs twice."""
    replicates = Replicates([1, 2, 5, 9], lambda number: None)
    assert executor.run_experiment_loop(None, replicates) == []
    assert sorted(replicates.delivered) == [1, 2, 5, 9]


@pytest.mark.parametrize("executor", LOCAL, ids=named)
def test_nothing_pending_is_no_work(executor):
    """A run that was complete already ends at once."""
    replicates = Replicates([], lambda number: 1 / 0)
    assert executor.run_experiment_loop(None, replicates) == []


@pytest.mark.parametrize("executor", LOCAL, ids=named)
def test_after_a_stop_nothing_more_is_started(executor):
    """Only what ran already when the stop came is still finished."""
    replicates = Replicates(range(1000), lambda number: time.sleep(0.001), stop_after=5)
    executor.run_experiment_loop(None, replicates)
    assert 5 <= len(replicates.delivered) <= 8


@pytest.mark.parametrize("executor", LOCAL, ids=named)
@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt])
@pytest.mark.filterwarnings("error")
def test_what_a_replicate_raises_arrives_as_it_is(executor, kind):
    """An error that the engine lets through ends the run, whatever the executor."""

    def body(number):
        if number == 3:
            raise kind("no")

    with pytest.raises(kind, match="no"):
        executor.run_experiment_loop(None, Replicates(range(100), body))


def test_serial_runs_in_order_in_the_calling_thread():
    """The serial executor is a plain loop."""
    seen = []
    replicates = Replicates(range(5), lambda number: seen.append((number, threading.current_thread())))
    SerialExecution().run_experiment_loop(None, replicates)
    assert seen == [(number, threading.main_thread()) for number in range(5)]


def test_threads_run_side_by_side_and_see_the_context_of_the_caller():
    """Four replicates meet at a barrier, and each sees the context variable that was set outside."""
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")
    barrier, seen = threading.Barrier(4, timeout=10), []

    def body(number):
        barrier.wait()
        seen.append(variable.get())

    ThreadExecution(max_workers=4).run_experiment_loop(None, Replicates(range(4), body))
    assert seen == ["set"] * 4


def test_no_more_threads_are_started_than_there_are_replicates():
    """Two replicates need two threads, however many are allowed."""
    names = set()
    replicates = Replicates(range(2), lambda number: names.add(threading.current_thread().name))
    ThreadExecution(max_workers=50).run_experiment_loop(None, replicates)
    assert names <= {"replicates-0", "replicates-1"}


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (3, 3), (None, 20)])
def test_async_replicates_wait_together_up_to_the_limit(limit, most):
    """`max_workers` is the number of replicates that are under way at the same time."""
    running, peak = 0, 0

    async def body(number):
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.001)
        running -= 1

    AsyncExecution(max_workers=limit).run_experiment_loop(None, Replicates(range(20), body))
    assert peak == most


def test_async_works_where_a_loop_is_running_already():
    """As in a notebook, where a helper thread runs a loop of its own."""
    seen = []

    async def body(number):
        seen.append(threading.current_thread().name)

    async def notebook():
        AsyncExecution().run_experiment_loop(None, Replicates(range(3), body))

    asyncio.run(notebook())
    assert seen == ["replicates-loop"] * 3


@pytest.mark.parametrize("executor", [ThreadExecution(progress=True), AsyncExecution(progress=True), SerialExecution(progress=True)], ids=named)  # fmt: skip
def test_progress_ends_with_the_full_count(executor, capsys):
    """The last line says how many of how many."""
    executor.run_experiment_loop(None, Replicates(range(7), lambda number: None))
    assert capsys.readouterr().err.startswith("7 of 7 replicates, ")
