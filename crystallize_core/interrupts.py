"""For executors that start processes: Ctrl-C, while they do."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

__all__ = ["interrupts_blocked"]


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Have a child process start with Ctrl-C blocked: it comes to this process, which then ends the child."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
