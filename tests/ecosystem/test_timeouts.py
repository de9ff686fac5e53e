"""A limit ends a step whatever it does and wherever it runs; what cannot be ended is said so."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from crystallize_core import Experiment, StepError, pipeline_step

cloudpickle = pytest.importorskip("cloudpickle")  # comes with the executors
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests

# Imported where they are installed: the core's own tests run without any plugin.
retries = pytest.importorskip("crystallize_retries")
executors = pytest.importorskip("crystallize_executors")
seeding = pytest.importorskip("crystallize_seeding")

pytestmark = [
    pytest.mark.ecosystem,
    # The plugin for test timeouts would use the alarm itself, which must be free here.
    pytest.mark.timeout(120, method="thread"),
]

LIMIT = 0.15
ENOUGH = 20.0
"""Seconds within which everything here ends; the steps would take longer or for ever."""


@pytest.fixture(autouse=True)
def only_what_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)


def looping():
    while True:
        pass


def sleeping():
    time.sleep(40)


def hanging():
    """C code that keeps the interpreter to itself: no signal handler and no other thread runs."""
    sum(itertools.repeat(0))


def mapping():
    executors.parallel_map(time.sleep, [40] * 4, num_workers=2)


def mapping_in_processes():
    executors.parallel_map(time.sleep, [40] * 4, num_workers=2, backend="process")


def limited(body, **options):
    """A step that does this in replicate 1, and is done at once in the others."""

    @pipeline_step(timeout=LIMIT, **options)
    def fit(data, ctx):
        if data == 1:
            body()
        return data, {"value": data}

    return fit


@pipeline_step(timeout=LIMIT)
async def awaiting(data, ctx):
    if data == 1:
        await asyncio.sleep(40)
    return data, {"value": data}


def run(step, executor, *plugins, replicates=3):
    plugins = [retries.RetryPlugin(), executor, *plugins]
    return Experiment(lambda ctx: ctx["replicate"], [step], plugins, replicates=replicates).run()


def timed_out(step, executor):
    """The `StepTimeout` of replicate 1; everything else is as it would be without it."""
    result = run(step, executor)
    (error,) = result.errors.values()
    assert (type(error), error.replicate, error.condition, error.step) == (StepError, 1, "baseline", step.name)
    assert result.metrics.baseline.metrics == {"value": [0, 2]}
    cause = error.__cause__
    assert isinstance(cause, TimeoutError)
    assert type(cause) is retries.StepTimeout
    assert (cause.step, cause.seconds) == (step.name, LIMIT)
    assert str(cause).startswith(f"step {step.name!r} did not finish within {LIMIT} s")
    return cause


def in_thread(function):
    """What it returns in a thread that is not the main one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def in_main(function):
    return function()


needs_alarm = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no alarm signal")
PLACES = [
    pytest.param(in_main, "SerialExecution", {}, id="main thread", marks=needs_alarm),
    pytest.param(in_thread, "SerialExecution", {}, id="another thread"),
    pytest.param(in_main, "ThreadExecution", {"max_workers": 2}, id="thread executor"),
    pytest.param(in_main, "ProcessExecution", {"max_workers": 2}, id="worker process", marks=needs_alarm),
    pytest.param(in_main, "AsyncExecution", {"max_workers": 2}, id="event loop", marks=needs_alarm),
]


@pytest.mark.parametrize(("where", "name", "options"), PLACES)
@pytest.mark.parametrize("body", [looping, sleeping, "await"], ids=["loop", "sleep", "await"])
def test_a_step_ends_when_its_time_is_over(body, where, name, options):
    """Within its limit and a little; only a sleep outside of a main thread is left behind, and that is said."""
    step = awaiting if body == "await" else limited(body)()
    executor = getattr(executors, name)(**options)
    began = time.monotonic()
    cause = where(lambda: timed_out(step, executor))
    assert time.monotonic() - began < ENOUGH
    is_left_behind = body is sleeping and (where is in_thread or name == "ThreadExecution")
    assert cause.stopped is not is_left_behind
    assert ("the attempt still runs in a thread that could not be stopped" in str(cause)) is is_left_behind


def test_a_worker_process_that_nothing_inside_can_end_is_ended(monkeypatch):
    """The error says so; other replicates are not lost, and there is no further attempt."""
    monkeypatch.setattr("crystallize_core.limits.board.GRACE", 0.5)
    began = time.monotonic()
    cause = timed_out(limited(hanging, retry=3)(), executors.ProcessExecution(max_workers=2))
    assert time.monotonic() - began < ENOUGH
    assert str(cause).endswith(
        "; nothing inside could stop the attempt, so that its worker process was ended, and it is not retried"
    )
    assert cause.stopped
    assert multiprocessing.active_children() == []


@needs_alarm
@pytest.mark.parametrize("name", ["SerialExecution", "ProcessExecution"])
def test_the_ways_inside_a_process_come_first(name):
    """An attempt that an alarm can end is tried again in the same process."""

    @pipeline_step(timeout=LIMIT, retry=retries.retry(2, backoff=0))
    def fit(data, ctx):
        if ctx.attempt == 1:
            looping()
        return data, {"attempt": ctx.attempt}

    result = run(fit, getattr(executors, name)())
    assert (result.errors, result.metrics.baseline.metrics) == ({}, {"attempt": [2, 2, 2]})


@pytest.mark.parametrize(("where", "name", "options"), PLACES[:4])
@pytest.mark.parametrize("body", [mapping, mapping_in_processes])
def test_parallel_map_inside_a_step_ends_with_it(body, where, name, options):
    """Its processes are ended; its threads cannot be, which a note on the error says."""
    began = time.monotonic()
    cause = where(lambda: timed_out(limited(body)(), getattr(executors, name)(**options)))
    assert time.monotonic() - began < ENOUGH
    if body is mapping and (where, name) == (in_main, "SerialExecution"):
        assert cause.__notes__ == ["parallel_map(sleep): 2 of its threads could not be stopped and still run"]
    for process in multiprocessing.active_children():  # one that was being started ends when its pipe is closed
        process.join(ENOUGH)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("name", ["SerialExecution", "ThreadExecution", "ProcessExecution"])
def test_an_attempt_after_a_timeout_draws_the_same_random_numbers(name):
    """Those of the run that was never disturbed."""

    def made(limit, *, disturbed):
        @pipeline_step(timeout=limit, retry=retries.retry(2, backoff=0))
        def draws(data, ctx):
            first = ctx.rng.random()
            ctx.metrics.add("first", first)
            ctx.emit("drawn", value=first)
            if disturbed and ctx.attempt == 1:
                looping()
            return data, {"second": ctx.rng.random()}

        return draws

    seed = seeding.SeedPlugin(seed=7, rng="python")
    disturbed = run(made(LIMIT, disturbed=True), getattr(executors, name)(), seed)
    quiet = run(made(30, disturbed=False), executors.SerialExecution(), seed)
    assert disturbed.errors == {}
    assert disturbed.metrics.baseline.metrics == quiet.metrics.baseline.metrics
    assert len(disturbed.metrics.baseline.metrics["first"]) == 3
