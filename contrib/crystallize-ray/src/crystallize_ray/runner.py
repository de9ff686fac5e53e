"""What runs in the processes of the cluster. Ray makes an actor of it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from crystallize_core.remote import Answer, Payload, close, for_a_moment, run_chunk

__all__ = ["Runner"]


class Runner:
    """One worker: it holds the experiment, and runs the replicates that it is given.

    Args:
        payload: The experiment.
        paths: Where the coordinator finds modules; those that are there are looked through last.
        folder: The current folder of the coordinator; entered where it is there. None to stay where Ray puts workers.

    """

    def __init__(self, payload: Payload, paths: Sequence[str], folder: str | None) -> None:
        self._payload = payload
        if folder is not None:
            with contextlib.suppress(OSError):
                os.chdir(folder)
        sys.path.extend(path for path in paths if path not in sys.path and Path(path).exists())

    def ready(self) -> None:
        """Answer that the process has started."""

    def run(self, numbers: Sequence[int]) -> Answer:
        """Run these replicates; those for which the time is too short are left out, from the last."""
        return run_chunk(self._payload, for_a_moment(numbers))

    def close(self) -> None:
        """Tear down the steps."""
        close(self._payload)
