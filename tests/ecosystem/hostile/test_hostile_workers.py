"""Plugins that are hostile in workers: what cannot be sent is named, and a worker that dies costs one replicate."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from crystallize_core import BasePlugin, Experiment, NotSendableError, RunInterrupted, WorkerError

cloudpickle = pytest.importorskip("cloudpickle")  # comes with the executors
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
executors = pytest.importorskip("crystallize_executors")

pytestmark = [pytest.mark.ecosystem, pytest.mark.heavy, pytest.mark.timeout(120, method="thread")]


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """Nothing is written into the checkout."""
    monkeypatch.chdir(tmp_path)


def run(plugin):
    executor = executors.ProcessExecution(max_workers=2)
    made = Experiment(
        lambda ctx: ctx["replicate"],
        [lambda data: (data, {"x": data})],
        [plugin, executor],
        replicates=3,
        autoload=False,
        name="study",
    )
    return made.run()


class HasALock(BasePlugin):
    def __init__(self):
        self.lock = threading.Lock()

    def before_step(self, step): ...


class RaisesWhenPickled(BasePlugin):
    def __reduce__(self):
        raise OSError("no way")

    def before_step(self, step): ...


def refuse():
    raise OSError("no licence here")


class RaisesWhenReadBack(BasePlugin):
    def __reduce__(self):
        return refuse, ()

    def before_step(self, step): ...


class BecomesSomethingElse(BasePlugin):
    def __reduce__(self):
        return dict, ()

    def before_step(self, step): ...


class EndsItsWorker(BasePlugin):
    def before_step(self, ctx):
        if ctx["replicate"] == 1:
            os._exit(3)


class LeaksThreads(BasePlugin):
    def before_step(self):
        threading.Thread(target=time.sleep, args=(1000,), name="leak").start()
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()


class RunsItself(BasePlugin):
    essential = False

    def before_step(self, experiment):
        experiment.run()


class Interrupts(BasePlugin):
    def before_step(self, ctx):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (HasALock(), "plugin 'has_a_lock': TypeError: cannot pickle '_thread.lock' object"),
        (RaisesWhenPickled(), "plugin 'raises_when_pickled': OSError: no way"),
    ],
    ids=lambda value: getattr(type(value), "__name__", None),
)
def test_a_plugin_that_cannot_be_pickled_is_named_before_anything_runs(plugin, reason):
    """With the ways out."""
    with pytest.raises(NotSendableError) as caught:
        run(plugin)
    assert caught.value.message.splitlines()[:2] == [
        "this experiment cannot be sent to another process:",
        f"  {reason}",
    ]
    assert "use the thread executor" in caught.value.message


def test_a_plugin_that_cannot_be_read_back_is_named():
    """The worker knows only that it could not make the experiment."""
    with pytest.raises(WorkerError, match="cannot rebuild the experiment: OSError: no licence here") as caught:
        run(RaisesWhenReadBack())
    assert caught.value.__notes__[-1] == (
        "plugin 'raises_when_read_back' (argument) cannot be read back from its pickle: OSError: no licence here"
    )


def test_a_plugin_that_becomes_something_else_on_its_way_is_refused_by_the_worker():
    """Under its name."""
    with pytest.raises(WorkerError, match="plugin 'becomes_something_else' cannot be used"):
        run(BecomesSomethingElse())


def test_a_plugin_that_ends_its_worker_costs_the_replicate_in_which_it_does():
    """The others are there, and the error says how often it was tried."""
    result = run(EndsItsWorker())
    assert result.metrics.baseline.metrics == {"x": [0, 2]}
    assert [str(error) for error in result.errors.values()] == [
        (
            "the replicate was lost: WorkerError: its worker process died 3 times while it ran alone in it, at last with "
            "exit code 3 [experiment 'study', replicate 1, condition 'baseline']"
        )
    ]


def test_threads_that_a_plugin_leaves_in_workers_do_not_keep_the_run():
    """Workers are ended, whatever still runs in them."""
    result = run(LeaksThreads())
    assert (result.metrics.baseline.metrics, result.errors, result.warnings) == ({"x": [0, 1, 2]}, {}, [])


def test_a_plugin_that_runs_its_experiment_in_a_worker_starts_no_workers_of_workers():
    """It is switched off there, as it is in the coordinator."""
    result = run(RunsItself())
    assert (result.metrics.baseline.metrics, result.errors) == ({"x": [0, 1, 2]}, {})
    (text,) = result.warnings
    assert "its hook 'before_step' raised DefinitionError: experiment 'study' is run by one of its own hooks" in text


def test_ctrl_c_in_a_hook_in_a_worker_ends_the_run_and_names_it():
    """The note travels."""
    with pytest.raises(RunInterrupted) as caught:
        run(Interrupts())
    assert caught.value.__notes__ == ["interrupted in hook 'before_step' of plugin 'interrupts' (local)"]
