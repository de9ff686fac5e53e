"""Marks: what happened where, as empty files, so that any process can leave one and any other can count them."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import Final

__all__ = ["await_mark", "marked", "put_mark", "wait_for_mark"]

PAUSE: Final = 0.005
"""Seconds between two looks for a file."""


def put_mark(folder: str, *words: object) -> None:
    """Leave a mark; several of one name are several."""
    Path(folder, ".".join([*map(str, words), uuid.uuid4().hex])).touch()


def marked(folder: str | Path, *words: object) -> list[str]:
    """What follows these words in the names of the marks that begin with them, sorted."""
    prefix = "".join(f"{word}." for word in words)
    names = [path.name for path in Path(folder).iterdir() if path.name.startswith(prefix)]
    return sorted(name.removeprefix(prefix).rpartition(".")[0] for name in names)


async def await_mark(folder: str, *words: object, patience: float) -> bool:
    """Wait for a mark without holding up others; False when patience is over."""
    until = time.monotonic() + patience
    while not marked(folder, *words):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(PAUSE)
    return True


def wait_for_mark(folder: str | Path, *words: object, patience: float, count: int = 1) -> bool:
    """The same for plain code, and for so many marks."""
    until = time.monotonic() + patience
    while len(marked(folder, *words)) < count:
        if time.monotonic() > until:
            return False
        time.sleep(PAUSE)
    return True
