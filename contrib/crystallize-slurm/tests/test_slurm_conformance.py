"""The promises of every executor, by the kit of the core, in jobs that are processes of this machine."""

from __future__ import annotations

import pytest

from crystallize_slurm import SlurmExecution

conformance = pytest.importorskip("crystallize_core.testing.executors.conformance", reason="this core has no kit yet")


class TestSlurmExecution(conformance.ExecutorConformance):
    workers = (2,)
    tiny = 2_000
    patience_seconds = 30.0

    def executor(self, workers):
        return SlurmExecution(cluster="local", max_workers=workers, poll_seconds=0.1)
