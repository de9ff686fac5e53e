"""Runs: again, at once, in threads, in event loops, interrupted, and what the hooks of a run see."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from crystallize_core import (
    BasePlugin,
    DefinitionError,
    Event,
    ExecutorError,
    Experiment,
    HookError,
    Hypothesis,
    PipelineStep,
    Result,
    RunInterrupted,
    Treatment,
)


def made(*steps: Any, **parts: Any) -> Experiment:
    defaults: dict[str, Any] = {
        "datasource": lambda ctx: ctx["replicate"],
        "pipeline": list(steps) or [lambda data: (data, {"n": data})],
        "replicates": 3,
        "autoload": False,
    }
    return Experiment(**defaults | parts)


class Watch(BasePlugin):
    """Notes every hook that is called, in order."""

    def __init__(self):
        self.calls: list[Any] = []
        self.results: list[Result] = []

    def before_run(self, experiment, run):
        self.calls.append("before_run")

    def before_replicate(self, experiment, ctx):
        self.calls.append(f"before_replicate {ctx['condition']} {ctx['replicate']}")

    def before_step(self, experiment, step, ctx):
        self.calls.append(f"before_step {step.name}")

    def after_step(self, experiment, step, data, ctx):
        self.calls.append(f"after_step {step.name} {data}")

    def after_replicate(self, experiment, ctx, outcome):
        self.calls.append(f"after_replicate {outcome.condition} {'failed' if outcome.failed else 'fine'}")

    def replicate_done(self, experiment, replicate, outcome):
        self.calls.append(f"replicate_done {replicate}")

    def on_event(self, experiment, event):
        self.calls.append(f"event {event.name}")

    def after_run(self, experiment, result):
        self.calls.append("after_run")
        self.results.append(result)


# The life of a run --------------------------------------------------------------------------------


def test_the_hooks_of_a_run_come_in_their_order():
    """From `before_run` to `run.finished`, one cell after the other."""
    watch = Watch()

    def step(data, ctx):
        ctx.emit("mine")
        return data

    made(step, plugins=[watch], treatments=[Treatment("a", {})], replicates=1).run()
    assert watch.calls == [
        "before_run",
        "event run.started",
        "before_replicate baseline 0",
        "before_step step",
        "after_step step 0",
        "after_replicate baseline fine",
        "before_replicate a 0",
        "before_step step",
        "after_step step 0",
        "after_replicate a fine",
        "event mine",
        "event mine",
        "event replicate.done",
        "replicate_done 0",
        "after_run",
        "event run.finished",
    ]


def test_events_of_the_lifecycle_say_what_happened():
    """`run.started`, `replicate.done` and `run.finished` have payloads; those of steps their place."""
    events: list[Event] = []

    class Hears(BasePlugin):
        def on_event(self, experiment, event):
            events.append(event)

    def step(data, ctx):
        ctx.emit("mine", value=1)
        return 1 / data

    made(step, plugins=[Hears()], replicates=2).run()
    finished = events.pop()
    assert events == [
        Event("run.started", {"replicates": 2, "conditions": ("baseline",)}),
        Event("replicate.done", {"failed": True}, 0),
        Event("mine", {"value": 1}, 1, "baseline", "step"),
        Event("replicate.done", {"failed": False}, 1),
    ]
    assert (finished.name, finished.payload["errors"]) == ("run.finished", 1)


def test_a_cell_that_failed_ends_with_its_hook():
    """`after_replicate` is called for failed cells as well, `after_step` not for failed steps."""
    watch = Watch()

    def fails(data):
        raise ValueError("no")

    made(fails, plugins=[watch], replicates=1).run()
    assert "after_replicate baseline failed" in watch.calls
    assert not [call for call in watch.calls if call.startswith("after_step")]


def test_the_run_info_is_the_same_everywhere():
    """`before_run` gets what `ctx.run` is in the steps and `result.run.info` afterwards."""
    seen = []

    class Looks(BasePlugin):
        def before_run(self, experiment, run):
            run.shared["looks"] = {"folder": "x"}
            seen.append(run)

    result = made(lambda data, ctx: seen.append(ctx.run), plugins=[Looks()], replicates=1, name="e").run()
    assert seen[0] is seen[1]
    assert result.run.info == seen[0]
    assert (seen[0].experiment, seen[0].replicates, seen[0].conditions) == ("e", 1, ("baseline",))
    assert (seen[0].concurrency, seen[0].shared) == ("serial", {"looks": {"folder": "x"}})


def test_a_hook_that_fails_the_cell_names_plugin_and_hook():
    """A failing `before_step` of an essential plugin is a failed cell with its address."""

    class Fails(BasePlugin):
        plugin_name = "fails"

        def before_step(self, experiment, step, ctx):
            if ctx["replicate"] == 1:
                raise OSError("gone")

    result = made(plugins=[Fails()]).run()
    assert list(result.errors) == ["baseline_rep_1"]
    assert type(result.errors["baseline_rep_1"]) is HookError
    assert str(result.errors["baseline_rep_1"]) == (
        "hook 'before_step' of plugin 'fails' raised OSError: gone [experiment 'experiment', replicate 1, condition "
        "'baseline', step '<lambda>', plugin 'fails', hook 'before_step']"
    )
    assert result.metrics.baseline["n"] == [0, 2]


# Setup and teardown -------------------------------------------------------------------------------


class Prepared(PipelineStep):
    """A step that notes its life."""

    def __init__(self):
        self.calls: list[str] = []

    def setup(self, ctx):
        self.calls.append("setup")

    def __call__(self, data):
        self.calls.append(f"call {data}")
        return data

    def teardown(self, ctx):
        self.calls.append("teardown")


def test_a_step_is_set_up_once_per_run():
    """Before the first replicate and after the last, whatever the number of conditions and places."""
    step = Prepared()
    experiment = made(step, step, treatments=[Treatment("a", {})], replicates=2)
    experiment.run()
    assert step.calls == ["setup", *["call 0"] * 4, *["call 1"] * 4, "teardown"]
    step.calls.clear()
    experiment.run(replicates=1)
    assert step.calls == ["setup", *["call 0"] * 4, "teardown"]


def test_a_step_is_torn_down_after_a_failure():
    """Failing cells and interrupted runs tear down too."""
    step = Prepared()

    def stops(data):
        raise KeyboardInterrupt

    made(step, lambda data: 1 / 0, replicates=1).run()
    with pytest.raises(RunInterrupted):
        made(step, stops, replicates=1).run()
    assert step.calls == ["setup", "call 0", "teardown"] * 2


def test_a_setup_that_fails_ends_the_run_and_undoes_the_others():
    """Nothing runs, the error names the step, and the steps that were set up are torn down."""
    first = Prepared()

    class Fails(PipelineStep):
        def setup(self, ctx):
            raise OSError("no device")

        def __call__(self, data):
            raise AssertionError

    with pytest.raises(DefinitionError) as caught:
        made(first, Fails()).run()
    assert str(caught.value) == (
        "setup of step 'Fails' failed: OSError: no device [experiment 'experiment', step 'Fails']"
    )
    assert first.calls == ["setup", "teardown"]


def test_a_teardown_that_fails_is_a_warning():
    """The results stand, and the other steps are torn down."""
    other = Prepared()

    class Fails(PipelineStep):
        def __call__(self, data):
            return data, {"n": data}

        def teardown(self, ctx):
            raise OSError("stuck")

    result = made(Fails(), other).run()
    assert result.warnings == ["teardown of step 'Fails' failed: OSError: stuck"]
    assert result.metrics.baseline["n"] == [0, 1, 2]
    assert other.calls[-1] == "teardown"


# Again and at once --------------------------------------------------------------------------------


def test_a_second_run_knows_nothing_of_the_first():
    """Two runs of one experiment give the same result, and neither changes the other's."""
    experiment = made(lambda data, ctx: (ctx.add("k", 1), {"n": data, "seen": len(ctx.metrics)}))
    first = experiment.run()
    before = first.to_dict()
    second = experiment.run()
    assert second.digest == first.digest
    assert first.to_dict() == before


