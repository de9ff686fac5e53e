"""How many workers may be at work on this machine, shared with whoever started this thread or process.

Workers inside workers multiply: four processes whose steps use four threads each are sixteen. So whoever starts
workers notes how many: for threads in a context variable, for processes in the environment of the worker, where the
programs that it starts find it too. A call inside takes its share of what is left.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import Final

__all__ = ["VARIABLE", "budget", "enter_thread", "is_one_of_several", "share", "workers"]

VARIABLE: Final = "CRYSTALLIZE_WORKERS"
"""The environment variable with the number of workers that this process and all that it starts may have at work."""

_beside: Final[ContextVar[int]] = ContextVar("crystallize_workers_beside", default=1)
"""How many threads of this process share its budget where this context runs, itself included."""


def budget() -> int:
    """How many workers may be at work here: the cores that may be used, divided by the workers of those around.

    Raises:
        ValueError: The environment variable is no number of workers.

    """
    return max(1, _of_process() // _beside.get())


def workers(wanted: int | None, tasks: int | None = None) -> int:
    """How many workers to start for so many tasks; None where nobody knows.

    The number that was wanted holds on the outside, where the user knows best. Inside another worker, and where
    the environment sets a budget, it is an upper limit.
    """
    if wanted is None:
        wanted = budget()
    elif VARIABLE in os.environ or _beside.get() > 1:
        wanted = min(wanted, budget())
    return max(1, wanted if tasks is None else min(wanted, tasks))


def share(count: int) -> int:
    """What each of so many workers, started here, may use itself."""
    return max(1, budget() // count)


def enter_thread(count: int) -> None:
    """Note, in the context of a thread, that it is one of so many; the cores are counted when somebody asks."""
    _beside.set(_beside.get() * count)


def is_one_of_several() -> bool:
    """Whether other threads were started beside this one, to do work of the same kind."""
    return _beside.get() > 1


def _of_process() -> int:
    text = os.environ.get(VARIABLE)
    if text is None:
        import loky  # noqa: PLC0415 - it knows affinity and container limits, and only runs need it

        return int(loky.cpu_count())
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"the environment variable {VARIABLE} must be an int of at least 1; found {text!r}")
    return int(text)
