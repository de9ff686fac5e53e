"""What a command writes to standard output: all of it, and nothing else."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import click

__all__ = ["kept_streams", "own_output", "say"]


def say(text: str) -> None:
    """Write to standard output; what its encoding does not have is escaped, not a reason to lose the rest."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


@contextlib.contextmanager
def kept_streams() -> Iterator[None]:
    """Give the command its streams back, whatever else was put in their place meanwhile."""
    kept = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout, sys.stderr = kept


@contextlib.contextmanager
def own_output() -> Iterator[None]:
    """Send what others print, in this process and in those that it starts, to standard error."""
    sys.stdout.flush()
    kept = _descriptor()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            if kept is not None:
                os.dup2(2, 1)
            yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


def _descriptor() -> int | None:
    """A copy of the descriptor of standard output; None where the process was started without one."""
    try:
        os.fstat(2)
        return os.dup(1)
    except OSError:
        return None
