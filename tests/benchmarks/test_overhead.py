"""What the engine costs, as ratios against the bare loop and against crystallize-ml in the same run.

Nothing here fails because a machine is slow; the ratios are printed, and a row that falls short says so.
Run with `tox -e bench`.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

CASES = Path(__file__).with_name("cases.py")
ROUNDS = 5


def case(system, workload):
    """Microseconds of one case in a fresh process."""
    found = subprocess.run(
        [sys.executable, str(CASES), system, workload], capture_output=True, text=True, check=True, timeout=600
    )
    return json.loads(found.stdout.splitlines()[-1])


def rounds(workload, systems):
    """The cases of a workload, interleaved, so that a machine whose speed drifts does no harm."""
    return [{system: case(system, workload) for system in systems} for _ in range(ROUNDS)]


def ratio(found, above, below):
    return statistics.median(row[above] / row[below] for row in found)


def report(capsys, workload, found, ratios):
    """Print the medians and ratios of one workload, each beside what it is to reach."""
    medians = {system: statistics.median(row[system] for row in found) for system in found[0]}
    with capsys.disabled():
        shown = ", ".join(f"{system} {value:.3g} us" for system, value in medians.items())
        print(f"\n{workload}: {shown}")
        for name, value, wanted, is_fine in ratios:
            print(f"  {name}: {value:.1f} (to reach: {wanted}) {'' if is_fine else '<- falls short'}")


@pytest.fixture(scope="module")
def peer():
    """crystallize-ml, which is called crystallize like our umbrella and so needs an environment without that."""
    probe = subprocess.run(
        [sys.executable, "-c", "from importlib.metadata import version; print(version('crystallize-ml'))"],
        capture_output=True,
        text=True,
        check=False,
    )
    if probe.returncode:
        pytest.skip("crystallize-ml is not installed here; tox -e bench has it")
    return probe.stdout.strip()


def test_chain(capsys, peer):
    """A chain of ten no-op steps, no plugins."""
    found = rounds("chain", ["bare", "core", "peer"])
    against_peer, against_bare = ratio(found, "peer", "core"), ratio(found, "core", "bare")
    ratios = [
        ("times less than crystallize-ml", against_peer, ">= 25", against_peer >= 25),
        ("times the bare loop", against_bare, "<= 15", against_bare <= 15),
    ]
    report(capsys, "chain of 10, per step", found, ratios)
    assert against_peer > 1


def test_chain_with_plugins(capsys, peer):
    """The same with five plugins that implement before_step and after_step and do nothing."""
    found = rounds("chain-5-plugins", ["core", "peer"])
    against_peer = ratio(found, "peer", "core")
    ratios = [("times less than crystallize-ml", against_peer, ">= 12", against_peer >= 12)]
    report(capsys, "chain of 10 with 5 plugins, per step", found, ratios)
    assert against_peer > 1


def test_large_data(capsys):
    """A 10 MB array that flows through costs no more than a small value."""
    found = [{"small": case("core", "chain"), "10 MB": case("core", "chain-10-MB")} for _ in range(ROUNDS)]
    growth = ratio(found, "10 MB", "small")
    report(
        capsys, "10 MB through a chain of 10, per step", found, [("times a small value", growth, "~1", growth < 1.2)]
    )
    assert growth < 10


def test_experiment(capsys, peer):
    """(baseline + 3 treatments) x 1000 replicates x 3 steps with a metric each."""
    found = rounds("experiment", ["core", "peer"])
    against_peer = ratio(found, "peer", "core")
    ratios = [("times faster than crystallize-ml", against_peer, ">= 15", against_peer >= 15)]
    report(capsys, "4 conditions x 1000 replicates x 3 steps, per cell", found, ratios)
    assert against_peer > 1


def test_start_up(capsys):
    """Importing the core, and `--help`, against an interpreter that does nothing."""

    def seconds(*arguments):
        code = "import subprocess, sys, time; s = time.perf_counter(); subprocess.run(sys.argv[1:], check=True, "
        code += "stdout=subprocess.DEVNULL); print(time.perf_counter() - s)"
        found = subprocess.run(
            [sys.executable, "-c", code, sys.executable, *arguments], capture_output=True, text=True, check=True
        )
        return float(found.stdout) * 1e6

    found = [
        {
            "pass": seconds("-c", "pass"),
            "import": seconds("-c", "import crystallize_core"),
            "help": seconds("-m", "crystallize_core", "--help"),
        }
        for _ in range(3 * ROUNDS)
    ]
    imported, helped = ratio(found, "import", "pass"), ratio(found, "help", "pass")
    ratios = [
        ("import crystallize_core, times `python -c pass`", imported, "<= 7", imported <= 7),
        ("--help, times `python -c pass`", helped, "no target", True),
    ]
    report(capsys, "start-up", found, ratios)
    assert imported < 100
