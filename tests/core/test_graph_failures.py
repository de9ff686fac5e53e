"""Steps of a graph that fail: what still runs, what does not and why, what is raised, and what plugins are told."""

from __future__ import annotations

import dataclasses
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from crystallize_core import (
    BasePlugin,
    Experiment,
    HookError,
    OutputError,
    Pipeline,
    PipelineResult,
    RemoteError,
    RunInterrupted,
    StepError,
    hookimpl,
    pipeline_step,
    step,
)


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """No installed plugin takes part, and nothing is written into the checkout."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))


class Spy(BasePlugin):
    """Writes down the hooks that it gets, and fails in those that it is told to."""

    plugin_name = "spy"
    concurrency = "serial"

    def __init__(self, **fails: str) -> None:
        self.log: list[tuple[str, ...]] = []
        self.fails = fails

    def run_experiment_loop(self, experiment, replicate_fn):
        return None

    def noted(self, hook, step, *more):
        self.log.append((hook, step.name, *more))
        if self.fails.get(hook) == step.name:
            raise ValueError("broken hook")

    def before_step(self, experiment, step, ctx):
        self.noted("before_step", step)

    def after_step(self, experiment, step, data, ctx):
        self.noted("after_step", step)

    def step_failed(self, experiment, step, ctx, error, attempt):
        self.noted("step_failed", step, repr(error), str(attempt))

    def step_skipped(self, experiment, step, ctx, reason):
        self.noted("step_skipped", step, reason)

    def after_replicate(self, experiment, ctx, outcome):
        self.log.append(("after_replicate", type(outcome.error).__name__))

    def after_run(self, experiment, result):
        self.log.append(("after_run",))


@step(cache=False)
def load():
    return 1


@step(cache=False)
def bad(load):
    raise ValueError("no")


@step(cache=False)
def needs_bad(bad):
    return bad


@step(cache=False)
def needs_needs_bad(needs_bad):
    return needs_bad


@step(cache=False)
def with_default(bad=7):
    return bad


@step(cache=False)
def apart(load):
    return load + 1


def graph(*steps: Any) -> Pipeline:
    """A pipeline of these steps, called `p`, that keeps nothing on the disk."""
    return Pipeline(steps, name="p", enable_cache=False, checkpoint=False)


def fates(result: PipelineResult) -> dict[str, tuple[str, str | None]]:
    """What became of each step, and why."""
    return {name: (found.state, found.error or found.reason) for name, found in result.step_results.items()}


def raising(error: BaseException, name: str = "raises"):
    """A step that raises this very object."""

    def body():
        raise error

    return step(cache=False, name=name)(body)


# What runs and what does not --------------------------------------------------------------------------


def test_a_failure_costs_those_that_need_it_and_no_others():
    """Dependents say of whom they needed what; a default is for what was skipped, not for what failed."""
    result = graph(load, bad, needs_bad, needs_needs_bad, with_default, apart).run()
    assert fates(result) == {
        "load": ("ok", None),
        "bad": ("failed", "ValueError: no"),
        "needs_bad": ("not run", "it needs output 'bad' of 'bad', which failed"),
        "needs_needs_bad": ("not run", "it needs output 'needs_bad' of 'needs_bad', which did not run"),
        "with_default": ("not run", "it needs output 'bad' of 'bad', which failed"),
        "apart": ("ok", None),
    }
    assert (result.success, result.state) == (False, "failed")
    assert dict(result.outputs) == {"load": 1, "apart": 2}


def test_what_did_not_run_is_neither_successful_nor_cached_nor_skipped():
    """It has no output, no error of its own and no duration."""
    found = graph(load, bad, needs_bad).run().step_results["needs_bad"]
    assert (found.success, found.cached, found.skipped, found.output) == (False, False, False, None)
    assert (found.error, found.exception, found.duration_seconds, found.retries) == (None, None, 0.0, 0)


def test_the_failed_step_carries_the_exception_with_its_traceback():
    """It is the very object that the step raised."""
    error = ValueError("no")
    found = graph(raising(error)).run().step_results["raises"]
    assert found.exception is error
    assert error.__traceback__ is not None
    assert "in body\n    raise error" in found.to_dict()["traceback"]


def test_the_first_failure_of_the_plan_is_raised_and_the_others_are_in_its_notes():
    """The order of the plan decides, and each step that failed is named once."""

    @step(cache=False)
    def worse(load):
        raise KeyError("key")

    result = graph(worse, load, bad).run()
    assert list(result.step_results) == ["load", "worse", "bad"]
    assert str(result.error) == "step 'worse' failed: KeyError: 'key' [pipeline 'p', step 'worse']"
    assert result.error.__notes__ == ["and: step 'bad' failed: ValueError: no"]
    assert type(result.error.__cause__) is KeyError


def test_raise_on_error_raises_when_everything_else_is_done():
    """Steps that need nothing of the failed one have run, and the result is on the error."""
    with pytest.raises(StepError, match=r"^step 'bad' failed: ValueError: no \[pipeline 'p', step 'bad'\]$") as info:
        graph(load, bad, apart).run(raise_on_error=True)
    assert fates(info.value.result)["apart"] == ("ok", None)
    assert type(info.value.__cause__) is ValueError


def test_raise_for_status_raises_or_gives_the_result():
    """Asking twice raises the same error."""
    fine, failed = graph(load).run(), graph(load, bad).run()
    assert fine.raise_for_status() is fine
    for _ in range(2):
        with pytest.raises(StepError) as info:
            failed.raise_for_status()
        assert info.value is failed.error
        assert info.value.result is failed


def test_given_data_a_graph_raises_as_a_chain_does():
    """`run(data)` has no result to put a failure into."""

    @step(cache=False)
    def fails(data):
        raise ValueError(data)

    with pytest.raises(StepError, match=r"^step 'fails' failed: ValueError: 3 \[step 'fails'\]$"):
        graph(fails).run(3)


def test_a_wrong_number_of_outputs_fails_the_step_and_leaves_none_of_them():
    """Neither output can be taken."""

    @step(outputs=["a", "b"], cache=False)
    def pair():
        return 1, 2, 3

    @step(cache=False)
    def takes(b):
        return b

    result = graph(pair, takes).run()
    message = "step 'pair' declares 2 outputs (a, b), returned tuple of 3; return 2 values in this order [step 'pair']"
    assert fates(result) == {
        "pair": ("failed", f"OutputError: {message}"),
        "takes": ("not run", "it needs output 'b' of 'pair', which failed"),
    }
    assert type(result.step_results["pair"].exception) is OutputError
    assert dict(result.outputs) == {}


def test_a_failed_step_leaves_nothing_behind():
    """Metrics and events of the attempt are gone; those of the steps before it are kept."""

    @pipeline_step()
    def records(data, ctx):
        ctx.record("kept", 1)

    @step(cache=False)
    def fails(records, ctx):
        ctx.record("lost", 1)
        ctx.emit("lost")
        raise ValueError

    result = graph(records, fails).run(inputs={"data": 0})
    assert result.record.errors.keys() == {"baseline_rep_0"}
    assert [(row.metric, row.value, row.failed) for row in result.record.rows()] == [("kept", 1, True)]


# Exceptions of all kinds ------------------------------------------------------------------------------


class Textless(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Holds(Exception):
    """Cannot be pickled."""

    def __init__(self):
        super().__init__("holds a lock")
        self.lock = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Takes neither notes nor anything else."""

    code: int


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (MemoryError("big"), "MemoryError: big"),
        (AssertionError(), "AssertionError"),
        (StopIteration("end"), "StopIteration: end"),
        (RecursionError("deep"), "RecursionError: deep"),
        (ExceptionGroup("two", [ValueError("a"), KeyError("b")]), "ExceptionGroup: two (2 sub-exceptions)"),
        (Textless(), "Textless: <Textless whose text cannot be shown: RuntimeError>"),
        (Holds(), "Holds: holds a lock"),
        (Frozen(3), "Frozen: 3"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_any_exception_is_a_failure_of_its_step_alone(error, text):
    """Whatever it is: it is kept as it is and described, two of them do no harm, and other steps run."""
    result = graph(raising(error), raising(error, "again"), load).run()
    assert fates(result) == {"raises": ("failed", text), "again": ("failed", text), "load": ("ok", None)}
    assert result.step_results["raises"].exception is error
    assert result.error.message == f"step 'raises' failed: {text}"
    assert result.error.__notes__ == [f"and: step 'again' failed: {text}"]
    assert text in result.summary()
    assert result.to_dict()["step_results"]["again"]["error"] == text


def test_failures_survive_pickling_with_their_notes():
    """A cause that cannot be sent is described."""
    error = pickle.loads(pickle.dumps(graph(raising(Holds()), raising(Frozen(1), "b")).run().error))
    assert str(error) == "step 'raises' failed: Holds: holds a lock [pipeline 'p', step 'raises']"
    assert error.__notes__ == ["and: step 'b' failed: Frozen: 1"]
    assert type(error.__cause__) is RemoteError


@pytest.mark.parametrize("observed", [True, False])
def test_a_stop_iteration_is_the_same_failure_whether_somebody_looks_or_not(observed):
    """Replicate 0 is observed and replicate 1 is not; both fail with what the step raised."""

    @step(cache=False)
    def ends(data):
        raise StopIteration("end")

    @pipeline_step()
    def ends_in_a_chain(data):
        raise StopIteration("end")

    for one in (ends, ends_in_a_chain):
        result = Experiment(lambda ctx: 0, [one], replicates=2, autoload=False).run()
        error = result.errors["baseline_rep_0" if observed else "baseline_rep_1"]
        assert error.message == f"step {one.name if one is ends else 'ends_in_a_chain'!r} failed: StopIteration: end"
        assert type(error.__cause__) is StopIteration


async def _fails_async():
    raise ValueError("no")


def test_an_async_step_that_fails_is_a_failure_like_any_other():
    """Under `run`, and with what stands on it not run."""
    taker = step(cache=False, name="taker")(lambda fails: fails)
    result = graph(step(cache=False, name="fails")(_fails_async), taker).run()
    assert fates(result) == {
        "fails": ("failed", "ValueError: no"),
        "taker": ("not run", "it needs output 'fails' of 'fails', which failed"),
    }


# Interruptions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interruption_propagates_after_the_end_of_the_run(kind):
    """Nothing else runs, plugins see the end, steps are torn down, and the checkpoint says what happened."""
    torn_down = []

    @step(cache=False)
    def interrupts(load):
        raise kind("now")

    interrupts.teardown = lambda ctx: torn_down.append("interrupts")
    spy, pipeline = Spy(), Pipeline([load, interrupts, apart], name="p")
    with pytest.raises(kind, match=r"^now$"):
        pipeline.run(executor=spy)
    assert spy.log == [
        ("before_step", "load"),
        ("after_step", "load"),
        ("before_step", "interrupts"),
        ("after_run",),
    ]
    assert torn_down == ["interrupts"]


def test_an_interrupted_run_can_be_resumed(tmp_path):
    """What was done before the interruption is taken over."""
    mark = str(tmp_path / "mark")

    @step(cache=False)
    def first():
        return 1

    @step(cache=False)
    def second(first):
        if not Path(mark).exists():
            Path(mark).touch()
            raise KeyboardInterrupt
        return first + 1

    pipeline = Pipeline([first, second], name="p")
    with pytest.raises(KeyboardInterrupt):
        pipeline.run()
    result = pipeline.run(resume=True)
    assert [(found.state, found.resumed) for found in result.step_results.values()] == [("cached", True), ("ok", False)]
    assert dict(result.outputs) == {"first": 1, "second": 2}


def test_an_interrupted_experiment_keeps_what_was_finished():
    """The error has the result of the replicates before."""

    @step(cache=False)
    def sometimes(data):
        if data == 1:
            raise KeyboardInterrupt
        return data

    experiment = Experiment(lambda ctx: ctx["replicate"], [sometimes], replicates=3, autoload=False)
    with pytest.raises(RunInterrupted) as info:
        experiment.run()
    assert info.value.result.run.finished == 1


# Hooks that fail --------------------------------------------------------------------------------------


SKIPS = step(cache=False, name="skips", condition=lambda load: load > 5)(lambda load: load)
STEPS = [load, bad, SKIPS, apart]


@pytest.mark.parametrize(
    ("hook", "name", "expected"),
    [
        ("before_step", "load", ["failed", "not run", "not run", "not run"]),
        ("after_step", "load", ["ok", "not run", "not run", "not run"]),
        ("step_failed", "bad", ["ok", "failed", "not run", "not run"]),
        ("step_skipped", "skips", ["ok", "failed", "skipped", "not run"]),
        ("after_step", "apart", ["ok", "failed", "skipped", "ok"]),
    ],
)
def test_a_failing_hook_of_an_essential_plugin_ends_the_cell(hook, name, expected):
    """Every step has its entry, those that were not reached say why, and the ends of cell and run are told."""
    spy = Spy(**{hook: name})
    result = graph(*STEPS).run(executor=spy)
    assert [found.state for found in result.step_results.values()] == expected
    message = f"hook {hook!r} of plugin 'spy' raised ValueError: broken hook"
    assert str(result.error) == f"{message} [pipeline 'p', step {name!r}, plugin 'spy', hook {hook!r}]"
    assert (type(result.error), type(result.error.__cause__)) == (HookError, ValueError)
    not_reached = {found.reason for found in result.step_results.values() if found.state == "not run"}
    assert not_reached <= {f"it was not reached: {message}"}
    assert spy.log[-2:] == [("after_replicate", "HookError"), ("after_run",)]
    assert f"  error: {result.error}" in result.summary().splitlines()


def test_a_failing_hook_does_not_hide_the_step_that_failed_before():
    """The failure of the step is in the notes of that of the plugin, also where there are no results of steps."""
    experiment = Experiment(lambda ctx: 0, STEPS, plugins=[Spy(after_step="apart")], autoload=False, name="e")
    (error,) = experiment.run().errors.values()
    assert (type(error), error.step) == (HookError, "apart")
    assert error.__notes__ == ["and: step 'bad' failed: ValueError: no"]


def test_an_observer_that_fails_is_switched_off_and_costs_no_step():
    """The run goes on without it and says so."""

    class Watcher(Spy):
        essential = False

    spy = Watcher(after_step="load")
    result = graph(*STEPS).run(executor=spy)
    assert [found.state for found in result.step_results.values()] == ["ok", "failed", "skipped", "ok"]
    assert spy.log == [("before_step", "load"), ("after_step", "load")]
    (warning,) = result.record.warnings
    assert warning == (
        "plugin 'spy' (local) was switched off for the rest of the run: its hook 'after_step' raised "
        "ValueError: broken hook"
    )


def test_a_step_that_raises_a_hook_error_of_its_own_ends_the_cell_like_a_plugin():
    """Whatever such an error says about itself, the rest is accounted for."""
    result = graph(raising(HookError("mine")), load).run()
    assert fates(result) == {"raises": ("failed", "HookError: mine"), "load": ("not run", "it was not reached: mine")}


# Which hooks see what ---------------------------------------------------------------------------------


def test_plugins_see_each_step_in_the_order_of_the_plan():
    """Before and after what runs, the failure with its attempt, what is skipped; nothing of what did not run."""
    spy = Spy()
    graph(needs_bad, *STEPS).run(executor=spy)
    assert spy.log == [
        ("before_step", "load"),
        ("after_step", "load"),
        ("before_step", "bad"),
        ("step_failed", "bad", "ValueError('no')", "1"),
        ("step_skipped", "skips", "condition '<lambda>' is False"),
        ("before_step", "apart"),
        ("after_step", "apart"),
        ("after_replicate", "StepError"),
        ("after_run",),
    ]


def test_a_hit_of_the_cache_is_after_but_not_before():
    """No attempt begins, but the output is there and is told."""

    @step
    def cached():
        return 5

    seen: list[Any] = []

    class Sees(Spy):
        def after_step(self, experiment, step, data, ctx):
            seen.append((step.name, data))

    spies = Sees(), Sees()
    for spy in spies:
        Pipeline([cached], name="p").run(executor=spy)
    assert [spy.log[0][0] for spy in spies] == ["before_step", "after_replicate"]
    assert seen == [("cached", 5), ("cached", 5)]


def test_what_hooks_write_is_committed_with_the_step_they_write_it_at():
    """Before a step, after it, and where it is skipped."""

    class Writes(BasePlugin):
        plugin_name = "writes"

        @hookimpl
        def before_step(self, step, ctx):
            ctx.record("before", step.name)

        @hookimpl
        def after_step(self, step, ctx):
            ctx.record("after", step.name)

        @hookimpl
        def step_skipped(self, step, ctx):
            ctx.record("skipped", step.name)

    pipeline = [load, SKIPS, apart]
    result = Experiment(lambda ctx: 0, pipeline, plugins=[Writes()], autoload=False).run()
    assert result.metrics.baseline.metrics == {
        "before": ["load", "apart"],
        "after": ["load", "apart"],
        "skipped": ["skips"],
    }
