"""Our own executors, by the kit that a stranger's are tested with."""

from __future__ import annotations

from crystallize_core.testing import ExecutorConformance
from crystallize_executors import (
    AsyncExecution,
    ParallelExecution,
    ProcessExecution,
    SerialExecution,
    ThreadExecution,
)


class TestSerialExecution(ExecutorConformance):
    workers = (1,)

    def executor(self, workers):
        return SerialExecution()


class TestThreadExecution(ExecutorConformance):
    def executor(self, workers):
        return ThreadExecution(max_workers=workers)


class TestAsyncExecution(ExecutorConformance):
    def executor(self, workers):
        return AsyncExecution(max_workers=workers)


class TestParallelExecution(ExecutorConformance):
    workers = (2,)

    def executor(self, workers):
        return ParallelExecution(max_workers=workers)


class TestProcessExecution(ExecutorConformance):
    ends_hanging_steps = True

    def executor(self, workers):
        return ProcessExecution(max_workers=workers)


class TestSpawn(ExecutorConformance):
    workers = (1,)  # how a process starts makes no difference to how several of them are kept busy
    ends_hanging_steps = True

    def executor(self, workers):
        return ProcessExecution(max_workers=workers, start_method="spawn")