def test_one_experiment_runs_twice_at_once():
    """Runs in two threads meet in the middle of a replicate and do not mix."""
    meet = threading.Barrier(2)

    def step(data, ctx):
        if data == 1:
            meet.wait(10)
        ctx.add("k", threading.get_ident())
        return data, {"n": data, "own": ctx["k"] == threading.get_ident()}

    experiment = made(step)
    with ThreadPoolExecutor(2) as pool:
        results = [future.result() for future in [pool.submit(experiment.run) for _ in range(2)]]
    for result in results:
        assert result.metrics.baseline.metrics == {"n": [0, 1, 2], "own": [True] * 3}
    assert results[0].digest == results[1].digest
    assert results[0].run.id != results[1].run.id


# Event loops --------------------------------------------------------------------------------------


async def later(data, ctx):
    await asyncio.sleep(0)
    ctx.record("loop", id(asyncio.get_running_loop()))
    return data, {"n": data}


def numbers(result: Result) -> dict[str, list[Any]]:
    return {name: values for name, values in result.metrics.baseline.metrics.items() if name != "loop"}


def test_run_works_inside_a_running_loop():
    """As in a notebook; the numbers are those of a plain run, on one loop for the whole run."""

    async def main():
        return made(later, later).run()

    plain, inside = made(later, later).run(), asyncio.run(main())
    assert numbers(inside) == numbers(plain) == {"n": [0, 0, 1, 1, 2, 2]}
    for result in (plain, inside):
        assert len(set(result.metrics.baseline["loop"])) == 1


