"""Ctrl-C and the death of the coordinating process: nothing stays behind."""

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
import asyncio, os, sys, time
from crystallize_core import Experiment, RunInterrupted, pipeline_step
from crystallize_executors import AsyncExecution, ProcessExecution, SerialExecution, ThreadExecution

@pipeline_step()
def slow(data, ctx):
    if data >= 4:
        print(f"running {{os.getpid()}}\\n", end="", flush=True)
        {wait}
    return data, {{"value": data}}

try:
    Experiment(
        datasource=lambda ctx: ctx["replicate"], pipeline=[slow], replicates=50, plugins=[{executor}]
    ).run()
except RunInterrupted as interrupted:
    print("interrupted with", sorted(interrupted.result.metrics.baseline.metrics["value"]))
"""
SLEEP = "time.sleep(60)"
BUSY = """while True: pass"""
EXECUTORS = {
    "serial": "SerialExecution()",
    "thread": "ThreadExecution(max_workers=2)",
    "async": "AsyncExecution(max_workers=2)",
    "spawn": 'ProcessExecution(max_workers=2, start_method="spawn")',
    "forkserver": 'ProcessExecution(max_workers=2, start_method="forkserver")',
}


def start(tmp_path, executor, wait):
    """Start the script in a group of its own and read on until replicates hang; gives back their processes."""
    script = tmp_path / "script.py"
    body = SCRIPT.format(executor=executor, wait=wait)
    if "Async" in executor:
        body = body.replace("def slow", "async def slow")
    script.write_text(body)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "CRYSTALLIZE_AUTOLOAD": "0"},
        start_new_session=True,
    )
    running = set()
    wanted = 1 if "Serial" in executor or ("Async" in executor and "await" not in wait) else 2
    for _ in range(wanted):
        running.add(int(process.stdout.readline().split()[1]))
    time.sleep(0.5)  # workers keep outcomes back for a moment
    return process, running


def all_gone(processes, seconds=10.0):
    """Whether all of them have ended within so many seconds."""
    until = time.monotonic() + seconds
    while processes and time.monotonic() < until:
        processes = {pid for pid in processes if is_alive(pid)}
        time.sleep(0.02)
    return not processes


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state != "Z"  # an ended process that nobody has waited for is no orphan


@pytest.mark.parametrize("wait", [SLEEP, BUSY], ids=["sleep", "busy"])
@pytest.mark.parametrize("name", ["serial", "thread", "async", "spawn", "forkserver"])
def test_ctrl_c_ends_the_run_and_keeps_what_was_finished(name, wait, tmp_path):
    """The signal reaches the whole group, as from a terminal; one message, no orphan, no lost outcome."""
    process, running = start(tmp_path, EXECUTORS[name], wait)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert all_gone(running)
    assert (out.splitlines()[-1], err, process.returncode) == ("interrupted with [0, 1, 2, 3]", "", 0)


@pytest.mark.parametrize("wait", [SLEEP, BUSY], ids=["sleep", "busy"])
@pytest.mark.parametrize("name", ["spawn", "forkserver"])
def test_workers_end_with_their_coordinator(name, wait, tmp_path):
    """A coordinator that is killed cannot tell its workers; they notice."""
    process, running = start(tmp_path, EXECUTORS[name], wait)
    process.kill()
    process.communicate(timeout=20)
    assert all_gone(running)


def test_ctrl_c_cancels_waiting_tasks(tmp_path):
    """Under asyncio the waiting replicates are cancelled, and what was finished is kept."""
    process, _ = start(tmp_path, EXECUTORS["async"], "await asyncio.sleep(60)")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (out.splitlines()[-1], err, process.returncode) == ("interrupted with [0, 1, 2, 3]", "", 0)
