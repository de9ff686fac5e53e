"""Executors for Crystallize: serial, threads, processes and asyncio, all with the same result.

And what belongs to running on one machine: `parallel_map`, and the step option `resources`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystallize_core.lazy import lazy_names

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

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
