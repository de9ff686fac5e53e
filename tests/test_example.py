"""The examples: one command each, and the same bytes whatever runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
EXAMPLE = EXAMPLES / "scaling" / "experiment.py"

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


def test_the_graph_reports_the_best_polynomial_and_is_cached_afterwards(tmp_path):
    """Also in another process, and whatever order sets have there."""
    command = [sys.executable, str(EXAMPLES / "graph" / "pipeline.py")]
    states = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "CRYSTALLIZE_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        states.append([tuple(line.split()[:2]) for line in lines[1:8]])
        assert lines[-1].startswith("degree 5, off by 0.00")
    names = ["measure", "split", "fit", "fit_2", "fit_3", "compare", "report"]
    assert states == [[(name, state) for name in names] for state in ("ok", "cached")]
