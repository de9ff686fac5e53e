"""The step cache: an output is reused only while nothing that it depended on has changed."""

from crystallize_core.cache.caching import Caching
from crystallize_core.cache.checkpoints import Checkpoints, KeptRun, kept_runs
from crystallize_core.cache.file_store import FileStore, cache_folder
from crystallize_core.cache.key import code_of
from crystallize_core.cache.lookup import Lookup
from crystallize_core.cache.step_cache import StepCache
from crystallize_core.cache.store import CacheStore, CacheWarning, EntryStore, ForeignStore
from crystallize_core.cache.sweep import Sweep, clear, sweep
from crystallize_core.cache.upkeep import CachedFile, cached_files, evict, invalidate

__all__ = [
    "CacheStore",
    "CacheWarning",
    "CachedFile",
    "Caching",
    "Checkpoints",
    "EntryStore",
    "FileStore",
    "ForeignStore",
    "KeptRun",
    "Lookup",
    "StepCache",
    "Sweep",
    "cache_folder",
    "cached_files",
    "clear",
    "code_of",
    "evict",
    "invalidate",
    "kept_runs",
    "sweep",
]
