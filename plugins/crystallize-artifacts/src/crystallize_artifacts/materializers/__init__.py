"""Values as bytes and back: one file per kind of value, and a registry that finds the right one."""

from crystallize_artifacts.materializers.base import Materializer, UnsuitableError
from crystallize_artifacts.materializers.registry import register_materializer

__all__ = ["Materializer", "UnsuitableError", "register_materializer"]
