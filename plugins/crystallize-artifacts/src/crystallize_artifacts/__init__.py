"""Artifacts for Crystallize: whole files in a readable layout, and nothing outside of it."""

from crystallize_artifacts.manifest import Entry
from crystallize_artifacts.plugin import ArtifactPlugin
from crystallize_artifacts.store import ArtifactStore

__all__ = ["ArtifactPlugin", "ArtifactStore", "Entry"]
