"""The step cache: an output is reused only while nothing that it depended on has changed."""

from crystallize_core.cache.caching import Caching
from crystallize_core.cache.checkpoints import Checkpoints
from crystallize_core.cache.entry import Lookup
from crystallize_core.cache.step_cache import StepCache, code_of
from crystallize_core.cache.store import CacheStore, CacheWarning, EntryStore, FileStore, ForeignStore, cache_folder
from crystallize_core.cache.upkeep import cached_files, evict, invalidate

__all__ = [
    "CacheStore",
    "CacheWarning",
    "Caching",
    "Checkpoints",
    "EntryStore",
    "FileStore",
    "ForeignStore",
    "Lookup",
    "StepCache",
    "cache_folder",
    "cached_files",
    "code_of",
    "evict",
    "invalidate",
]
