"""Executors for Crystallize: serial, threads, processes and asyncio, all with the same result.

And what belongs to running on one machine: `parallel_map`, and the step option `resources`.
"""

from __future__ import annotations

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
