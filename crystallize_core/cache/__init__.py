"""The step cache: an output is reused only while nothing that it depended on has changed."""

from crystallize_core.cache.step_cache import Lookup, StepCache
from crystallize_core.cache.store import CacheWarning, FileStore

__all__ = ["CacheWarning", "FileStore", "Lookup", "StepCache"]
