"""A Ray of its own for a run, Ctrl-C, and the death of the coordinating process: nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals to a group of processes")

SCRIPT = """
import os, time
from crystallize_core import Experiment, RunInterrupted, pipeline_step
from crystallize_ray import RayExecution

@pipeline_step()
def slow(data, ctx):
    if data >= 4:
        open(f"{{os.getpid()}}.running", "w").close()
        time.sleep(60)
    return data, {{"value": data}}

try:
    executor = RayExecution(address={address!r}, max_workers=2)
    Experiment(lambda ctx: ctx["replicate"], [slow], [executor], replicates=50).run()
except RunInterrupted as interrupted:
    print("interrupted with", sorted(interrupted.result.metrics.baseline.metrics["value"]))
"""
# The outcomes of a chunk arrive together, and 2 and 3 may be in one with a replicate that hangs. So may 1, if the other
# worker has started only when the first one had answered 0 and was given more.
KEPT = {f"interrupted with {kept}\n" for kept in ([0], [0, 1], [0, 1, 2], [0, 1, 3], [0, 1, 2, 3])}


def start(folder, address):
    """Start the script in a group of its own, and wait until replicates hang; gives back their processes."""
    (folder / "script.py").write_text(SCRIPT.format(address=address))
    process = subprocess.Popen(
        [sys.executable, "script.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while len(running := [int(path.stem) for path in folder.glob("*.running")]) < 2:
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process, running


def eventually(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # an ended process that nobody has waited for is no orphan


def processes_of(session):
    """The processes that were started in this session, and by those."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def test_ctrl_c_ends_the_run_and_keeps_what_was_finished(cluster, tmp_path):
    """One line of our own, no orphan on the cluster, and the cluster stays."""
    process, running = start(tmp_path, cluster.address)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (err, process.returncode) == ("", 0)
    assert out in KEPT
    eventually(lambda: not any(map(is_alive, running)))
    assert cluster.head_node.any_processes_alive()


def test_ctrl_c_ends_a_ray_that_was_started_for_the_run(tmp_path):
    """None of its processes and none of its files stay."""
    process, running = start(tmp_path, None)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (err, process.returncode) == ("", 0)
    assert out in KEPT
    eventually(lambda: not any(map(is_alive, running)))
    eventually(lambda: processes_of(process.pid) == [])
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".running"} == {"script.py"}


def test_workers_end_with_their_coordinator(cluster, tmp_path):
    """A coordinator that is killed cannot tell its workers; Ray does."""
    process, running = start(tmp_path, cluster.address)
    process.kill()
    process.communicate(timeout=60)
    eventually(lambda: not any(map(is_alive, running)))


OWN = """
import logging, os, signal
environment, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
from crystallize_core import Experiment, pipeline_step
from crystallize_ray import RayExecution

@pipeline_step()
def square(data, ctx):
    return data, {"square": data * data}

def digest(*plugins):
    return Experiment(lambda ctx: ctx["replicate"], [square], list(plugins), replicates=9).run().digest

assert digest(RayExecution(max_workers=2)) == digest()
assert dict(os.environ) == environment
assert signal.getsignal(signal.SIGTERM) == handler
import ray
assert not ray.is_initialized()
"""


def test_a_ray_that_was_started_for_a_run_leaves_nothing(tmp_path):
    """Nothing is printed, no variable of the environment is changed, and the home and the temporary folder stay empty."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env |= {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", OWN], capture_output=True, text=True, timeout=120, check=False, env=env, cwd=tmp_path
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert list(tmp_path.iterdir()) == []