def test_arun_uses_the_loop_of_the_caller():
    """Async steps run on it; the result is that of `run`."""

    async def main():
        return await made(later).arun(), id(asyncio.get_running_loop())

    result, loop = asyncio.run(main())
    assert set(result.metrics.baseline["loop"]) == {loop}
    assert numbers(result) == numbers(made(later).run())


def test_the_loop_of_the_caller_stays_free_with_an_executor():
    """`arun` with an executor works in a thread, so that other tasks go on."""
    started, go_on = threading.Event(), threading.Event()

    class Waits(BasePlugin):
        def run_experiment_loop(self, experiment, replicate_fn):
            started.set()
            assert go_on.wait(10)
            return [replicate_fn(number) for number in range(experiment.replicates)]

    async def main():
        run = asyncio.ensure_future(made(plugins=[Waits()]).arun())
        await asyncio.to_thread(started.wait, 10)
        go_on.set()
        return await run

    assert asyncio.run(main()).metrics.baseline["n"] == [0, 1, 2]


def test_two_aruns_share_a_loop():
    """Runs that wait for each other's steps both finish."""

    async def main():
        both = asyncio.Barrier(2)

        async def meet(data):
            await both.wait()
            return data, {"n": data}

        results = await asyncio.gather(made(meet).arun(), made(meet).arun())
        return [result.metrics.baseline["n"] for result in results]

    assert asyncio.run(main()) == [[0, 1, 2]] * 2


def test_a_cancelled_arun_calls_after_run():
    """Cancelling the task ends the run; plugins see its end, and the task is cancelled."""
    watch = Watch()

    async def main():
        entered = asyncio.Event()

        async def waits(data):
            entered.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(made(waits, plugins=[watch]).arun())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert watch.calls.count("after_run") == 1


def test_a_run_works_in_a_thread():
    """Also with async steps."""
    with ThreadPoolExecutor(1) as pool:
        assert numbers(pool.submit(made(later).run).result()) == {"n": [0, 1, 2]}


def test_threads_of_an_executor_have_loops_of_their_own():
    """Async steps under an executor with threads: one loop per thread, and the numbers of a plain run."""

    class Threads(BasePlugin):
        concurrency = "thread"

        def run_experiment_loop(self, experiment, replicate_fn):
            with ThreadPoolExecutor(3) as pool:
                return list(pool.map(replicate_fn, range(experiment.replicates)))

    result = made(later, later, replicates=12, plugins=[Threads()]).run()
    assert numbers(result) == numbers(made(later, later, replicates=12).run())
    assert len(set(result.metrics.baseline["loop"])) <= 3


# Interruptions ------------------------------------------------------------------------------------


def stop_at(number: int, error: type[BaseException]) -> Any:
    def step(data):
        if data == number:
            raise error
        return data, {"n": data}

    return step


