"""What a process takes over from the one that starts it and then keeps, whatever becomes of it there.

A server that workers are copied from was started earlier than they are. What is compared here tells whether a process
that were started now would be like it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from multiprocessing import spawn
from pathlib import Path
from typing import Any

__all__ = ["surroundings"]


def surroundings() -> dict[str, Any]:
    """Everything that a program started at this moment would take over from this process, by what it is called.

    The current folder is not among it, nor are `sys.path` and `sys.argv`: workers are told those.
    """
    return {
        "interpreter": (spawn.get_executable(), subprocess._args_from_interpreter_flags()),  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing does
        "variables": dict(os.environ),
        "streams": tuple(_file_behind(descriptor) for descriptor in (1, 2)),
        "user": (os.getresuid(), os.getresgid(), os.getgroups()) if hasattr(os, "getresuid") else os.getuid(),
        "group of processes": (os.getsid(0), os.getpgid(0)),
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "cores": os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None,
        "limits": _limits(),
        "umask": _umask(),
        "ignored signals": {number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN},
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, ()) - {signal.SIGINT},
    }


def _file_behind(descriptor: int) -> tuple[int, int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:  # it is closed
        return None
    return found.st_dev, found.st_ino, found.st_rdev


def _limits() -> list[tuple[int, int]]:
    import resource  # noqa: PLC0415 - Unix has it, and this is asked only there

    names = sorted(name for name in vars(resource) if name.startswith("RLIMIT_"))
    return [resource.getrlimit(getattr(resource, name)) for name in names]


def _umask() -> str:
    """As Linux tells it; elsewhere it cannot be read without being changed for a moment, and is not."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
            return next((line for line in lines if line.startswith("Umask")), "")
    return ""
