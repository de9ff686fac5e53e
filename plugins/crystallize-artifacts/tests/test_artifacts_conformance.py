"""What every plugin promises, by the kit that a stranger's plugins are tested with."""

from __future__ import annotations

from crystallize_artifacts import ArtifactPlugin
from crystallize_core.testing import PluginConformance


class TestArtifactPlugin(PluginConformance):
    entry_point = "artifacts"

    def make(self):
        return ArtifactPlugin()


class TestArtifactPluginThatKeepsVersions(PluginConformance):
    def make(self):
        return ArtifactPlugin("elsewhere/files", versioned=True, artifact_retention=2, on_unstorable="ignore")
