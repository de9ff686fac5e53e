"""A line on stderr that says how far a run is; no thread, no timer, no dependency."""

from __future__ import annotations

import sys
import threading
import time
from typing import Final, Self, TextIO

__all__ = ["Progress"]

TTY_INTERVAL: Final = 0.1
"""Seconds between updates of the line on a terminal."""
PLAIN_INTERVAL: Final = 1.0
"""Seconds between lines where there is no terminal."""


class Progress:
    """Counts finished replicates; use it as a context manager, and `advance` from any thread.

    Args:
        total: How many replicates there are.
        enabled: False makes all of it do nothing.
        stream: Where to write; default `sys.stderr` at the time it is made.

    """

    def __init__(self, total: int, *, enabled: bool, stream: TextIO | None = None) -> None:
        self._total = total
        self._stream = (stream or sys.stderr) if enabled else None
        self._lock = threading.Lock()
        self._done = self._shown = 0
        self._began = self._last = time.monotonic()
        self._tty = self._stream is not None and not self._stream.closed and self._stream.isatty()

    def advance(self, count: int = 1) -> None:
        """Note that so many more replicates are done, and show it if the last time was long enough ago."""
        if self._stream is None:
            return
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._last >= (TTY_INTERVAL if self._tty else PLAIN_INTERVAL):
                self._last = now
                self._show(now)

    def _show(self, now: float) -> None:
        assert self._stream is not None
        self._shown = self._done
        text = f"{self._done} of {self._total} replicates, {now - self._began:.1f} s"
        try:
            self._stream.write(f"\r{text}\x1b[K" if self._tty else f"{text}\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed stream must not cost anyone a run
            self._stream = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            if self._stream is None:
                return
            if self._shown != self._done or not self._done:
                self._show(time.monotonic())
            if self._tty and self._stream is not None:
                self._stream.write("\n")
                self._stream.flush()
