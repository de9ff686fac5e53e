"""The cluster that is started for one run: scripts, the command line, Ctrl-C and the death of the coordinator."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from crystallize_core import Experiment, pipeline_step
from crystallize_core.errors import CrystallizeError, HookError, WorkerError
from crystallize_dask import DaskExecution

README = Path(__file__).resolve().parent.parent / "README.md"
(SNIPPET,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
ALONE = {**os.environ, "CRYSTALLIZE_AUTOLOAD": "0"}

SCRIPT = """
import os, sys, time
from crystallize_core import Experiment, RunInterrupted, pipeline_step
from crystallize_dask import DaskExecution

@pipeline_step()
def slow(data, ctx):
    if data >= 4:
        print(f"running {{os.getpid()}}\\n", end="", flush=True)
        {wait}
    time.sleep(1.1)  # so long that a worker is given one at a time, and its outcome is there before the next begins
    return data, {{"value": data}}

try:
    Experiment(
        datasource=lambda ctx: ctx["replicate"],
        pipeline=[slow],
        replicates=50,
        plugins=[DaskExecution(max_workers=2)],
    ).run()
except RunInterrupted as interrupted:
    print("interrupted with", sorted(interrupted.result.metrics.baseline.metrics["value"]))
"""
LATE = """
import threading
from distributed import Client
from distributed.utils import LoopRunner

ends = threading.Event()
stop, sync = LoopRunner._real_stop, Client.sync

def stop_and_say_so(self, timeout):
    ends.set()
    stop(self, timeout)

def sync_late(self, *arguments, **more):
    if threading.current_thread() is not threading.main_thread() and not self.asynchronous:
        ends.wait()
    return sync(self, *arguments, **more)

LoopRunner._real_stop, Client.sync = stop_and_say_so, sync_late
"""
EXPERIMENT = """
from crystallize_core import Experiment, pipeline_step

@pipeline_step()
def twice(data, ctx):
    return data, {"twice": 2 * data}

experiment = Experiment(lambda ctx: ctx["replicate"], [twice], replicates=6)
"""


@contextlib.contextmanager
def started(tmp_path, wait, before=""):
    """The script in a group of its own, read on until replicates hang; gives the processes of those. Leaves nothing."""
    (tmp_path / "tmp").mkdir()
    script = tmp_path / "script.py"
    script.write_text(before + SCRIPT.format(wait=wait))
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**ALONE, "TMPDIR": str(tmp_path / "tmp")},
        start_new_session=True,
    ) as process:
        try:
            yield process, {int(process.stdout.readline().split()[1]) for _ in range(2)}
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # an ended process that nobody has waited for is no orphan


def all_gone(processes, seconds=10.0):
    until = time.monotonic() + seconds
    while any(map(is_alive, processes)) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(map(is_alive, processes))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
@pytest.mark.parametrize("wait", ["time.sleep(60)", "while True: pass"], ids=["sleep", "busy"])
def test_ctrl_c_ends_the_run_and_keeps_what_was_finished(wait, tmp_path):
    """The signal reaches the whole group, as from a terminal; one message, no orphan, no file, no lost outcome."""
    with started(tmp_path, wait) as (process, running):
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert all_gone(running)
    assert (out.splitlines()[-1], err, process.returncode) == ("interrupted with [0, 1, 2, 3]", "", 0)
    assert list((tmp_path / "tmp").glob("crystallize-dask-*")) == []


def test_no_thread_waits_for_the_loop_of_dask_when_that_ends(tmp_path):
    """Whoever asks it for something at the moment at which it ends is never answered, and would keep the program from ending."""
    with started(tmp_path, "time.sleep(60)", before=LATE) as (process, _):
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (out.splitlines()[-1], err) == ("interrupted with [0, 1, 2, 3]", "")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_workers_end_with_their_coordinator(tmp_path):
    """A coordinator that is killed cannot tell its workers; they notice."""
    with started(tmp_path, "while True: pass") as (process, running):
        process.kill()
        process.communicate(timeout=30)
        assert all_gone(running)


def test_the_snippet_of_the_readme_runs_as_a_script(tmp_path):
    """What a reader pastes into a file works, without `if __name__ == "__main__":` and without a word of Dask."""
    script = tmp_path / "snippet.py"
    script.write_text(SNIPPET)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, env=ALONE, timeout=120, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_the_readme_tells_how_to_install_it():
    """The line that a reader needs first."""
    assert "pip install crystallize-dask\n" in README.read_text()


def test_one_worker_and_several_have_the_same_digest():
    """And modules that only this process can import, because of its `sys.path`, are found in the workers."""

    @pipeline_step()
    def halves(data, ctx):
        return data, {"half": data / 2}

    def run(*plugins):
        return Experiment(lambda ctx: ctx["replicate"], [halves], list(plugins), replicates=30).run()

    one, two, plain = run(DaskExecution(max_workers=1, threads_per_worker=2)), run(DaskExecution(max_workers=2)), run()
    assert (one.errors, two.errors) == ({}, {})
    assert one.digest == two.digest == plain.digest


@pytest.mark.parametrize("where", ["dask", "dask://"])
def test_the_command_line_knows_it_by_its_name_and_by_an_address(where, request, tmp_path):
    """`--executor dask` and `--executor dask://host:port`; modules and files beside the experiment travel along."""
    (tmp_path / "experiment.py").write_text(EXPERIMENT)
    named = where if where == "dask" else request.getfixturevalue("address").replace("tcp://", where)
    command = [sys.executable, "-m", "crystallize_core", "run", "experiment.py", "--executor", named]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=ALONE, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "twice" in done.stdout


def test_an_experiment_runs_by_the_name_of_the_executor(address):
    """Through the entry point, with options from nowhere but the address."""

    @pipeline_step()
    def twice(data, ctx):
        return data, {"twice": 2 * data}

    named = Experiment(lambda ctx: ctx["replicate"], [twice], replicates=6)
    result = named.run(executor=address.replace("tcp://", "dask://"))
    assert result.metrics.baseline.metrics == {"twice": [0, 2, 4, 6, 8, 10]}


def test_workers_that_cannot_start_are_an_error(monkeypatch, capfd):
    """After a few attempts, instead of trying for ever."""
    monkeypatch.setattr("crystallize_dask.local._PROGRAM", "import sys; sys.exit('no such luck')")
    with pytest.raises(CrystallizeError) as caught:
        Experiment(lambda ctx: 1, [pipeline_step()(lambda data, ctx: data)], [DaskExecution(max_workers=1)]).run()
    error = caught.value.__cause__ if isinstance(caught.value, HookError) else caught.value
    assert isinstance(error, WorkerError)
    assert "the workers of the local Dask cluster end while they start (exit code 1)" in str(error)
    assert capfd.readouterr().err.count("no such luck") == 3


def test_nothing_is_left_in_the_temporary_folder(monkeypatch, tmp_path):
    """What workers put aside goes with them, and `sys.path` is what it was, also what is no text among it."""
    path = [*sys.path, tmp_path / "passed_over"]
    monkeypatch.setattr(sys, "path", list(path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = Experiment(lambda ctx: 1, [pipeline_step()(lambda data, ctx: data)], [DaskExecution(max_workers=1)]).run()
    assert result.errors == {}
    assert list(tmp_path.iterdir()) == []
    assert sys.path == path
