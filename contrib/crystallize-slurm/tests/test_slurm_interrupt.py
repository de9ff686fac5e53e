"""Ctrl-C and the death of the coordinator: no job goes on, in the queue or elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import os, pathlib, time
from crystallize_core import BasePlugin, Experiment, RunInterrupted, pipeline_step
from crystallize_slurm import SlurmExecution

@pipeline_step()
def slow(data, ctx):
    if data >= 4:
        (pathlib.Path({marks!r}) / str(os.getpid())).touch()
        time.sleep(120)
    return data, {{"value": data}}

class Tells(BasePlugin):
    def replicate_done(self, experiment, replicate, outcome):
        (pathlib.Path({marks!r}) / f"done-{{replicate}}").touch()

try:
    Experiment(lambda ctx: ctx["replicate"], [slow], replicates=50, plugins=[
        Tells(), SlurmExecution(cluster={cluster!r}, max_workers={workers}, poll_seconds=0.05)
    ]).run()
except RunInterrupted as interrupted:
    print("interrupted with", sorted(interrupted.result.metrics.baseline.metrics["value"]))
"""


def wait_until(condition, seconds=30.0):
    """Whether it becomes true within so many seconds."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def start(tmp_path, cluster, workers):
    """Start the script in a group of its own and wait until two replicates hang; gives back their processes."""
    marks, script = tmp_path / "marks", tmp_path / "script.py"
    marks.mkdir()
    script.write_text(SCRIPT.format(cluster=cluster, workers=workers, marks=str(marks)))
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        start_new_session=True,
    )
    assert wait_until(lambda: len(list(marks.iterdir())) == 6)  # two that hang, four that are done
    return process, [int(path.name) for path in marks.iterdir() if path.name.isdecimal()]


@pytest.mark.parametrize("cluster", ["slurm", "local"])
def test_ctrl_c_ends_the_jobs_and_keeps_what_was_finished(cluster, tmp_path, request):
    """The signal reaches the whole group, as from a terminal: one message, no orphan, nothing in the queue, no folder."""
    if cluster == "slurm":
        request.getfixturevalue("slurm")
    process, workers = start(tmp_path, cluster, workers=3 if cluster == "slurm" else 2)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == ("interrupted with [0, 1, 2, 3]\n", "", 0)
    assert wait_until(lambda: not any(map(is_alive, workers)), seconds=5)
    assert list((tmp_path / ".crystallize" / "slurm").iterdir()) == []


@pytest.mark.parametrize("cluster", ["slurm", "local"])
def test_workers_end_with_their_coordinator(cluster, tmp_path, request):
    """A coordinator that is killed cannot cancel its jobs; they notice that its pulse has stopped."""
    if cluster == "slurm":
        request.getfixturevalue("slurm")
    process, workers = start(tmp_path, cluster, workers=2)
    process.kill()
    process.communicate(timeout=30)
    assert wait_until(lambda: not any(map(is_alive, workers)))
