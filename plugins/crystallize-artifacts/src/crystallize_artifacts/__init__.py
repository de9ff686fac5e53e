"""Artifacts for Crystallize: whole files in a readable layout, and nothing outside of it; and typed assets in them."""

from crystallize_artifacts.assets import Dataset, Metrics, Model
from crystallize_artifacts.loading import StoredAsset, load_asset
from crystallize_artifacts.manifest import Entry
from crystallize_artifacts.materializers import Materializer, UnsuitableError, register_materializer
from crystallize_artifacts.plugin import ArtifactPlugin
from crystallize_artifacts.store import ArtifactStore

__all__ = [
    "ArtifactPlugin",
    "ArtifactStore",
    "Dataset",
    "Entry",
    "Materializer",
    "Metrics",
    "Model",
    "StoredAsset",
    "UnsuitableError",
    "load_asset",
    "register_materializer",
]
