"""What every plugin promises, by the kit that a stranger's plugins are tested with."""

from __future__ import annotations

from crystallize_core.testing import PluginConformance
from crystallize_seeding import SeedPlugin


class TestSeedPlugin(PluginConformance):
    entry_point = "seeding"

    def make(self):
        return SeedPlugin(seed=7)


class TestSeedPluginThatLeavesGlobalGeneratorsAlone(PluginConformance):
    def make(self):
        return SeedPlugin(seed=7, auto_seed=False, rng="python", common=False)
