"""`RayExecution`, by the kit that every executor is tested with."""

from __future__ import annotations

import pytest

from crystallize_core.testing import ExecutorConformance
from crystallize_ray import RayExecution


class TestRayExecution(ExecutorConformance):
    workers = (2,)  # the digest with one worker is compared elsewhere; starting workers is what takes the time
    ahead = 40  # a second of work
    patience_seconds = 60.0
    timeout_seconds = 120.0
    ends_hanging_steps = True

    @pytest.fixture(autouse=True)
    def _cluster(self, connected, cluster, monkeypatch):
        """Runs here use the connection that there is; those in scripts connect to the same cluster."""
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)

    def executor(self, workers):
        return RayExecution(max_workers=workers)
