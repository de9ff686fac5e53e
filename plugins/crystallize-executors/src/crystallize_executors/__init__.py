"""Executors for Crystallize: serial, threads, processes and asyncio, all with the same result.

And what belongs to running on one machine: `parallel_map`, and the step option `resources`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crystallize_executors.asynchronous import AsyncExecution
    from crystallize_executors.gathering import ItemError
    from crystallize_executors.mapping import parallel_map
    from crystallize_executors.parallel import ParallelExecution
    from crystallize_executors.processes import ProcessExecution
    from crystallize_executors.resources import ResourcesPlugin
    from crystallize_executors.serial import SerialExecution
    from crystallize_executors.threads import ThreadExecution

__all__ = [
    "AsyncExecution",
    "ItemError",
    "ParallelExecution",
    "ProcessExecution",
    "ResourcesPlugin",
    "SerialExecution",
    "ThreadExecution",
    "parallel_map",
]

_HOMES = {
    "AsyncExecution": "asynchronous",
    "ItemError": "gathering",
    "ParallelExecution": "parallel",
    "ProcessExecution": "processes",
    "ResourcesPlugin": "resources",
    "SerialExecution": "serial",
    "ThreadExecution": "threads",
    "parallel_map": "mapping",
}
"""The module that each public name lives in; the same as the imports above."""


def __getattr__(name: str) -> Any:
    # A worker needs one executor of these and nothing else, and starts the sooner for it.
    if name not in _HOMES:
        message = f"module 'crystallize_executors' has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module(f"crystallize_executors.{_HOMES[name]}"), name)
    globals()[name] = value  # the next time it is found without us
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
