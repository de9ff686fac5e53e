"""The whole way through the commands of Slurm: what is submitted, what becomes of it, and that nothing stays in the queue."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from crystallize_core import BasePlugin, Experiment, pipeline_step
from crystallize_core.errors import CrystallizeError, HookError, WorkerError
from crystallize_slurm import SlurmExecution


def square():
    @pipeline_step()
    def squared(data, ctx):
        return data, {"square": data * data}

    return squared


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def experiment(step, *plugins, replicates=20):
    return Experiment(lambda ctx: ctx["replicate"], [step], replicates=replicates, plugins=[*plugins])


def run(step, *plugins, replicates=20, **options):
    options = {"max_workers": 2, "poll_seconds": 0.1, **options}
    return experiment(step, SlurmExecution(**options), *plugins, replicates=replicates).run()


@contextlib.contextmanager
def raises(kind):
    """The run fails with this error, on its own or as the cause of one that adds the address of the plugin."""
    found = []
    with pytest.raises(CrystallizeError) as caught:
        yield found
    error = caught.value.__cause__ if isinstance(caught.value, HookError) else caught.value
    assert isinstance(error, kind)
    found.append(str(error))


def test_a_run_is_one_array_of_jobs_and_leaves_nothing_behind(slurm, capfd):
    """The digest is that of the plain loop; the folder of the run is gone, and the terminal is clean."""
    result = run(square())
    assert result.errors == {}
    assert result.digest == experiment(square()).run().digest
    assert slurm.left() == {}
    assert slurm.states() == {"101_0": "COMPLETED", "101_1": "COMPLETED"}
    assert names(".crystallize/slurm") == []
    assert capfd.readouterr() == ("", "")


def test_jobs_that_wait_in_the_queue_are_no_hindrance_and_are_cancelled_at_the_end(slurm):
    """One slot, three jobs: the first does all the work, the others never start."""
    slurm.set("slots", 1)
    result = run(square(), max_workers=3)
    assert result.errors == {}
    assert slurm.left() == {}
    assert sorted(slurm.states().values()) == ["CANCELLED by 1000", "CANCELLED by 1000", "COMPLETED"]


def test_a_job_that_starts_late_is_used(slurm, tmp_path):
    """The second slot is opened by a replicate, and its job runs replicates too."""
    slurm.set("slots", 1)
    home = str(slurm.home)

    @pipeline_step()
    def who(data, ctx):
        path = Path(home) / "slots"
        if data == 0:
            path.write_text("2")
        names = Path(home) / "seen"
        names.mkdir(exist_ok=True)
        (names / f"{os.environ['SLURM_ARRAY_TASK_ID']}").touch()
        until = time.monotonic() + 20
        while data and len(list(names.iterdir())) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        return data

    assert run(who, replicates=6).errors == {}
    assert names(slurm.home / "seen") == ["0", "1"]


def test_a_replicate_that_kills_its_job_again_and_again_fails_alone(slurm):
    """The others have their outcomes; the error has the job, how it ended, what to do, and the end of its log."""
    slurm.set("killed", "OUT_OF_MEMORY")

    @pipeline_step()
    def deadly(data, ctx):
        if data == 7:
            import sys

            print("the array is too large", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return data, {"square": data * data}

    result = run(deadly, max_deaths=2)
    assert result.metrics.baseline.metrics["square"] == [n * n for n in range(20) if n != 7]
    (error,) = result.errors.values()
    assert isinstance(error, WorkerError)
    assert (error.replicate, error.condition) == (7, "baseline")
    text = str(error)
    assert "its job ended 2 times while it ran, at last job 10" in text
    assert '(OUT_OF_MEMORY)\n  ask for more memory, by resources={"memory": "16Gi"} of the step' in text
    assert "the end of its log" in text
    assert "\n    the array is too large" in text
    (folder,) = Path(".crystallize/slurm").iterdir()
    assert str(folder.absolute()) in text


def test_a_replicate_that_kills_its_job_once_is_healed(slurm, tmp_path):
    """By SIGKILL or by `os._exit`: nothing is lost, and the digest is that of a quiet run."""
    marks = tmp_path / "marks"
    marks.mkdir()

    @pipeline_step()
    def unlucky(data, ctx):
        if data in (3, 12) and not (marks / f"{data}").exists():
            (marks / f"{data}").touch()
            if data == 12:
                os._exit(3)
            os.kill(os.getpid(), signal.SIGKILL)
        return data, {"square": data * data}

    result = run(unlucky)
    assert result.errors == {}
    assert result.digest == experiment(unlucky).run().digest
    assert names(marks) == ["12", "3"]


def test_without_accounting_the_queue_is_asked(slurm, tmp_path, capfd):
    """`sacct` fails on such clusters; what it complains about is not shown."""
    slurm.set("no_accounting")
    marks = tmp_path / "marks"
    marks.mkdir()

    @pipeline_step()
    def unlucky(data, ctx):
        if data == 3 and not (marks / "3").exists():
            (marks / "3").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return data, {"square": data * data}

    assert run(unlucky, replicates=6).errors == {}
    assert capfd.readouterr() == ("", "")


def test_a_replicate_that_does_not_fit_into_a_job_is_given_up_with_the_limit(slurm):
    """A job that is out of time is a death, and the advice is to raise the limit."""
    slurm.set("minute", 8.0)

    @pipeline_step()
    def endless(data, ctx):
        while data == 1:
            time.sleep(0.1)
        return data, {"square": data}

    result = run(endless, replicates=3, timeout_minutes=1, max_deaths=1, max_workers=1)
    (error,) = result.errors.values()
    assert "at last job 101 (TIMEOUT)\n  a replicate must fit into one job: raise timeout_minutes, now 1" in str(error)
    assert result.metrics.baseline.metrics == {"square": [0, 2]}


def test_a_run_may_take_longer_than_its_jobs(slurm):
    """A job that is nearly out of time gives its place to another; no replicate dies of it."""
    slurm.set("minute", 10.0)

    @pipeline_step()
    def slow(data, ctx):
        time.sleep(1.0)
        return data, {"square": data * data}

    result = run(slow, replicates=9, timeout_minutes=1, max_deaths=1, max_workers=1)
    assert result.errors == {}
    assert result.metrics.baseline.metrics == {"square": [n * n for n in range(9)]}
    assert slurm.left() == {}
    assert set(slurm.states().values()) == {"COMPLETED"}
    assert len(slurm.states()) > 1


def test_a_job_that_is_preempted_finishes_its_replicate_and_another_goes_on(slurm):
    """The signal of Slurm raises nothing in the middle of a step."""
    home = str(slurm.home)

    @pipeline_step()
    def preempted(data, ctx):
        if data == 2 and not (Path(home) / "told").exists():
            (Path(home) / "told").touch()
            os.kill(os.getpid(), signal.SIGUSR2)
            time.sleep(0.2)
        return data, {"job": data}

    result = run(preempted, replicates=5, max_deaths=1, max_workers=1)
    assert result.errors == {}
    assert result.metrics.baseline.metrics == {"job": [0, 1, 2, 3, 4]}
    assert slurm.left() == {}
    assert slurm.states() == {"101": "COMPLETED", "102": "COMPLETED"}


def test_an_early_stop_cancels_the_jobs_that_still_work(slurm):
    """Those in the queue and those in the middle of a long replicate."""
    slurm.set("slots", 1)

    class Stop(BasePlugin):
        def should_stop(self, experiment, outcomes):
            return True

    @pipeline_step()
    def slow(data, ctx):
        time.sleep(60 * (data > 0))
        return data, {"value": data}

    result = run(slow, Stop(), replicates=5)
    assert result.metrics.baseline.metrics == {"value": [0]}
    assert slurm.left(seconds=5) == {}


def test_a_controller_that_does_not_answer_is_said_at_once(slurm):
    """`sbatch` would try for minutes; nothing is submitted."""
    slurm.set("down")
    with raises(WorkerError) as found:
        run(square())
    (text,) = found
    assert "Slurm does not answer: `scontrol ping` says: Slurmctld(primary) at head is DOWN\n" in text
    assert slurm.states() == {}


def test_what_slurm_says_of_a_job_that_it_does_not_take_is_the_message(slurm):
    """A wrong partition, say."""
    slurm.set("refuse", "sbatch: error: invalid partition specified: nowhere")
    with raises(WorkerError) as found:
        run(square(), partition="nowhere")
    assert "the cluster 'slurm' takes no job: FailedJobError: sbatch: error: invalid partition specified" in found[0]


def test_without_slurm_the_run_is_refused_and_nothing_runs_here_in_silence(monkeypatch):
    """The message names the option that runs the jobs on this machine."""
    monkeypatch.setenv("PATH", "/nowhere")
    with raises(WorkerError) as found:
        run(square())
    expected = "Slurm is not here: 'srun' and 'sbatch' cannot be found in PATH\n  run on a machine of the cluster that "
    assert found[0].startswith(expected + 'may submit jobs, or say SlurmExecution(cluster="local") to run the jobs on')
    assert names(".") == []


def test_jobs_that_end_before_they_work_end_the_run_with_their_log(slurm):
    """What is wrong with the machines of the cluster is in the log of the job."""
    with raises(WorkerError) as found:
        run(square(), max_workers=1, parameters={"setup": ["srun() { echo no such file >&2; exit 3; }"]})
    assert "3 jobs in a row ended before they ran a replicate, at last job 103: FAILED" in found[0]
    assert "_0_log.err:\n    no such file" in found[0]


def test_a_run_inside_of_a_job_does_not_pass_on_that_job(slurm, monkeypatch):
    """A coordinator may be a job itself."""
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "5")
    assert run(square(), replicates=3, max_workers=1).errors == {}
    assert os.environ["SLURM_ARRAY_TASK_ID"] == "5"


def test_nothing_pending_starts_nothing(slurm):
    """Not even the folder is made."""

    class Known(BasePlugin):
        def load_replicate(self, experiment, replicate):
            return outcomes[replicate]

    outcomes = []

    class Keep(BasePlugin):
        def replicate_done(self, experiment, replicate, outcome):
            outcomes.append(outcome)

    experiment(square(), Keep(), replicates=2).run()
    assert run(square(), Known(), replicates=2).errors == {}
    assert (slurm.states(), names(".")) == ({}, [])
