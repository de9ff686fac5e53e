"""What the process of a guard does."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
from typing import Any, Final

from crystallize_core.limits.board import Board

__all__ = ["main"]

LOOK: Final = 0.25
"""How often, in seconds, to look at the board."""
PATIENCE: Final = 10
"""Seconds for telling what has happened, before the worker is ended in any case."""


def main(board: int, process: int, tell: bytes) -> None:
    """Look at a board until the process that writes on it has ended, or has to be ended.

    Args:
        board: The descriptor of its memory.
        process: The worker, which has started this process.
        tell: Whom to tell what, pickled.

    """
    seen = Board.opened(board)
    while not select.select([0], [], [], LOOK)[0] and os.getppid() == process:
        found = seen.overdue_text()
        if found is None:
            continue
        signal.signal(signal.SIGALRM, _give_up)
        signal.alarm(PATIENCE)
        # Where nobody can be told, it is a worker that has died, and nobody knows of what.
        with contextlib.suppress(Exception):
            pickle.loads(tell)(*found)  # noqa: S301 - from the worker
        signal.alarm(0)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        return


def _give_up(*_: Any) -> None:
    raise TimeoutError
