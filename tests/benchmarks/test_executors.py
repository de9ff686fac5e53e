"""What executors cost, as ratios against bare pools of the standard library and the serial executor in the same run.

Nothing here fails because a machine is slow; the figures are printed, and a row that falls short says so.
Run with `tox -e bench`, on two cores.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

CASES = Path(__file__).with_name("executor_cases.py")
ROUNDS = 3


def rounds(case, count=ROUNDS):
    """The figures of a case in several fresh processes."""
    found = []
    for _ in range(count):
        done = subprocess.run(
            [sys.executable, str(CASES), case], capture_output=True, text=True, check=True, timeout=900
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return found


def report(capsys, title, found, rows):
    """Print the medians, and each row: what it is, its value, what is to be reached, and whether it is."""
    with capsys.disabled():
        shown = ", ".join(f"{name} {statistics.median(row[name] for row in found):.4g}" for name in found[0])
        print(f"\n{title}: {shown}")
        for name, value, wanted, is_fine in rows:
            print(f"  {name}: {value:.3f} (to reach: {wanted}) {'' if is_fine else '<- falls short'}")


def ratio(found, above, below):
    return statistics.median(row[above] / row[below] for row in found)


def test_processes_that_compute(capsys):
    """64 replicates of 50 ms in two processes, the start of the workers included on both sides."""
    found = rounds("busy")
    share, gain = ratio(found, "bare pool", "processes"), ratio(found, "serial", "processes")
    rows = [
        ("bare pool / processes", share, ">= 0.95", share >= 0.95),
        ("serial / processes", gain, ">= 1.8", gain >= 1.8),
        ("serial / bare pool", ratio(found, "serial", "bare pool"), "what two cores give here", True),
        ("first run / processes", ratio(found, "processes, first run", "processes"), "what the server costs", True),
    ]
    report(capsys, "64 x 50 ms, seconds", found, rows)
    assert share > 0


def test_waiting_in_threads_and_tasks(capsys):
    """64 replicates that wait for 100 ms."""
    found = rounds("waiting")
    rows = [
        (f"{ours} / {bare}", value := ratio(found, ours, bare), "<= 1.1", value <= 1.1)
        for ours, bare in (("threads", "bare threads"), ("async", "bare async"))
    ]
    report(capsys, "64 x 100 ms of waiting, seconds", found, rows)
    assert all(value > 0 for _, value, _, _ in rows)


def test_a_hundred_thousand_tiny_replicates(capsys):
    """20 us each, which processes are not to be slower with than one process."""
    found = rounds("small")
    value, first = ratio(found, "processes", "serial"), ratio(found, "processes, first run", "serial")
    rows = [
        ("processes / serial", value, "<= 1", value <= 1),
        ("first run / serial", first, "<= 1", first <= 1),
    ]
    report(capsys, "100,000 x 20 us, seconds", found, rows)
    assert value > 0


@pytest.mark.parametrize("case", ["many", "many in processes"])
def test_a_million_replicates(capsys, case):
    """One metric each: what is kept beyond the values, and ten times the replicates in ten times the time."""
    found = rounds(case, 1)
    (row,) = found
    kept, growth = row["bytes of 1000000"], row["1000000 replicates"] / row["100000 replicates"]
    rows = [
        ("bytes beyond the value, per replicate", kept, "< 100", kept < 100),
        ("time of 1,000,000 / time of 100,000", growth, "<= 12", growth <= 12),
    ]
    report(capsys, f"1,000,000 replicates, {case}", found, rows)
    assert growth > 0
