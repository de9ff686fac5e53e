"""A line on stderr that says how far a run is, and how many of its jobs have come out of the queue."""

from __future__ import annotations

import sys
import time
from typing import Final, Self, TextIO

__all__ = ["Progress"]

TTY_INTERVAL: Final = 0.5
"""Seconds between updates of the line on a terminal."""
PLAIN_INTERVAL: Final = 10.0
"""Seconds between lines where there is no terminal: runs on clusters are long."""


class Progress:
    """Counts finished replicates; use it as a context manager.

    Args:
        total: How many replicates there are.
        enabled: False makes all of it do nothing.

    """

    def __init__(self, total: int, *, enabled: bool) -> None:
        self._total = total
        self._stream: TextIO | None = sys.stderr if enabled else None
        self._done = self._begun = self._jobs = 0
        self._began = self._last = time.monotonic()
        self._shown = ""
        self._tty = self._stream is not None and not self._stream.closed and self._stream.isatty()

    def advance(self, count: int = 1) -> None:
        """Note that so many more replicates are done."""
        self._done += count

    def show(self, begun: int, jobs: int) -> None:
        """Say it, if something has changed and the last time was long enough ago.

        Args:
            begun: How many jobs run.
            jobs: How many there are, with those that wait in the queue.

        """
        self._begun, self._jobs = begun, jobs
        if self._stream is None or time.monotonic() - self._last < (TTY_INTERVAL if self._tty else PLAIN_INTERVAL):
            return
        self._write()

    def _write(self) -> None:
        assert self._stream is not None
        self._last = time.monotonic()
        counts = f"{self._done} of {self._total} replicates, {self._begun} of {self._jobs} jobs running"
        if counts == self._shown and not self._tty:
            return
        self._shown = counts
        text = f"{counts}, {self._last - self._began:.0f} s"
        try:
            self._stream.write(f"\r{text}\x1b[K" if self._tty else f"{text}\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed stream must not cost anyone a run
            self._stream = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._stream is not None:
            self._write()
        if self._tty and self._stream is not None:
            self._stream.write("\n")
            self._stream.flush()
