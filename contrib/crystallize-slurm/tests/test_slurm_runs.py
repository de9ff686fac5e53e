"""What the kit for executors does not try, in jobs that are processes of this machine."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from pathlib import Path

import pytest

from crystallize_core import BasePlugin, Experiment, StackMismatchError, pipeline_step
from crystallize_core.errors import HookError, NotSendableError
from crystallize_slurm import SlurmExecution


def local(**options):
    return SlurmExecution(**{"cluster": "local", "max_workers": 2, "poll_seconds": 0.1, **options})


def experiment(step, *plugins, replicates=12, **more):
    return Experiment(lambda ctx: ctx["replicate"], [step], replicates=replicates, plugins=[*plugins], **more)


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


def test_jobs_find_the_modules_of_the_coordinator(tmp_path, monkeypatch):
    """What was put on `sys.path`; what is no text among it is passed over, as in an import."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "of_slurm.py").write_text("def step(data, ctx):\n    return data, {'a': data}\n")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path / "passed_over"])
    import of_slurm

    result = experiment(pipeline_step()(of_slurm.step), local(max_workers=1), replicates=2).run()
    assert (result.errors, result.metrics.baseline.metrics) == ({}, {"a": [0, 1]})


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
