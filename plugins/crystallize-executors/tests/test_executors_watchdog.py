"""Worker processes that are ended from outside, because their step took too long and nothing inside could end it."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import pytest

from crystallize_core import BasePlugin, Experiment, RemoteError, StepError, Treatment, WorkerError, pipeline_step
from crystallize_core.limits.board import ROOM, Board, Overdue
from crystallize_core.limits.reporter import LimitReporter
from crystallize_core.watchdog import Announcement, announce
from crystallize_executors import ItemError, ParallelExecution, ProcessExecution, SerialExecution, parallel_map

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests

METHODS = ["spawn", "forkserver"]


@pytest.fixture(autouse=True)
def only_what_is_named(monkeypatch, tmp_path):
    """No other plugin that may be installed takes part, and nothing is written beside the tests."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    """The ways inside a process need not be given two seconds where there are none."""
    monkeypatch.setattr("crystallize_core.limits.board.GRACE", 0.2)


@pytest.fixture(autouse=True)
def no_worker_is_left_behind():
    """After a run its processes are gone."""
    yield
    assert multiprocessing.active_children() == []


class TooLong(TimeoutError):
    """What the limits of this file fail with."""


class Limits(BasePlugin):
    """A policy that only announces: it has no means to end anything itself."""

    plugin_name = "limits"

    def step_options(self):
        return {"limit": float}

    def wrap_step(self, step, call):
        seconds = step.options.get("limit")
        if seconds is None:
            return None
        error = functools.partial(TooLong, f"{step.name} took longer than {seconds} s, and its process was ended")

        def limited(data, ctx):
            with announce(step.name, seconds, ctx, error):
                return call(data, ctx)

        return limited


def hang():
    """Never returns to the interpreter, which nobody else in this process gets then: no signal, no thread."""
    return sum(itertools.repeat(0))


def experiment(*steps, executor=None, replicates=6, **options):
    executor = executor or ProcessExecution(max_workers=2)
    return Experiment(lambda ctx: ctx["replicate"], list(steps), [executor, Limits()], replicates=replicates, **options)


def hanging(*, replicate=2, condition="baseline", limit=0.1):
    @pipeline_step(limit=limit)
    def fit(data, ctx):
        if (data, ctx["condition"]) == (replicate, condition):
            hang()
        return data, {"square": data * data}

    return fit


@pytest.mark.parametrize("method", METHODS)
def test_a_step_that_never_returns_fails_alone(method):
    """As a step that raised, with its address and the error of its policy; all others have their outcomes."""
    began = time.monotonic()
    result = experiment(hanging(), executor=ProcessExecution(max_workers=2, start_method=method)).run()
    assert time.monotonic() - began < 20
    assert result.metrics.baseline.metrics == {"square": [n * n for n in range(6) if n != 2]}
    (error,) = result.errors.values()
    assert (type(error), error.address) == (
        StepError, {"experiment": "experiment", "replicate": 2, "condition": "baseline", "step": "fit"},
    )  # fmt: skip
    assert isinstance(error.__cause__, TimeoutError)
    assert str(error.__cause__) == "fit took longer than 0.1 s, and its process was ended"


def test_it_is_ended_once_and_not_tried_again():
    """However many deaths a replicate may cause otherwise."""
    tried = Path.cwd() / "tried"

    @pipeline_step(limit=0.1)
    def fit(data, ctx):
        if data == 2:
            with tried.open("a") as file:
                file.write("x")
            hang()
        return data, {"square": data * data}

    result = experiment(fit, executor=ProcessExecution(max_workers=1, max_deaths=5)).run()
    assert len(result.errors) == 1
    assert tried.read_text() == "x"


def test_the_other_conditions_of_the_replicate_say_what_became_of_them():
    """Those before it had an outcome that died with the process, those after it did not run."""
    treatments = [Treatment(name, {"x": name}) for name in "ab"]
    result = experiment(hanging(condition="a"), treatments=treatments, replicates=4).run()
    found = {error.condition: (type(error), error.message.partition(" step ")[0]) for error in result.errors.values()}
    assert found == {
        "baseline": (WorkerError, "the outcome was lost with its worker process when"),
        "a": (StepError, "step 'fit' failed: TooLong: fit took longer than 0.1 s, and its process was ended"),
        "b": (WorkerError, "this condition did not run, because its worker process was lost when"),
    }
    assert {error.replicate for error in result.errors.values()} == {2}
    assert result.metrics.conditions["b"].metrics == {"square": [0, 1, 9]}


def test_of_many_quick_replicates_none_is_lost():
    """Those that the worker had besides are run by others."""

    @pipeline_step(limit=0.1)
    def fit(data, ctx):
        if data == 333:
            hang()
        return data, {"square": data * data}

    result = experiment(fit, replicates=1000).run()
    assert [error.replicate for error in result.errors.values()] == [333]
    assert result.metrics.baseline.metrics == {"square": [n * n for n in range(1000) if n != 333]}


def test_several_steps_may_hang():
    """Each costs its process."""

    @pipeline_step(limit=0.1)
    def fit(data, ctx):
        if data % 2:
            hang()
        return data, {"square": data * data}

    result = experiment(fit, executor=ParallelExecution(max_workers=2, executor_type="process")).run()
    assert sorted(error.replicate for error in result.errors.values()) == [1, 3, 5]
    assert result.metrics.baseline.metrics == {"square": [0, 4, 16]}


def test_a_step_in_time_is_left_alone():
    """However often it runs; the process is that of the first replicate."""

    @pipeline_step(limit=0.5)
    def fit(data, ctx):
        time.sleep(0.02)
        return data, {"process": os.getpid()}

    result = experiment(fit, executor=ProcessExecution(max_workers=1), replicates=50).run()
    assert result.errors == {}
    assert len(set(result.metrics.baseline.metrics["process"])) == 1


def test_what_follows_a_limited_step_may_take_its_time():
    """Only what was announced is limited, and only as long as it runs."""

    @pipeline_step(limit=0.05)
    def quick(data, ctx):
        return data

    def slow(data, ctx):
        time.sleep(0.8)
        return data, {"process": os.getpid()}

    result = experiment(quick, slow, executor=ProcessExecution(max_workers=1), replicates=2).run()
    assert result.errors == {}
    assert len(set(result.metrics.baseline.metrics["process"])) == 1


def test_a_copy_of_the_process_does_not_speak_for_it():
    """A step that forks, and whose copy runs limited steps of its own for longer than they may."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")

    def forks(data, ctx):
        pid = os.fork()
        if pid == 0:
            with announce("copy", 0.01, None, TooLong):
                time.sleep(1)
            os._exit(0)
        os.waitpid(pid, 0)
        return data, {"value": data}

    assert experiment(forks, replicates=1).run().metrics.baseline.metrics == {"value": [0]}