def test_ctrl_c_keeps_what_was_finished():
    """`RunInterrupted` is a `KeyboardInterrupt` with the partial result; hooks saw the end."""
    watch = Watch()
    hypothesis = Hypothesis(lambda baseline, treatment: {"p_value": len(baseline["n"])}, "n", name="h")
    with pytest.raises(RunInterrupted) as caught:
        made(
            stop_at(2, KeyboardInterrupt), plugins=[watch], treatments=[Treatment("a", {})], hypotheses=[hypothesis]
        ).run()
    result = caught.value.result
    assert isinstance(caught.value, KeyboardInterrupt)
    assert result.metrics.baseline["n"] == result.metrics.treatments["a"]["n"] == [0, 1]
    assert result.get_hypothesis("h").results == {"a": {"p_value": 2}}
    assert result.run.interrupted is True
    assert "(interrupted)" in str(result)
    assert watch.results == [result]
    assert Result.from_json(result.to_json()).run.interrupted is True


def test_a_real_signal_interrupts_a_real_process(tmp_path):
    """SIGINT in the middle of a step: the script can write what was finished."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, threading\n"
        "from crystallize_core import Experiment, RunInterrupted\n"
        "def step(data):\n"
        "    if data == 2:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        threading.Event().wait(60)\n"
        "    return data, {'n': data}\n"
        "async def waits(data):\n"
        "    import asyncio\n"
        "    if data == 2:\n"
        "        while True:\n"  # a signal that comes before the wait is heard with the next one
        "            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)\n"
        "            await asyncio.sleep(0.5)\n"
        "    return step(data)\n"
        "def run(step):\n"
        "    try:\n"
        "        Experiment(lambda ctx: ctx['replicate'], [step], replicates=9, autoload=False).run()\n"
        "    except RunInterrupted as stopped:\n"
        "        print(stopped.result.metrics.baseline.metrics, stopped.result.run.interrupted, flush=True)\n"
        "run(step)\n"
        "run(waits)\n"
        "async def main():\n"
        "    run(waits)\n"
        "import asyncio\n"
        "loop = asyncio.new_event_loop()\n"
        "loop.run_until_complete(main())\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False, env=_environment()
    )
    assert done.stdout.splitlines() == ["{'n': [0, 1]} True"] * 3, done.stderr
    assert done.returncode == 0


def _environment() -> dict[str, str]:
    import crystallize_core

    folder = Path(crystallize_core.__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def test_system_exit_goes_through_after_the_hooks():
    """A step that ends the program ends it; plugins see the end of the run first."""
    watch = Watch()
    with pytest.raises(SystemExit) as caught:
        made(stop_at(1, SystemExit), plugins=[watch]).run()
    assert type(caught.value) is SystemExit
    assert watch.results[0].metrics.baseline["n"] == [0]
    assert watch.calls[-2:] == ["after_run", "event run.finished"]


def test_an_executor_that_is_interrupted_keeps_what_was_delivered():
    """Ctrl-C inside an executor: what had arrived behind a gap is kept as well."""

    class Interrupted(BasePlugin):
        def run_experiment_loop(self, experiment, replicate_fn):
            replicate_fn(0)
            replicate_fn(2)
            raise KeyboardInterrupt

    with pytest.raises(RunInterrupted) as caught:
        made(plugins=[Interrupted()]).run()
    assert caught.value.result.metrics.baseline["n"] == [0, 2]


def test_signals_are_left_alone():
    """A run installs no handler of its own."""
    before = signal.getsignal(signal.SIGINT)
    made(later).run()
    assert signal.getsignal(signal.SIGINT) is before


# Resume and stop ----------------------------------------------------------------------------------


class Keeps(BasePlugin):
    """A plugin that keeps replicates in memory and gives them back."""

    def __init__(self):
        self.known: dict[int, Any] = {}

    def replicate_done(self, experiment, replicate, outcome):
        self.known[replicate] = outcome

    def load_replicate(self, experiment, replicate):
        return self.known.get(replicate)


@pytest.mark.parametrize("how", [{"resume": True}, {"strategy": "resume"}])
def test_known_replicates_are_not_run_again(how):
    """What `load_replicate` gives is used; the result is that of a whole run."""
    ran: list[int] = []

    def step(data):
        ran.append(data)
        return data, {"n": data}

    keeps = Keeps()
    experiment = made(step, plugins=[keeps])
    whole = experiment.run()
    del keeps.known[1]
    ran.clear()
    again = experiment.run(**how)
    assert ran == [1]
    assert again.digest == whole.digest
    assert list(again.rows()) == list(whole.rows())


def test_an_executor_sees_what_is_pending():
    """`replicate_fn.pending` leaves out what is known."""
    seen = []

    class Looks(BasePlugin):
        def run_experiment_loop(self, experiment, replicate_fn):
            seen.append(list(replicate_fn.pending))
            return [replicate_fn(number) for number in replicate_fn.pending]

    keeps = Keeps()
    experiment = made(plugins=[keeps, Looks()])
    experiment.run()
    keeps.known = {1: keeps.known[1]}
    experiment.run(resume=True)
    assert seen == [[0, 1, 2], [0, 2]]


def test_a_known_replicate_of_another_number_is_refused():
    """A plugin that gives the wrong replicate is named."""

    class Confuses(BasePlugin):
        plugin_name = "confuses"

        def load_replicate(self, experiment, replicate):
            return self.outcome if replicate == 1 else None

    confuses = Confuses()
    confuses.outcome = next(made().stream())
    with pytest.raises(HookError) as caught:
        made(plugins=[confuses]).run(resume=True)
    assert "it must return the outcome of replicate 1 or None, found that of replicate 0" in str(caught.value)
    assert (caught.value.plugin, caught.value.hook) == ("confuses", "load_replicate")


def test_a_known_replicate_of_other_conditions_is_refused():
    """A kept replicate of an experiment with other treatments is not mixed in."""

    class Confuses(BasePlugin):
        plugin_name = "confuses"

        def load_replicate(self, experiment, replicate):
            return self.outcome if replicate == 0 else None

    confuses = Confuses()
    confuses.outcome = next(made(treatments=[Treatment("other", {})]).stream())
    with pytest.raises(ExecutorError) as caught:
        made(plugins=[confuses], treatments=[Treatment("a", {})]).run(resume=True)
    assert str(caught.value) == (
        "replicate 0 has the conditions 'baseline', 'other', and this run has 'baseline', 'a' "
        "[plugin 'confuses', hook 'load_replicate']"
    )


class Enough(BasePlugin):
    """Stops when the values so far sum up to 3."""

    def __init__(self):
        self.asked: list[list[int]] = []

    def should_stop(self, experiment, outcomes):
        self.asked.append([outcome.replicate for outcome in outcomes])
        return sum(outcome.metrics["baseline"]["n"][0] for outcome in outcomes) >= 3


def test_a_plugin_may_have_enough():
    """`should_stop` is asked after each replicate in order; later ones are neither run nor counted."""
    enough, ran = Enough(), []

    def step(data):
        ran.append(data)
        return data, {"n": data}

    result = made(step, plugins=[enough], replicates=10).run()
    assert enough.asked == [[0], [0, 1], [0, 1, 2]]
    assert ran == [0, 1, 2]
    assert result.metrics.baseline["n"] == [0, 1, 2]
    assert result.run.stopped_at == 2
    assert "3 of 10 replicates" in str(result)
    assert "(stopped early)" in str(result)


def test_stopping_does_not_depend_on_the_order_of_completion():
    """Under an executor that finishes the last replicate first, the same replicates count."""

    class Backwards(BasePlugin):
        def run_experiment_loop(self, experiment, replicate_fn):
            return [replicate_fn(number) for number in reversed(range(experiment.replicates))]

    enough = Enough()
    result = made(plugins=[enough, Backwards()], replicates=10).run()
    assert result.metrics.baseline["n"] == [0, 1, 2]
    assert result.digest == made(plugins=[Enough()], replicates=10).run().digest
    assert enough.asked == [[0], [0, 1], [0, 1, 2]]


def test_a_failed_replicate_beyond_the_end_does_not_count():
    """Errors and artifacts of replicates after the stop are not in the result."""

    def step(data, ctx):
        ctx.artifacts.add("file", "x")
        if data == 5:
            raise ValueError("beyond")
        return data, {"n": data}

    class Backwards(BasePlugin):
        def run_experiment_loop(self, experiment, replicate_fn):
            return [replicate_fn(number) for number in reversed(range(experiment.replicates))]

    result = made(step, plugins=[Enough(), Backwards()], replicates=8).run()
    assert result.errors == {}
    assert {artifact.replicate for artifact in result.artifacts} == {0, 1, 2}
