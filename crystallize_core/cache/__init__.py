"""The step cache: an output is reused only while nothing that it depended on has changed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    # Most runs cache nothing, and their workers start the sooner for it.
    if name not in _HOMES:
        message = f"module 'crystallize_core.cache' has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module(f"crystallize_core.cache.{_HOMES[name]}"), name)
    globals()[name] = value  # the next time it is found without us
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
