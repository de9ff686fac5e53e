"""The matrix of executors, caches and mishaps: its table, and what it notices."""

from __future__ import annotations

import subprocess
import sys

import attrs
import pytest

from crystallize_core import BasePlugin
from crystallize_core.testing.matrix import run_matrix

pytestmark = pytest.mark.ecosystem
pytest.importorskip("cloudpickle")  # comes with the executors
pytest.importorskip("numpy")

PURE = ["pure Python"]
SERIAL = "serial"


class Wrong(BasePlugin):
    """Loses the metrics of the last replicate."""

    concurrency = "serial"

    def run_experiment_loop(self, experiment, replicate_fn):
        made = [type(replicate_fn)(replicate_fn._session, None)(number) for number in replicate_fn.pending]
        cells = [attrs.evolve(cell, metrics=[]) for cell in made[-1].cells]
        return [*made[:-1], attrs.evolve(made[-1], cells=cells)]


class Broken(BasePlugin):
    """Runs nothing."""

    def run_experiment_loop(self, experiment, replicate_fn):
        raise OSError("no machine")


def test_every_executor_comes_to_one_digest(tmp_path):
    """With a cold cache and a warm one, with failures that retries heal, and with workers that are killed."""
    found = run_matrix(
        {"none": None, "thread": "thread", "process": "process:max_workers=2"}, tmp_path, experiments=PURE
    )
    assert (found.troubles, [len(digests) for digests in found.digests.values()]) == ([], [1])
    left_out = [(cell.executor, cell.mishap) for cell in found.cells if cell.digest is None]
    assert left_out == [(name, "workers killed") for name in ("none", "none", "thread", "thread")]
    assert len(found.cells) == 3 * 3 * 2


def test_random_numbers_are_the_same_everywhere(tmp_path):
    """Those of NumPy, seeded by the stack."""
    found = run_matrix(
        {"none": None, "async": "async"}, tmp_path, experiments=["NumPy"], mishaps=["failures that retries heal"]
    )
    assert (found.troubles, len(found.digests["NumPy"])) == ([], 1)


def test_an_executor_that_changes_a_result_is_noticed(tmp_path):
    """Also one that raises; the others are run nevertheless."""
    found = run_matrix(
        {"none": None, "wrong": Wrong, "broken": Broken},
        tmp_path,
        experiments=PURE,
        mishaps=["no failures"],
        replicates=2,
    )
    *lines, last = found.troubles
    assert [line.partition(" raised")[0] for line in lines] == [
        f"pure Python, broken, {cache} cache, no failures: HookError: hook 'run_experiment_loop' of plugin 'broken'"
        for cache in ("cold", "warm")
    ]
    assert last == "pure Python has 2 digests"
    assert "FAILED" in str(found)


def test_the_command_prints_the_table(tmp_path):
    """And a sum in words."""
    command = [
        sys.executable,
        "-m",
        "crystallize_core.testing.matrix",
        SERIAL,
        "--experiment",
        *PURE,
        "--replicates",
        "2",
    ]
    done = subprocess.run(
        [*command, "--mishap", "no failures"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    head, _, cold, warm, _, last = done.stdout.splitlines()
    assert head.split() == ["executor", "cache", "mishap", "pure", "Python"]
    assert (cold.split()[:2], warm.split()[:2]) == (["serial", "cold"], ["serial", "warm"])
    assert cold.split()[-1] == warm.split()[-1]
    assert last == "2 runs, and one digest for each experiment"


def test_the_command_ends_with_1_where_something_differs(tmp_path):
    """What went wrong is on stderr."""
    command = [sys.executable, "-m", "crystallize_core.testing.matrix", "nobody", "--experiment", *PURE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "executor 'nobody' is not installed" in done.stderr
