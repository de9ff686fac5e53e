"""The promises of every executor, by the kit of the core, in jobs that are processes of this machine."""

from __future__ import annotations

from crystallize_core.testing import ExecutorConformance
from crystallize_slurm import SlurmExecution


class TestSlurmExecution(ExecutorConformance):
    workers = (1, 2)
    tiny = 2_000
    patience_seconds = 30.0
    ends_hanging_steps = True

    def executor(self, workers):
        return SlurmExecution(cluster="local", max_workers=workers, poll_seconds=0.1)
