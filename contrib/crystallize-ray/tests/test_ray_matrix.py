"""One digest for each experiment, with and without a cluster, whatever happens on it."""

from __future__ import annotations

import pytest

from crystallize_core.testing.matrix import run_matrix
from crystallize_ray import RayExecution


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("connected")
def test_a_cluster_makes_no_difference(tmp_path):
    """With a cold cache and a warm one, failures that retries heal, and workers that are killed."""
    found = run_matrix({"none": None, "ray": lambda: RayExecution(max_workers=2)}, tmp_path)
    assert (found.troubles, [len(digests) for digests in found.digests.values()]) == ([], [1, 1, 1])
    assert [cell for cell in found.cells if cell.executor == "ray" and cell.digest is None] == []
