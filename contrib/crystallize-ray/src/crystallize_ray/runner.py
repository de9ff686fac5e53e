"""What runs in the processes of the cluster. Ray makes an actor of it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from crystallize_core.limits.guard import guard_of_this_process
from crystallize_core.limits.words import last_words, leave_words, words_of
from crystallize_core.remote import Answer, Payload, close, for_a_moment, run_chunk

__all__ = ["Runner", "words_left_by"]


def words_left_by(worker: str) -> tuple[int, bytes] | None:
    """What the guard of a worker of this machine has left, for `Overdue.read`; None if there is nothing."""
    return last_words(words_of(worker))


class Runner:
    """One worker: it holds the experiment, and runs the replicates that it is given.

    Args:
        name: What it is called here and by the coordinator, and nobody else is.
        coordinator: The process of the coordinator.
        payload: The experiment.
        paths: Where the coordinator finds modules; those that are there are looked through last.
        folder: The current folder of the coordinator; entered where it is there. None to stay where Ray puts workers.

    """

    def __init__(self, name: str, coordinator: str, payload: Payload, paths: Sequence[str], folder: str | None) -> None:
        self._payload = payload
        self._guard = guard_of_this_process(partial(leave_words, words_of(name)), coordinator)
        if folder is not None:
            with contextlib.suppress(OSError):
                os.chdir(folder)
        sys.path.extend(path for path in paths if path not in sys.path and Path(path).exists())

    def ready(self) -> str:
        """Answer that the process has started, with the node that it is on."""
        import ray  # noqa: PLC0415 - here it is loaded

        return str(ray.get_runtime_context().get_node_id())

    def run(self, numbers: Sequence[int]) -> Answer:
        """Run these replicates; those for which the time is too short are left out, from the last."""
        return run_chunk(self._payload, for_a_moment(numbers), self._guard)

    def close(self) -> None:
        """Tear down the steps."""
        close(self._payload)
