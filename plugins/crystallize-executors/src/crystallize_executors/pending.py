"""The numbers of the replicates that are still to run, shared by threads or tasks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PendingNumbers"]


class PendingNumbers:
    """Hands out each pending number once, to whoever asks next, until no more are wanted.

    Args:
        replicate_fn: What `run_experiment_loop` was given: its `pending` are the numbers, and its
            `stopped` says that no further replicate is wanted.

    """

    def __init__(self, replicate_fn: Any) -> None:
        self._replicate_fn = replicate_fn
        self._numbers: Iterator[int] = iter(replicate_fn.pending)
        self._lock = threading.Lock()
        self._cancelled = False

    def cancel(self) -> None:
        """Hand out no further number."""
        self._cancelled = True

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        with self._lock:
            if self._cancelled or self._replicate_fn.stopped:
                raise StopIteration
            return next(self._numbers)
