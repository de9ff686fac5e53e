"""The step cache: an output is reused only while nothing that it depended on has changed."""

from crystallize_core.cache.caching import Caching
from crystallize_core.cache.step_cache import Lookup, StepCache
from crystallize_core.cache.store import CacheWarning, FileStore, cache_folder

__all__ = ["CacheWarning", "Caching", "FileStore", "Lookup", "StepCache", "cache_folder"]
