"""The example on real data: one command, and the same bytes whatever runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parent.parent / "docs" / "examples" / "scaling" / "experiment.py"

pytestmark = [
    pytest.mark.ecosystem,
    pytest.mark.skipif(not EXAMPLE.is_file(), reason="the checkout is not beside the tests"),
]


def _run(folder, *options):
    pytest.importorskip("sklearn", exc_type=ImportError)
    command = [sys.executable, "-m", "crystallize_core", "run", str(EXAMPLE), "--replicates", "6", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_it_prints_all_that_a_reader_wants_to_know(tmp_path):
    """Mean and spread per condition, the verdicts, the seed, the stack with versions, the digest."""
    lines = _run(tmp_path).splitlines()
    assert [line.split()[0] for line in lines if "±" in line] == ["baseline", "standardised", "min-max"]
    assert [line.partition(" (p_value = ")[0] for line in lines if "p_value" in line] == [
        "standardised helps: standardised against baseline: supported",
        "min-max helps: min-max against baseline: supported",
    ]
    assert "seed: 20240" in lines
    assert any(line.startswith("stack: seeding 0") for line in lines)
    assert lines[-1].startswith("digest: ")
    assert list(tmp_path.iterdir()) == []


def test_every_run_and_every_executor_gives_the_same_digest(tmp_path):
    """Serially twice, in threads, in processes."""
    ways = [[], [], ["--executor", "thread"], ["--executor", "process"]]
    digests = [json.loads(_run(tmp_path, "--json", *options))["digest"] for options in ways]
    assert len(set(digests)) == 1
