"""What does not travel well: exceptions and values that a step may make and pickle cannot send."""

from __future__ import annotations

import os
import threading
from typing import Any, Self

__all__ = ["LockedError", "Stuck", "TwoPartError", "Unreadable"]


class LockedError(Exception):
    """An exception that cannot be pickled, because it holds a lock."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class TwoPartError(Exception):
    """An exception that can be pickled and not be read again, because its arguments are not those of its class."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


class Stuck:
    """A value that cannot leave its process."""

    def __reduce__(self) -> Any:
        raise TypeError("it stays here")

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Unreadable:
    """A value that can leave its process, and that no other can read."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> Any:
        return _read, (os.getpid(),)


def _read(process: int) -> Unreadable:
    if process != os.getpid():
        raise ValueError("it cannot be read elsewhere")
    return Unreadable()
