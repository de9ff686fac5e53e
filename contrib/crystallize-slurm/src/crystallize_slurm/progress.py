"""A line on stderr that says how far a run is, and how many of its jobs have come out of the queue."""

from __future__ import annotations

from typing import ClassVar

from crystallize_core import progress

__all__ = ["Progress"]


class Progress(progress.Progress):
    """Counts finished replicates, and jobs; use it as a context manager."""

    tty_interval: ClassVar[float] = 0.5
    plain_interval: ClassVar[float] = 10.0  # runs on clusters are long

    def __init__(self, total: int, *, enabled: bool) -> None:
        super().__init__(total, enabled=enabled)
        self._begun = self._jobs = 0

    def show(self, begun: int, jobs: int) -> None:
        """Note how the jobs are, and say it if something has changed and the last time was long enough ago.

        Args:
            begun: How many jobs run.
            jobs: How many there are, with those that wait in the queue.

        """
        self._begun, self._jobs = begun, jobs
        self.advance(0)

    def counts(self) -> str:
        """What is done, and what runs."""
        return f"{super().counts()}, {self._begun} of {self._jobs} jobs running"
