"""What plugins cost before they do anything: at the start, when a stack is made, and when they only observe.

Nothing here fails because a machine is slow; the ratios are printed, and a row that falls short says so.
Run with `tox -e bench`.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

CASES = Path(__file__).with_name("stack_cases.py")
ROUNDS = 15
STEP = 10_000
"""Microseconds that the step takes which is observed."""


def case(name):
    found = subprocess.run([sys.executable, str(CASES), name], capture_output=True, text=True, check=True, timeout=600)
    return json.loads(found.stdout.splitlines()[-1])


def report(capsys, text, value, wanted, *, is_fine):
    with capsys.disabled():
        print(f"\n{text}: {value} (to reach: {wanted}) {'' if is_fine else '<- falls short'}")


def test_help_with_twenty_plugins(capsys, tmp_path):
    """Against an interpreter that only imports click."""
    for number in range(20):
        info = tmp_path / f"x_many{number}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: x-many{number}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[crystallize.plugins]\nmany{number} = x_many{number}:Plugin\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def seconds(*arguments):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start

    seconds("-m", "crystallize_core", "--help")  # compiles what was never imported
    ratios = [seconds("-m", "crystallize_core", "--help") / seconds("-c", "import click") for _ in range(ROUNDS)]
    found = statistics.median(ratios)
    report(capsys, "--help with 20 plugins, times `import click`", f"{found:.2f}", "< 3", is_fine=found < 3)
    assert found < 20


def test_a_stack_of_fifty_plugins(capsys):
    """Its order, with everything that is checked of the plugins; the floor is a topological sort of as many names."""
    found = [(case("stack"), case("floor-order")) for _ in range(3)]
    stack, floor = (statistics.median(values) for values in zip(*found, strict=True))
    text = f"{stack / 1000:.2f} ms, {stack / floor:.0f} times a topological sort"
    report(capsys, "a stack of 50 plugins", text, "< 5 ms", is_fine=stack < 5_000)
    assert stack / floor < 1_000


def test_five_observers(capsys):
    """Each with every hook that only observes, around a step that takes 10 ms."""
    found = [case("observed") - case("plain") for _ in range(3)]
    share = statistics.median(found) / STEP
    report(capsys, "5 observers, share of a step of 10 ms", f"{share:.3%}", "< 2 %", is_fine=share < 0.02)
    assert share < 1
