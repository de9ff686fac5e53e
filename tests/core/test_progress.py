"""The progress line."""

from __future__ import annotations

import io

from crystallize_core import progress
from crystallize_core.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_nothing_is_written_unless_it_is_asked_for():
    """A run is silent by default."""
    stream = io.StringIO()
    with Progress(3, enabled=False, stream=stream) as shown:
        shown.advance()
    assert stream.getvalue() == ""


def test_without_a_terminal_there_are_plain_lines_at_most_one_a_second(monkeypatch):
    """A log file gets few lines, and always the last one."""
    now = iter([0.0, 0.4, 1.1, 1.2, 1.3])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    stream = io.StringIO()
    with Progress(3, enabled=True, stream=stream) as shown:
        for _ in range(3):
            shown.advance()
    assert stream.getvalue() == "2 of 3 replicates, 1.1 s\n3 of 3 replicates, 1.3 s\n"


def test_on_a_terminal_one_line_is_rewritten(monkeypatch):
    """The line is replaced in place and ended once."""
    now = iter([0.0, 0.2, 0.4])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    stream = Terminal()
    with Progress(2, enabled=True, stream=stream) as shown:
        shown.advance()
        shown.advance()
    assert stream.getvalue() == "\r1 of 2 replicates, 0.2 s\x1b[K\r2 of 2 replicates, 0.4 s\x1b[K\n"


def test_a_closed_stream_costs_nobody_a_run():
    """Writing progress must never be the reason for a failure."""
    stream = io.StringIO()
    stream.close()
    with Progress(1, enabled=True, stream=stream) as shown:
        shown.advance()
