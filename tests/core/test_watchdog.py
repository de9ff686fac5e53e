"""The watchdog: what it is told of the attempts of steps, and what becomes of a replicate that it ended."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading

import pytest

from crystallize_core import (
    BasePlugin,
    DefinitionError,
    Experiment,
    StepError,
    Treatment,
    WorkerError,
    pipeline_step,
    standalone_context,
)
from crystallize_core.watchdog import Announcement, announce, install


class Log:
    """A watchdog that writes down what it is told."""

    def __init__(self):
        self.begun = []
        self.ended = []

    def begin(self, announcement):
        self.begun.append(announcement)
        return len(self.begun)

    def end(self, token):
        self.ended.append(token)


@pytest.fixture
def log():
    watchdog = Log()
    before = install(watchdog)
    yield watchdog
    assert install(before) is watchdog


def announced(step="fit", seconds=3.0, ctx=None):
    return announce(step, seconds, ctx, functools.partial(TimeoutError, step))


def test_without_a_watchdog_nobody_is_told():
    """And the context is not even looked at."""
    with announced(ctx=object()):
        assert install(None) is None


def test_a_watchdog_is_told_of_begin_and_end(log):
    """The end also when the attempt fails; the error is made when it is needed."""
    with pytest.raises(ZeroDivisionError), announced():
        assert (log.begun, log.ended) == ([Announcement("fit", 3.0, TimeoutError)], [])
        1 / 0
    assert log.ended == [1]
    assert repr(log.begun[0].error()) == "TimeoutError('fit')"


def test_an_attempt_inside_another_is_not_announced(log):
    """In whatever thread it is, if that runs in a copy of the context: the one around it ends it too."""
    with announced("outer"):
        with announced("inner"):
            pass
        thread = threading.Thread(target=contextvars.copy_context().run, args=(log_one, "thread"))
        thread.start()
        thread.join()
    log_one("after")
    assert [announcement.step for announcement in log.begun] == ["outer", "after"]
    assert log.ended == [1, 2]


def log_one(step):
    with announced(step):
        pass


def test_attempts_side_by_side_are_all_announced(log):
    """Those of one event loop as well, which share a thread."""

    async def attempt(step):
        with announced(step):
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(attempt("a"), attempt("b"))

    asyncio.run(main())
    assert [announcement.step for announcement in log.begun] == ["a", "b"]
    assert sorted(log.ended) == [1, 2]


def test_outside_of_a_run_there_is_no_condition(log):
    """With a context made by hand, as in a test of a step."""
    with announced(ctx=standalone_context({"condition": "mine"})):
        pass
    assert (log.begun[0].run, log.begun[0].condition) == (None, None)


class Limits(BasePlugin):
    """A policy that announces its attempts, as one that limits them does."""

    def wrap_step(self, step, call):
        def limited(data, ctx):
            with announced(step.name, 5.0, ctx):
                return call(data, ctx)

        return limited


def test_an_announcement_says_in_which_run_and_condition_it_is(log, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []

    @pipeline_step()
    def fit(data, ctx):
        seen.append(ctx.run.id)
        return data

    treatments = [Treatment("a", {"x": 1})]
    experiment = Experiment(lambda ctx: 1, [fit], treatments=treatments, plugins=[Limits()], autoload=False)
    assert experiment.run().errors == {}
    (run_id,) = set(seen)
    assert log.begun == [Announcement("fit", 5.0, TimeoutError, run_id, name) for name in ("baseline", "a")]


@pytest.mark.parametrize("wrong", [object(), 3, "begin"])
def test_what_is_no_watchdog_is_refused(wrong):
    with pytest.raises(DefinitionError, match=r"a watchdog has begin\(announcement\) and end\(token\); found "):
        install(wrong)
    assert install(None) is None


# What becomes of the replicate ---------------------------------------------------------------------


def lost(at_run=None, condition="b"):
    """The result of a run whose executor loses replicate 1 because of a step that took too long."""

    class Executor(BasePlugin):
        def before_run(self, experiment, run):
            self.run = run

        def run_experiment_loop(self, experiment, replicate_fn):
            error = TimeoutError("too long")
            run_id = self.run.id if at_run is None else at_run
            replicate_fn.lost(1, error, at=Announcement("fit", 1.0, lambda: error, run_id, condition))
            return [replicate_fn(0), replicate_fn(2)]

    treatments = [Treatment(name, {}) for name in "abc"]
    step = pipeline_step()(lambda data, ctx: (data, {"n": ctx["replicate"]}))
    return Experiment(
        lambda ctx: 1, [step], treatments=treatments, replicates=3, plugins=[Executor()], autoload=False, name="study"
    ).run()


def test_the_condition_that_was_running_fails_as_if_its_step_had():
    """Those before it had an outcome that nobody has; those after it never ran. The other replicates are there."""
    result = lost()
    assert result.metrics.conditions["b"]["n"] == [0, 2]
    found = {error.condition: (type(error), error.message, type(error.__cause__)) for error in result.errors.values()}
    why = "step 'fit' of condition 'b' failed: TimeoutError: too long"
    before = (WorkerError, f"the outcome was lost with its worker process when {why}", TimeoutError)
    after = (WorkerError, f"this condition did not run, because its worker process was lost when {why}", TimeoutError)
    assert found == {
        "baseline": before,
        "a": before,
        "b": (StepError, "step 'fit' failed: TimeoutError: too long", TimeoutError),
        "c": after,
    }
    assert result.errors["b_rep_1"].address == {
        "experiment": "study", "replicate": 1, "condition": "b", "step": "fit",
    }  # fmt: skip


@pytest.mark.parametrize(("run_id", "condition"), [("another", "b"), (None, "elsewhere"), (None, None)])
def test_a_step_of_another_run_fails_the_replicate_as_a_whole(run_id, condition):
    """An experiment inside a step has conditions of its own, which are none of this run."""
    errors = lost(run_id, condition).errors
    assert {error.condition: type(error) for error in errors.values()} == dict.fromkeys(
        ["baseline", "a", "b", "c"], WorkerError
    )
    assert {error.message for error in errors.values()} == {"the replicate was lost: TimeoutError: too long"}
