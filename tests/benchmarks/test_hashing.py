"""What digests of values cost, as ratios against pickle+sha256 and joblib.hash in the same run.

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

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(
        importlib.util.find_spec("joblib") is None, reason="joblib is not installed; tox -e bench has it"
    ),
]

CASES = Path(__file__).with_name("hash_cases.py")
ROUNDS = 5


def measured(capsys, case, title, wanted):
    """Run a case in several fresh processes, and print its medians and how often the digest fits into the others."""
    found = []
    for _ in range(ROUNDS):
        done = subprocess.run(
            [sys.executable, str(CASES), case], capture_output=True, text=True, check=True, timeout=600
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    ratios = {other: statistics.median(row[other] / row["core"] for row in found) for other in wanted}
    with capsys.disabled():
        shown = ", ".join(f"{name} {statistics.median(row[name] for row in found):.3g} us" for name in found[0])
        print(f"\n{title}: {shown}")
        for other, ratio in ratios.items():
            least = wanted[other]
            fine = least is None or ratio >= least
            goal = "no target" if least is None else f">= {least}"
            print(f"  times faster than {other}: {ratio:.2f} (to reach: {goal}) {'' if fine else '<- falls short'}")
    return ratios


def test_a_large_array(capsys):
    """100 MB of float64."""
    ratios = measured(capsys, "array", "digest of 100 MB", {"pickle+sha256": 9, "joblib": None})
    assert all(ratio > 0 for ratio in ratios.values())


def test_a_small_list(capsys):
    """Three numbers: what every cached step pays at least."""
    ratios = measured(capsys, "small", "digest of [1, 2, 3]", {"pickle+sha256": None, "joblib": 1})
    assert all(ratio > 0 for ratio in ratios.values())


@pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="pandas is not installed")
def test_a_table(capsys):
    """A million rows of numbers and texts."""
    ratios = measured(capsys, "frame", "digest of a table of 10^6 rows", {"pickle+sha256": None, "joblib": None})
    assert all(ratio > 0 for ratio in ratios.values())
