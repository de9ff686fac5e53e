"""What named steps and policies cost, as ratios against a chain and against a bare call in the same run.

Nothing here fails because a machine is slow; the figures are printed, and a row that falls short says so.
Run with `tox -e bench`.
"""

import importlib.util
import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

CASES = Path(__file__).with_name("graph_cases.py")
ROUNDS = 5


def rounds(case):
    """A case in several fresh processes: for each of its rows, the median over the processes."""
    found = []
    for _ in range(ROUNDS):
        done = subprocess.run(
            [sys.executable, str(CASES), case], capture_output=True, text=True, check=True, timeout=600
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return {name: statistics.median(row[name] for row in found) for name in found[0]}, found


def ratio(found, above, below):
    return statistics.median(row[above] / row[below] for row in found)


def say(capsys, title, medians, *rows):
    with capsys.disabled():
        shown = ", ".join(f"{name} {value:.3g} us" for name, value in medians.items())
        print(f"\n{title}: {shown}")
        for name, value, wanted, is_fine in rows:
            print(f"  {name}: {value:.2f} (to reach: {wanted}) {'' if is_fine else '<- falls short'}")


needs_plugins = pytest.mark.skipif(
    importlib.util.find_spec("crystallize_retries") is None, reason="the plugins are not installed here"
)


def test_compiling(capsys):
    """A graph of 1000 named steps is compiled in under 100 ms."""
    medians, _ = rounds("compiling")
    milliseconds = medians["graph"] / 1000
    say(capsys, "plan of 1000 named steps", medians, ("milliseconds", milliseconds, "< 100", milliseconds < 100))
    assert milliseconds < 10_000


def test_a_step_of_a_graph(capsys):
    """It costs no more than twice a step of a chain."""
    medians, found = rounds("stepping")
    times = ratio(found, "graph", "chain")
    say(capsys, "ten steps, per step", medians, ("times a step of a chain", times, "<= 2", times <= 2))
    assert times < 20


@needs_plugins
def test_policies_that_are_not_used(capsys):
    """They cost nothing; and what one costs that is used."""
    medians, found = rounds("policies")
    unused, resources = ratio(found, "unused", "no plugin"), ratio(found, "resources unused", "no plugin")
    used = statistics.median(row["retry=3"] - row["unused"] for row in found)
    say(
        capsys,
        "ten steps with policies, per step",
        medians,
        ("with crystallize-retries and no option, times without", unused, "~1", unused < 1.1),
        ("with resources besides, times without", resources, "~1", resources < 1.2),
        ("microseconds that retry=3 adds to a step, with the commit of its attempt", used, "no target", True),
    )
    assert unused < 5


@needs_plugins
def test_a_retry_that_is_not_needed(capsys):
    """`retry=3` adds less than a microsecond to a call that takes 0.1."""
    medians, found = rounds("retrying")
    added = statistics.median(row["retry=3"] - row["bare"] for row in found)
    say(capsys, "a call, with and without retry=3", medians, ("microseconds added", added, "< 1", added < 1))
    assert added < 100
