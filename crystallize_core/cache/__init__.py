"""The step cache: an output is reused only while nothing that it depended on has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystallize_core.lazy import lazy_names

if TYPE_CHECKING:
    from crystallize_core.cache.caching import Caching
    from crystallize_core.cache.checkpoints import Checkpoints, KeptRun, kept_runs
    from crystallize_core.cache.file_store import FileStore, cache_folder
    from crystallize_core.cache.key import code_of
    from crystallize_core.cache.lookup import Lookup
    from crystallize_core.cache.step_cache import StepCache
    from crystallize_core.cache.store import CacheStore, CacheWarning, EntryStore, ForeignStore
    from crystallize_core.cache.sweeping import Sweep, clear, sweep
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

_HOMES = {
    "CacheStore": "store",
    "CacheWarning": "store",
    "CachedFile": "upkeep",
    "Caching": "caching",
    "Checkpoints": "checkpoints",
    "EntryStore": "store",
    "FileStore": "file_store",
    "ForeignStore": "store",
    "KeptRun": "checkpoints",
    "Lookup": "lookup",
    "StepCache": "step_cache",
    "Sweep": "sweeping",
    "cache_folder": "file_store",
    "cached_files": "upkeep",
    "clear": "sweeping",
    "code_of": "key",
    "evict": "upkeep",
    "invalidate": "upkeep",
    "kept_runs": "checkpoints",
    "sweep": "sweeping",
}
"""The module that each public name lives in; the same as the imports above."""

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
