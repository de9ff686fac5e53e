"""What every plugin promises, by the kit that a stranger's plugins are tested with."""

from __future__ import annotations

from crystallize_core.testing import PluginConformance
from crystallize_retries import RetryPlugin


class TestRetryPlugin(PluginConformance):
    entry_point = "retries"

    def make(self):
        return RetryPlugin(first_delay=0.0)
