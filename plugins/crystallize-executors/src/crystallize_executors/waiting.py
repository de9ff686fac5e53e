"""Waiting in the main thread so that Ctrl-C is always heard."""

from __future__ import annotations

import queue
from typing import TypeVar

__all__ = ["take"]

T = TypeVar("T")


def take(items: queue.SimpleQueue[T]) -> T:
    """The next item of a queue.

    A signal that comes between the interpreter's last look and the beginning of a wait without limit is not
    noticed before that wait ends, which may be never. So the wait begins anew every second.
    """
    while True:
        try:
            return items.get(timeout=1.0)
        except queue.Empty:
            continue