def test_a_step_of_an_experiment_inside_a_step_ends_the_process_too():
    """Its conditions are none of this run, so that the replicate fails as a whole, with the error of the step."""

    @pipeline_step(limit=0.1)
    def inner(data, ctx):
        return hang()

    def outer(data, ctx):
        if data == 1:
            Experiment(lambda ctx: 1, [inner], [SerialExecution(), Limits()], name="within").run()
        return data, {"value": data}

    result = experiment(outer, replicates=3).run()
    (error,) = result.errors.values()
    assert (type(error), error.replicate, type(error.__cause__)) == (WorkerError, 1, TooLong)
    assert str(error.__cause__).startswith("inner took longer")
    assert result.metrics.baseline.metrics == {"value": [0, 2]}


def test_an_item_of_parallel_map_that_hangs_in_a_limited_step_fails_alone():
    """A function that runs a limited step in a process of `parallel_map`."""

    def work(item):
        with announce("work", 0.1, None, functools.partial(TooLong, "work")):
            return hang() if item == 3 else item * item

    found = parallel_map(work, range(6), num_workers=2, backend="process", errors="collect")
    assert [one for one in found if not isinstance(one, ItemError)] == [0, 1, 4, 16, 25]
    assert (found[3].index, repr(found[3].error)) == (3, "TooLong('work')")
    with pytest.raises(TooLong, match="work") as caught:
        parallel_map(work, range(6), num_workers=2, backend="process")
    assert "item 3" in str(caught.value.__notes__)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot stop a process")
