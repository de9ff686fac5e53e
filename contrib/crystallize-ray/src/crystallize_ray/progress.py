"""A line on stderr that says how far a run is."""

from __future__ import annotations

import sys
import time
from typing import Final, Self

__all__ = ["Progress"]

TTY_INTERVAL: Final = 0.1
"""Seconds between updates of the line on a terminal."""
PLAIN_INTERVAL: Final = 1.0
"""Seconds between lines where there is no terminal."""


class Progress:
    """Counts settled replicates, and shows how many there are; a context manager.

    Args:
        total: How many replicates there are.
        enabled: False makes all of it do nothing.

    """

    def __init__(self, total: int, *, enabled: bool) -> None:
        self._total = total
        self._stream = sys.stderr if enabled else None
        self._tty = self._stream is not None and not self._stream.closed and self._stream.isatty()
        self._done, self._shown = 0, -1
        self._began = self._last = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Note that so many more replicates are settled, and show it if the last time was long enough ago."""
        self._done += count
        now = time.monotonic()
        if self._stream is not None and now - self._last >= (TTY_INTERVAL if self._tty else PLAIN_INTERVAL):
            self._last = now
            self._write(f"\r{self._text(now)}\x1b[K" if self._tty else f"{self._text(now)}\n")

    def _text(self, now: float) -> str:
        self._shown = self._done
        return f"{self._done} of {self._total} replicates, {now - self._began:.1f} s"

    def _write(self, text: str) -> None:
        assert self._stream is not None
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # a closed stream must not cost anyone a run
            self._stream = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._stream is None:
            return
        last = "" if self._shown == self._done else self._text(time.monotonic())
        if self._tty:
            self._write(f"\r{last}\x1b[K\n" if last else "\n")
        elif last:
            self._write(f"{last}\n")
