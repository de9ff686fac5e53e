"""What people run, in jobs that are processes of this machine: the same results, and failures that have an address."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from pathlib import Path

import pytest

from crystallize_core import BasePlugin, Experiment, StackMismatchError, Treatment, pipeline_step
from crystallize_core.errors import HookError, NotSendableError, StepError, WorkerError
from crystallize_slurm import SlurmExecution


def local(**options):
    return SlurmExecution(**{"cluster": "local", "max_workers": 2, "poll_seconds": 0.1, **options})


def experiment(step, *plugins, replicates=12, **more):
    return Experiment(lambda ctx: ctx["replicate"], [step], replicates=replicates, plugins=[*plugins], **more)


def test_the_digest_is_that_of_the_plain_loop_with_random_numbers_and_arrays():
    """Seeding takes part in the workers; metrics and outputs of numpy arrive as they are."""
    numpy = pytest.importorskip("numpy")
    seeding = pytest.importorskip("crystallize_seeding")

    @pipeline_step()
    def draw(data, ctx):
        drawn = ctx.rng.normal(size=50) + ctx.get("shift", 0.0)
        return drawn, {"mean": drawn.mean(), "drawn": drawn, "cells": numpy.arange(3) * data}

    def made(*plugins):
        shift = Treatment("shifted", {"shift": 1.0})
        return experiment(draw, seeding.SeedPlugin(seed=7), *plugins, treatments=[shift])

    result = made(local()).run()
    assert result.errors == {}
    assert result.digest == made().run().digest


def test_a_failing_cell_has_its_address_and_cause_and_loses_nothing_else():
    """An exception of a worker arrives as itself."""

    @pipeline_step()
    def fails_in_two(data, ctx):
        if data == 2:
            raise KeyError("no such row")
        return data, {"value": data}

    result = experiment(fails_in_two, local(max_workers=1), replicates=4).run()
    (error,) = result.errors.values()
    assert isinstance(error, StepError)
    assert (error.replicate, error.condition, type(error.__cause__)) == (2, "baseline", KeyError)
    assert result.metrics.baseline.metrics == {"value": [0, 1, 3]}


def test_an_outcome_that_cannot_be_sent_fails_its_own_replicate():
    """The others of its chunk arrive."""

    @pipeline_step()
    def odd_one(data, ctx):
        class Stuck:
            def __reduce__(self):
                raise TypeError("stays here")

            def __deepcopy__(self, memo):
                return self

        return data, {"value": Stuck() if data == 5 else data}

    result = experiment(odd_one, local(max_workers=1)).run()
    (error,) = result.errors.values()
    assert isinstance(error, WorkerError)
    assert error.replicate == 5
    assert "its outcome cannot be sent from its worker" in str(error)
    assert "stays here" in str(error)
    assert result.metrics.baseline.metrics == {"value": [n for n in range(12) if n != 5]}


def test_an_experiment_that_cannot_be_sent_is_refused_before_anything_is_submitted():
    """The part is named."""
    lock = threading.Lock()

    @pipeline_step()
    def locked(data, ctx):
        return data, {"value": lock.locked()}

    with pytest.raises((NotSendableError, HookError)) as caught:
        experiment(locked, local()).run()
    assert "step 'locked': TypeError: cannot pickle '_thread.lock' object" in str(caught.value)
    assert list(Path().iterdir()) == []


def test_large_results_arrive():
    """50 MB in one outcome."""
    numpy = pytest.importorskip("numpy")

    @pipeline_step()
    def large(data, ctx):
        values = numpy.full(50_000_000 // 8, float(data))
        return values, {"values": values}

    result = experiment(large, local(max_workers=1), replicates=2).run()
    assert result.errors == {}
    assert [values.sum() for values in result.metrics.baseline.metrics["values"]] == [0.0, 50_000_000 / 8]


def test_workers_that_are_killed_or_exit_are_replaced(tmp_path):
    """Several times, by SIGKILL and by `os._exit`; the digest is that of a quiet run."""

    @pipeline_step()
    def unlucky(data, ctx):
        if data in (2, 5, 9) and not (tmp_path / f"{data}").exists():
            (tmp_path / f"{data}").touch()
            if data == 5:
                os._exit(3)
            os.kill(os.getpid(), signal.SIGKILL)
        return data, {"square": data * data}

    result = experiment(unlucky, local()).run()
    assert result.errors == {}
    assert result.digest == experiment(unlucky).run().digest


def test_a_stop_ends_the_run_at_once_and_the_later_replicates_are_left_out():
    """What a plugin decides in the coordinator holds everywhere."""

    class StopAtThree(BasePlugin):
        def should_stop(self, experiment, outcomes):
            return len(outcomes) >= 3 or None

    @pipeline_step()
    def value(data, ctx):
        return data, {"value": data}

    result = experiment(value, local(), StopAtThree(), replicates=1000).run()
    assert result.metrics.baseline.metrics == {"value": [0, 1, 2]}
    assert list(Path(".crystallize/slurm").iterdir()) == []


def test_two_experiments_run_at_one_time():
    """Each in a folder of its own."""

    @pipeline_step()
    def value(data, ctx):
        return data, {"value": data + ctx["offset"]}

    results = {}

    def run(offset):
        made = experiment(value, local(max_workers=1), initial_ctx={"offset": offset})
        results[offset] = made.run().metrics.baseline.metrics

    threads = [threading.Thread(target=run, args=(offset,)) for offset in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {offset: {"value": [n + offset for n in range(12)]} for offset in (0, 100)}


def test_plugins_work_in_the_jobs_and_their_events_arrive():
    """Retries around a step, and events that it emits."""
    retries = pytest.importorskip("crystallize_retries")
    heard = []

    class Hears(BasePlugin):
        def on_event(self, experiment, event):
            if event.name == "half":
                heard.append((event.replicate, event.payload))

        def __reduce__(self):
            return BasePlugin, ()

    @pipeline_step(retry=3)
    def flaky(data, ctx):
        ctx.emit("half", at=data / 2)
        seen.append(data)
        if len(seen) == 1:
            raise OSError("once in each process")
        return data, {"value": data}

    seen = []
    result = experiment(flaky, local(max_workers=1), retries.RetryPlugin(), Hears(), replicates=4).run()
    assert result.errors == {}
    assert sorted(heard) == [(n, {"at": n / 2}) for n in range(4)]


def test_async_steps_run():
    """There is one engine, also there."""

    @pipeline_step()
    async def fetched(data, ctx):
        return data, {"value": data}

    result = experiment(fetched, local(max_workers=1), replicates=3).run()
    assert result.metrics.baseline.metrics == {"value": [0, 1, 2]}


def test_what_keeps_a_worker_from_going_on_is_raised_and_the_folder_is_kept():
    """As it is, with a note that says where the logs are."""

    @pipeline_step()
    def leaves(data, ctx):
        raise SystemExit(data + 3)

    with pytest.raises(HookError) as caught:
        experiment(leaves, local(max_workers=1), replicates=1).run()
    assert repr(caught.value.__cause__) == "SystemExit(3)"
    (folder,) = Path(".crystallize/slurm").iterdir()
    assert caught.value.__cause__.__notes__ == [f"the logs of the jobs are in {folder.absolute() / 'jobs'}"]


def test_a_worker_with_another_stack_is_refused(monkeypatch):
    """Its interpreter finds other versions than the coordinator has."""
    monkeypatch.setattr("crystallize_core.stack.parity.version", lambda: "9.9")

    @pipeline_step()
    def value(data, ctx):
        return data, {"value": data}

    with pytest.raises((HookError, StackMismatchError)) as caught:
        experiment(value, local(max_workers=1), replicates=3).run()
    error = caught.value if isinstance(caught.value, StackMismatchError) else caught.value.__cause__
    assert isinstance(error, StackMismatchError)
    assert "9.9 in the coordinator" in str(error)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_debug_cluster_runs_it_here_and_cleans_up():
    """With the same result; submitit leaves the files of its log open, which is what is ignored here."""

    @pipeline_step()
    def value(data, ctx):
        return data, {"process": os.getpid()}

    result = experiment(value, local(cluster="debug"), replicates=3).run()
    assert result.metrics.baseline.metrics == {"process": [os.getpid()] * 3}
    assert list(Path(".crystallize/slurm").iterdir()) == []


def test_the_executor_is_a_recipe_that_can_be_pickled():
    """Workers get it with the stack."""
    made = local(parameters={"mem_gb": 4}, progress=True)
    assert pickle.loads(pickle.dumps(made)) == made
