"""What a hit of the step cache costs, as ratios against joblib.Memory and crystallize-ml in the same run.

Nothing here fails because a machine is slow; the figures are printed, and a row that falls short says so.
Run with `tox -e bench`.
"""

import importlib.util
import json
import statistics
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

CASES = Path(__file__).with_name("cache_cases.py")
ROUNDS = 3


def measured(capsys, case, title, wanted):
    """Run a case in several fresh processes, and print its medians and the ratios of two of its figures."""
    found = []
    for _ in range(ROUNDS):
        done = subprocess.run(
            [sys.executable, str(CASES), case], capture_output=True, text=True, check=True, timeout=900
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    ratios = {pair: statistics.median(row[pair[0]] / row[pair[1]] for row in found) for pair in wanted}
    with capsys.disabled():
        shown = ", ".join(f"{name} {statistics.median(row[name] for row in found):.4g} us" for name in found[0])
        print(f"\n{title}: {shown}")
        for pair, ratio in ratios.items():
            sign, goal = wanted[pair]
            fine = ratio >= goal if sign == ">=" else ratio <= goal
            print(f"  {pair[0]} / {pair[1]}: {ratio:.2f} (to reach: {sign} {goal}) {'' if fine else '<- falls short'}")
    return ratios


@pytest.fixture
def peers():
    """Those that are compared: joblib, and crystallize-ml, which is called crystallize like our umbrella."""
    try:
        version("crystallize-ml")
    except PackageNotFoundError:
        pytest.skip("crystallize-ml is not installed here; tox -e bench has it")
    if importlib.util.find_spec("joblib") is None:
        pytest.skip("joblib is not installed here; tox -e bench has it")


def test_a_small_hit(capsys, peers):
    """Three numbers in and out."""
    wanted = {("joblib", "core"): (">=", 3), ("peer replicate", "core replicate"): (">=", 4)}
    ratios = measured(capsys, "small", "hit with [1, 2, 3]", wanted | {("peer step", "core"): (">=", 4)})
    assert all(ratio > 0 for ratio in ratios.values())


def test_a_small_hit_by_a_call(capsys, peers):
    """One call of a pipeline each, with all that is set up for it."""
    wanted = {("joblib", "core"): (">=", 3), ("peer", "core"): (">=", 4)}
    ratios = measured(capsys, "call", "Pipeline.run([1, 2, 3])", wanted)
    assert all(ratio > 0 for ratio in ratios.values())


def test_a_large_hit(capsys, peers):
    """100 MB in and out."""
    ratios = measured(
        capsys, "large", "hit with 100 MB", {("joblib", "core"): (">=", 10), ("peer", "core"): (">=", 10)}
    )
    assert all(ratio > 0 for ratio in ratios.values())


@pytest.mark.skipif(importlib.util.find_spec("numpy") is None, reason="numpy is not installed")
def test_a_chain_of_large_hits(capsys):
    """What is in the cache is neither read nor hashed on the way to the last step."""
    ratios = measured(capsys, "chain", "ten hits with 100 MB each", {("core", "hash"): ("<=", 2)})
    assert all(ratio > 0 for ratio in ratios.values())


def test_a_hit_among_many_entries(capsys):
    """A look-up does not search."""
    ratios = measured(capsys, "many", "hit beside other entries", {("100000 entries", "100 entries"): ("<=", 1.5)})
    assert all(ratio > 0 for ratio in ratios.values())
