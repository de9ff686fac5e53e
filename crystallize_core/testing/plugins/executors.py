"""Threads and processes of the standard library, for the kit alone: the core has no executor besides its plain loop."""

from __future__ import annotations

import collections
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, ClassVar, Final

from crystallize_core.plugin import BasePlugin
from crystallize_core.remote import payload_of, run_chunk, take
from crystallize_core.schedule import Schedule

__all__ = ["Processes", "Threads"]

WORKERS: Final = 2


class Threads(BasePlugin):
    """Replicates in two threads."""

    plugin_name: ClassVar[str | None] = "kit_threads"
    concurrency: str | None = "thread"

    def run_experiment_loop(self, experiment: Any, replicate_fn: Any) -> Any:  # noqa: ARG002 - as specified
        """Run them."""
        numbers = iter(replicate_fn.pending)

        def work() -> None:
            for number in numbers:
                if replicate_fn.stopped:
                    break
                replicate_fn(number)

        with ThreadPoolExecutor(WORKERS) as pool:
            try:
                for future in [pool.submit(work) for _ in range(WORKERS)]:
                    future.result()
            finally:
                collections.deque(numbers, maxlen=0)  # whatever has ended this: nothing more is started
        return []


class Processes(BasePlugin):
    """Replicates in two processes that start from nothing, as they do on machines without `fork`."""

    plugin_name: ClassVar[str | None] = "kit_processes"
    concurrency: str | None = "process"

    def run_experiment_loop(self, experiment: Any, replicate_fn: Any) -> Any:  # noqa: ARG002 - as specified
        """Run them."""
        payload, numbers = payload_of(replicate_fn), list(replicate_fn.pending)
        schedule = Schedule(numbers, WORKERS, 1)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
            for future in [pool.submit(run_chunk, payload, [number]) for number in numbers]:
                take(replicate_fn, future.result(), schedule)
        return []
