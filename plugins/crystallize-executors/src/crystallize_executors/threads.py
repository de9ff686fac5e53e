"""`ThreadExecution`: replicates in threads of this process."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, Final

import attrs

from crystallize_core import BasePlugin
from crystallize_core.option_checks import at_least_one, true_or_false
from crystallize_core.progress import Progress
from crystallize_executors.budget import enter_thread
from crystallize_executors.options import worker_count
from crystallize_executors.pending import PendingNumbers
from crystallize_executors.waiting import take

__all__ = ["ThreadExecution"]

MOST_STEPS: Final = 1_000
"""More steps than anybody runs side by side."""
GRACE: Final = 1.0
"""Seconds that threads get to finish the replicate they are in when a run is interrupted."""


@attrs.frozen
class ThreadExecution(BasePlugin):
    """Run replicates in threads: for steps that wait, or that compute outside Python.

    Args:
        max_workers: The number of threads; None for the number of cores that this process may use.
        progress: Whether to say on stderr how far the run is.

    Raises:
        ValueError: An option has a value that it cannot have.

    """

    plugin_name: ClassVar[str | None] = "thread"
    concurrency = "thread"

    max_workers: int | None = attrs.field(default=None, validator=at_least_one)
    progress: bool = attrs.field(default=False, validator=true_or_false)

    def step_workers(self, replicates: int) -> int:
        """How many steps of one cell may run side by side: the threads that the replicates leave over."""
        count = worker_count(self.max_workers, MOST_STEPS)
        return max(1, count // min(count, replicates))

    def run_experiment_loop(self, experiment: Any, replicate_fn: Any) -> list[Any]:  # noqa: ARG002 - the hook's name
        """Run the pending replicates; each call delivers its own outcome, in the order of completion.

        Raises:
            BaseException: What `replicate_fn` raised first; the other threads have then finished the
                replicate that they were in.

        """
        numbers = PendingNumbers(replicate_fn)
        total = len(replicate_fn.pending)
        with Progress(total, enabled=self.progress) as shown:

            def work() -> None:
                for number in numbers:
                    replicate_fn(number)
                    shown.advance()

            if total:
                _in_threads(work, worker_count(self.max_workers, total), numbers)
        return []


def _in_threads(work: Callable[[], None], count: int, numbers: PendingNumbers) -> None:
    """Run `work` in so many threads at once, each in a copy of this context, and wait for all of them."""
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def body() -> None:
        error: BaseException | None = None
        enter_thread(count)
        try:
            work()
        except BaseException as caught:  # noqa: BLE001 - raised again by the thread that waits
            numbers.cancel()
            error = caught
        ended.put(error)

    threads = [
        # A thread that hangs in a step must not keep the interpreter from ending after Ctrl-C.
        threading.Thread(target=contextvars.copy_context().run, args=(body,), name=f"replicates-{i}", daemon=True)
        for i in range(count)
    ]
    try:
        for thread in threads:
            thread.start()
        errors = [error for _ in threads if (error := take(ended)) is not None]
    except BaseException:
        numbers.cancel()
        until = time.monotonic() + GRACE
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
        raise
    if errors:
        raise errors[0]
