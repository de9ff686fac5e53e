"""Streams: replicates as they become complete, left early, with and without an executor."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crystallize_core import (
    BasePlugin,
    ExecutorError,
    Experiment,
    HookError,
    Hypothesis,
    RunError,
    RunInterrupted,
    Treatment,
)


class Watch(BasePlugin):
    """Notes which hooks of the run were called."""

    def __init__(self):
        self.calls: list[str] = []

    def before_run(self, experiment, run):
        self.calls.append("before_run")

    def replicate_done(self, experiment, replicate, outcome):
        self.calls.append(f"done {replicate}")

    def after_run(self, experiment, result):
        self.calls.append("after_run")


class Backwards(BasePlugin):
    """An executor that delivers the last replicate first."""

    def run_experiment_loop(self, experiment, replicate_fn):
        for number in reversed(range(experiment.replicates)):
            replicate_fn(number)
        return []


class Threads(BasePlugin):
    """An executor with a pool of threads that stops when nothing more is wanted."""

    concurrency = "thread"

    def run_experiment_loop(self, experiment, replicate_fn):
        def run(number):
            return None if replicate_fn.stopped else replicate_fn(number)

        with ThreadPoolExecutor(2) as pool:
            return [outcome for outcome in pool.map(run, replicate_fn.pending) if outcome is not None]


def made(*plugins: Any, step: Any = None, replicates: int = 4, **more: Any) -> Experiment:
    def number(data, ctx):
        return data, {"n": ctx["replicate"]}

    return Experiment(
        lambda ctx: 0, [step or number], plugins=list(plugins), replicates=replicates, autoload=False, **more
    )


EXECUTORS = [(), (Backwards,), (Threads,)]
every_executor = pytest.mark.parametrize("executor", EXECUTORS, ids=["plain", "backwards", "threads"])


@every_executor
def test_outcomes_come_in_replicate_order(executor):
    """Whatever the order in which an executor delivers."""
    stream = made(*(kind() for kind in executor)).stream()
    assert [(outcome.replicate, outcome.metrics) for outcome in stream] == [
        (number, {"baseline": {"n": [number]}}) for number in range(4)
    ]


@every_executor
def test_a_stream_ends_with_the_result_of_a_run(executor):
    """`stream.result` is what `run` gives."""
    experiment = made(*(kind() for kind in executor), treatments=[Treatment("a", {})])
    stream = experiment.stream()
    for _ in stream:
        pass
    assert stream.result.digest == made(treatments=[Treatment("a", {})]).run().digest


def test_a_plain_stream_runs_nothing_ahead():
    """A replicate runs when it is asked for."""
    ran = []

    def note(data, ctx):
        ran.append(ctx["replicate"])
        return data

    stream = made(step=note).stream()
    assert ran == []
    next(stream)
    assert ran == [0]
    stream.close()
    assert ran == [0]


def test_a_stream_verifies_at_its_end():
    """Hypotheses of the experiment are in the result."""
    hypothesis = Hypothesis(lambda baseline, treatment: {"p_value": 0.1}, "n", name="h")
    stream = made(treatments=[Treatment("a", {})], hypotheses=[hypothesis]).stream()
    list(stream)
    assert stream.result.get_hypothesis("h").results == {"a": {"p_value": 0.1}}


@every_executor
def test_a_with_block_that_ends_early_keeps_what_was_finished(executor):
    """The result holds at least what was taken, and hooks saw the end once."""
    watch = Watch()
    with made(watch, *(kind() for kind in executor), replicates=50).stream() as stream:
        first, second = next(stream), next(stream)
    assert (first.replicate, second.replicate) == (0, 1)
    assert stream.result.metrics.baseline["n"][:2] == [0, 1]
    assert watch.calls[0] == "before_run"
    assert watch.calls.count("after_run") == 1
    assert watch.calls[-1] == "after_run"


def test_a_for_loop_that_breaks_ends_the_run():
    """Dropping the stream calls `after_run`."""
    watch = Watch()
    for outcome in made(watch).stream():
        if outcome.replicate == 1:
            break
    del outcome
    assert watch.calls == ["before_run", "done 0", "done 1", "after_run"]


def test_closing_twice_is_closing_once():
    """`close` after the end does nothing."""
    watch = Watch()
    stream = made(watch).stream()
    list(stream)
    stream.close()
    stream.close()
    assert watch.calls.count("after_run") == 1
    assert list(stream) == []


def test_a_stream_that_was_never_read_can_be_closed():
    """Hooks of the run come in pairs, and the result is empty."""
    watch = Watch()
    with made(watch).stream() as stream:
        pass
    assert watch.calls == ["before_run", "after_run"]
    assert list(stream.result.rows()) == []


def test_the_result_is_there_at_the_end_only():
    """Before, it is an error that says how to end the stream."""
    stream = made().stream()
    next(stream)
    with pytest.raises(RunError) as caught:
        stream.result
    assert str(caught.value) == (
        "the stream has not ended; read it to its end, or leave it with close() or a with block"
    )
    stream.close()
    assert stream.result.metrics.baseline["n"] == [0]


@every_executor
def test_failed_cells_are_in_their_outcomes(executor):
    """A failing cell does not end the stream."""

    def step(data, ctx):
        if ctx["replicate"] == 1:
            raise ValueError("no")
        return data

    outcomes = list(made(*(kind() for kind in executor), step=step).stream())
    assert [outcome.failed for outcome in outcomes] == [False, True, False, False]
    assert "ValueError: no" in str(outcomes[1]["baseline"].error)
    with pytest.raises(KeyError):
        outcomes[1]["other"]


def test_a_run_keyword_holds_for_the_stream():
    """Treatments and replicates can be given for one stream."""
    outcomes = list(made().stream(replicates=2, treatments=[Treatment("b", {})]))
    assert [[cell.condition for cell in outcome.cells] for outcome in outcomes] == [["baseline", "b"]] * 2


def test_what_an_executor_raises_comes_out_of_the_stream():
    """The error reaches the reader, with what was finished, and the run is over."""

    class Breaks(BasePlugin):
        def run_experiment_loop(self, experiment, replicate_fn):
            replicate_fn(0)
            raise OSError("pool gone")

    watch = Watch()
    stream = made(watch, Breaks()).stream()
    with pytest.raises(HookError) as caught:
        for _ in stream:
            pass
    assert "OSError: pool gone" in str(caught.value)
    assert stream.result.metrics.baseline["n"] == [0]
    assert caught.value.result is stream.result
    assert watch.calls.count("after_run") == 1


def test_an_executor_that_loses_replicates_is_an_error_of_the_stream():
    """The numbers are named."""

    class Loses(BasePlugin):
        plugin_name = "loses"

        def run_experiment_loop(self, experiment, replicate_fn):
            return [replicate_fn(0)]

    with pytest.raises(ExecutorError) as caught:
        list(made(Loses()).stream())
    assert str(caught.value) == (
        "executor 'loses' lost 3 of 4 replicates: 1, 2, 3 [plugin 'loses', hook 'run_experiment_loop']"
    )


def test_a_hook_that_fails_at_the_end_is_told_once():
    """An essential plugin whose `after_run` raises: the error has the result, and no hook is called twice."""
    watch = Watch()

    class Fails(BasePlugin):
        calls = 0

        def after_run(self, experiment, result):
            Fails.calls += 1
            raise OSError("no disk")

    stream = made(watch, Fails()).stream()
    with pytest.raises(HookError) as caught:
        list(stream)
    assert "OSError: no disk" in str(caught.value)
    assert stream.result.metrics.baseline["n"] == [0, 1, 2, 3]
    assert caught.value.result is stream.result
    stream.close()
    assert Fails.calls == 1
    assert watch.calls.count("after_run") == 1
    assert len(stream.result.metrics.hypotheses) == 0


def test_ctrl_c_in_a_stream_keeps_what_was_finished():
    """`RunInterrupted` has the result of the replicates before."""

    def step(data, ctx):
        if ctx["replicate"] == 2:
            raise KeyboardInterrupt
        return data, {"n": ctx["replicate"]}

    watch = Watch()
    stream = made(watch, step=step).stream()
    with pytest.raises(RunInterrupted) as caught:
        list(stream)
    assert caught.value.result.metrics.baseline["n"] == [0, 1]
    assert caught.value.result is stream.result
    assert stream.result.run.interrupted is True
    assert watch.calls[-1] == "after_run"


def test_should_stop_ends_a_stream():
    """What comes after the last wanted replicate is not given out."""

    class Enough(BasePlugin):
        def should_stop(self, experiment, outcomes):
            return len(outcomes) == 2

    stream = made(Enough()).stream()
    assert [outcome.replicate for outcome in stream] == [0, 1]
    assert stream.result.run.stopped_at == 1


def test_an_executor_works_while_its_outcomes_are_read():
    """The reader gets replicate 0 while the executor waits for it to be read."""
    read = threading.Event()

    class Waits(BasePlugin):
        def run_experiment_loop(self, experiment, replicate_fn):
            replicate_fn(0)
            assert read.wait(10)
            return [replicate_fn(number) for number in replicate_fn.pending]

    stream = made(Waits()).stream()
    assert next(stream).replicate == 0
    read.set()
    assert [outcome.replicate for outcome in stream] == [1, 2, 3]
