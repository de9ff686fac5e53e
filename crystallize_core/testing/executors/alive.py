"""Whether processes have ended."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["all_ended", "group_of", "is_alive"]


def is_alive(process: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    fields = _stat(process)
    return fields is None or fields[0] != "Z"  # an ended process that nobody has waited for does nothing any more


def group_of(leader: int) -> set[int]:
    """The processes of a group that have not ended; only where the system lists them in /proc."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(path.name))
        if fields is not None and fields[0] != "Z" and int(fields[2]) == leader:
            found.add(int(path.name))
    return found


def all_ended(processes: set[int], leader: int, seconds: float) -> set[int]:
    """Wait until these processes and those of the group have ended; gives back those that have not."""
    until = time.monotonic() + seconds
    while left := set(filter(is_alive, processes)) | group_of(leader):
        if time.monotonic() > until:
            return left
        time.sleep(0.02)
    return set()


def _stat(process: int) -> list[str] | None:
    """State, parent, group and so on, as Linux tells them."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
