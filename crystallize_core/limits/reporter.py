"""The watchdog of a worker process: shows on its board which of its steps has to be done first."""

from __future__ import annotations

import pickle
import threading
import time
from typing import TYPE_CHECKING, Final

from crystallize_core.errors import RemoteError, safe_str
from crystallize_core.limits.board import ROOM
from crystallize_core.packing import dumped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crystallize_core.limits.board import Board
    from crystallize_core.watchdog import Announcement

__all__ = ["LimitReporter"]

MOST_TEXTS: Final = 256
"""Announcements whose bytes are kept: there is one for each limited step and condition."""
LONGEST: Final = 500
"""So many characters are left of texts that are too long for the board."""


class LimitReporter:
    """What the policies of this process announce their attempts to.

    Args:
        board: Where it is shown.

    Attributes:
        number: The replicate that runs now.

    """

    def __init__(self, board: Board) -> None:
        self.number = 0
        self._board = board
        self._lock = threading.Lock()
        self._running: dict[int, tuple[float, int, bytes]] = {}
        self._begun = 0
        self._texts: dict[Announcement, bytes] = {}

    def begin(self, announcement: Announcement) -> int:
        """A step of this process begins, and has to be done in time."""
        text = self._texts.get(announcement) or self._text_of(announcement)
        until = time.monotonic() + announcement.seconds
        with self._lock:
            self._begun += 1
            self._running[self._begun] = until, int(self.number), text
            self._show()
            return self._begun

    def end(self, token: int) -> None:
        """It is done."""
        with self._lock:
            self._running.pop(token, None)
            self._show()

    def _show(self) -> None:
        if self._running:
            self._board.show(*min(self._running.values()))
        else:
            self._board.clear()

    def _text_of(self, announcement: Announcement) -> bytes:
        if len(self._texts) >= MOST_TEXTS:
            self._texts.clear()
        text = self._texts[announcement] = next(text for text in _texts(announcement) if len(text) <= ROOM)
        return text


def _texts(announcement: Announcement) -> Iterator[bytes]:
    """Which step it is and what it fails with, as bytes; less and less of it, for what is too long or cannot be sent."""
    step, where = announcement.step, (announcement.run, announcement.condition)
    error = announcement.error()
    try:
        body = dumped((step, *where, error))
        pickle.loads(body)  # noqa: S301 - our own bytes, made one line above
    except Exception:  # noqa: BLE001 - a foreign __reduce__ may raise anything
        body = bytes(ROOM + 1)
    yield body
    words = RemoteError(type(error).__qualname__[:LONGEST], safe_str(error)[:LONGEST])
    yield pickle.dumps((step, *where, words))
    yield pickle.dumps((step[:LONGEST], None, None, words))
