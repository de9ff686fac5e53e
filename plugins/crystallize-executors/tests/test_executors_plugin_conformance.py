"""What every plugin promises, executors as well, by the kit that a stranger's plugins are tested with."""

from __future__ import annotations

from crystallize_core.testing import PluginConformance
from crystallize_executors import AsyncExecution, ParallelExecution, ResourcesPlugin, SerialExecution, ThreadExecution


class TestSerialExecution(PluginConformance):
    entry_point = "serial"

    def make(self):
        return SerialExecution()


class TestThreadExecution(PluginConformance):
    entry_point = "thread"

    def make(self):
        return ThreadExecution(max_workers=2)


class TestAsyncExecution(PluginConformance):
    entry_point = "async"

    def make(self):
        return AsyncExecution(max_workers=2)


class TestParallelExecution(PluginConformance):
    entry_point = "parallel"

    def make(self):
        return ParallelExecution(max_workers=2)


class TestResourcesPlugin(PluginConformance):
    entry_point = "resources"

    def make(self):
        return ResourcesPlugin(record="all")
