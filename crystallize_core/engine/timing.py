"""The times of hooks in a run: summed up where the calls happen, and sent to the coordinator with the outcomes."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from crystallize_core.engine.watching import Call
from crystallize_core.outcome import Note

__all__ = ["HookTimes", "Row", "hook_times", "kept", "timing"]

KIND: Final = "hook-times"
"""The kind of the notes that carry times; none of them reaches a result."""

_lock = threading.Lock()
_wanted: list[HookTimes] = []
"""Where times are collected in this process while somebody wants them."""


@attrs.define
class Row:
    """The calls of one hook of one plugin in one process.

    Attributes:
        plugin, hook: Whose calls; `policy` for those of what `wrap_step` returned.
        process: The number of the process.
        calls, failed: How many there were, and how many raised.
        nanoseconds, longest: How long they took, in all and the longest.

    """

    plugin: str
    hook: str
    process: int
    calls: int = 0
    failed: int = 0
    nanoseconds: int = 0
    longest: int = 0

    def add(self, other: Row) -> None:
        """Put another one in."""
        self.calls += other.calls
        self.failed += other.failed
        self.nanoseconds += other.nanoseconds
        self.longest = max(self.longest, other.longest)


class HookTimes:
    """Sums up calls; a watcher."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, int], Row] = {}
        self._lock = threading.Lock()

    def begins(self, call: Call) -> None:
        """Nothing is known yet."""

    def ended(self, call: Call) -> None:
        """Count a call."""
        key = call.plugin, call.hook, os.getpid()
        with self._lock:
            row = self._rows.get(key)
            if row is None:
                row = self._rows[key] = Row(*key)
            row.calls += 1
            row.failed += call.error is not None
            row.nanoseconds += call.nanoseconds
            row.longest = max(row.longest, call.nanoseconds)

    def add(self, rows: Iterable[Row]) -> None:
        """Count what others have summed up."""
        with self._lock:
            for row in rows:
                key = row.plugin, row.hook, row.process
                self._rows.setdefault(key, Row(*key)).add(row)

    def take(self) -> list[Row]:
        """The sums since the last call."""
        with self._lock:
            rows, self._rows = self._rows, {}
        return list(rows.values())

    def note(self) -> list[Note]:
        """The same on its way to the coordinator."""
        rows = self.take()
        return [Note(KIND, json.dumps([attrs.astuple(row) for row in rows]))] if rows else []


@contextlib.contextmanager
def timing() -> Iterator[HookTimes]:
    """Take the times of hooks in what is run inside of this, in this process and in its workers."""
    found = HookTimes()
    with _lock:
        _wanted.append(found)
    try:
        yield found
    finally:
        with _lock:
            _wanted.remove(found)


def hook_times(*, wanted: bool = False) -> HookTimes | None:
    """Something to sum up in, where times are wanted in this process or by the coordinator."""
    return HookTimes() if wanted or _wanted else None


def kept(notes: Iterable[Note]) -> list[Note]:
    """The notes that the result is to have; the times among them go to whoever wants them."""
    found = []
    for note in notes:
        if note.kind != KIND:
            found.append(note)
            continue
        rows = [Row(*row) for row in json.loads(note.text)]
        for times in tuple(_wanted):  # another thread may take its own away
            times.add(rows)
    return found
