"""A line on stderr that says how far a run is; no thread, no timer, no dependency."""

from __future__ import annotations

import sys
import threading
import time
from typing import ClassVar, Self, TextIO

__all__ = ["Progress"]


class Progress:
    """Counts finished replicates; use it as a context manager, and `advance` from any thread.

    An executor that has more to say derives its own from it, with other `counts`.

    Args:
        total: How many replicates there are.
        enabled: False makes all of it do nothing.
        stream: Where to write; default `sys.stderr` at the time it is made.

    Attributes:
        tty_interval: Seconds between updates of the line on a terminal.
        plain_interval: Seconds between lines where there is no terminal.

    """

    tty_interval: ClassVar[float] = 0.1
    plain_interval: ClassVar[float] = 1.0

    def __init__(self, total: int, *, enabled: bool, stream: TextIO | None = None) -> None:
        self._total = total
        self._stream = (stream or sys.stderr) if enabled else None
        self._lock = threading.Lock()
        self._done = 0
        self._shown = ""
        self._began = self._last = time.monotonic()
        self._tty = self._stream is not None and not self._stream.closed and self._stream.isatty()

    def advance(self, count: int = 1) -> None:
        """Note that so many more replicates are done, and say it if the last time was long enough ago."""
        if self._stream is None:
            return
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._last >= (self.tty_interval if self._tty else self.plain_interval):
                self._last = now
                self._write(now)

    def counts(self) -> str:
        """What the line says, but for the time."""
        return f"{self._done} of {self._total} replicates"

    def _write(self, now: float) -> None:
        assert self._stream is not None
        counts = self.counts()
        if counts == self._shown and not self._tty:  # on a terminal, the time goes on
            return
        self._shown = counts
        text = f"{counts}, {now - self._began:.1f} s"
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
            if self._shown != self.counts():
                self._write(time.monotonic())
            if self._tty and self._stream is not None:
                self._stream.write("\n")
                self._stream.flush()
