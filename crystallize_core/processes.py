"""For executors whose workers are processes: how they are told apart, what they import from, and Ctrl-C while they start."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import sys
from collections.abc import Iterator

__all__ = ["interrupts_blocked", "sys_path", "this_process"]


def this_process() -> str:
    """The machine, and the number of the process on it."""
    return f"{platform.node()}:{os.getpid()}"


def sys_path(here: str = "") -> list[str]:
    """`sys.path`, for another process.

    What is not text is left out; the interpreter passes it over as well.

    Args:
        here: What to write for the current folder, where the other process is in another one.

    """
    return [entry or here for entry in sys.path if isinstance(entry, str)]


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