def test_a_worker_that_dies_by_itself_is_treated_as_before():
    """Being limited changes nothing about a step that kills its process."""

    @pipeline_step(limit=30.0)
    def deadly(data, ctx):
        if data == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return data, {"square": data * data}

    (error,) = experiment(deadly, executor=ProcessExecution(max_workers=2, max_deaths=2)).run().errors.values()
    assert "its worker process died 2 times while it ran alone in it" in str(error)


# The board ------------------------------------------------------------------------------------------


@pytest.fixture
def board():
    made = Board()
    yield made
    made.close()


def said(step="fit", seconds=-1.0, error=lambda: TooLong("long")):
    return Announcement(step, seconds, error, "r", "c")


def seen(board):
    found = board.overdue()
    return found and (found.number, found.step, found.run, found.condition, repr(found.error))


def test_the_board_shows_what_has_been_over_its_limit_for_long(board, monkeypatch):
    """Not what is a little late: the ways inside the process come first."""
    limits = LimitReporter(board)
    limits.number = 7
    assert board.overdue() is None
    token = limits.begin(said(seconds=-0.1))
    assert board.overdue() is None
    monkeypatch.setattr("crystallize_core.limits.board.GRACE", 0.05)
    assert seen(board) == (7, "fit", "r", "c", "TooLong('long')")
    limits.end(token)
    assert board.overdue() is None


def test_of_several_limits_the_first_is_shown(board):
    """In whatever order they begin and end; one that ends twice changes nothing."""
    limits = LimitReporter(board)
    tokens = {step: limits.begin(said(step, seconds)) for step, seconds in (("a", -5), ("b", 60), ("c", -9), ("d", -1))}
    shown = []
    for step in ("c", "c", "d", "a", "b"):
        shown.append(seen(board) and seen(board)[1])
        limits.end(tokens[step])
    assert (shown, seen(board)) == (["c", "a", "a", "a", None], None)


def test_threads_share_a_board(board):
    """When all is done, nothing is left on it."""
    limits = LimitReporter(board)

    def work():
        for number in range(300):
            limits.end(limits.begin(said(f"step-{number}", 60)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (board.overdue(), limits._running) == (None, {})


class Unreadable(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, one, two):
        super().__init__(f"{one}{two}")


class Broken(Exception):
    """Cannot even be shown."""

    def __str__(self):
        raise RuntimeError

    def __reduce__(self):
        raise TypeError


@pytest.mark.parametrize(
    ("announcement", "expected"),
    [
        (said(error=functools.partial(Unreadable, "a", "b")), ("fit", "r", "c", "Unreadable: ab")),
        (
            said(error=Broken),
            ("fit", "r", "c", "Broken: <Broken whose text cannot be shown: RuntimeError>"),
        ),
        (said(error=lambda: TooLong("x" * ROOM)), ("fit", "r", "c", "TooLong: " + "x" * 500)),
        (said("s" * ROOM), ("s" * 500, None, None, "TooLong: long")),
    ],
)
def test_of_what_cannot_be_shown_as_it_is_the_words_are_shown(announcement, expected, board):
    LimitReporter(board).begin(announcement)
    found = board.overdue()
    assert (found.step, found.run, found.condition, str(found.error)) == expected
    assert isinstance(found.error, RemoteError)


def test_what_the_coordinator_cannot_read_is_said_so(board):
    """A class that only the worker has."""
    board.show(1.0, 4, b"no pickle")
    found = board.overdue()
    assert isinstance(found, Overdue)
    assert (found.number, found.step) == (4, "unknown")
    assert "which one cannot be read from its worker process: " in str(found.error)
