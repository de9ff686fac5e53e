"""What of this process the code of a plugin may have changed while it was imported or made, and how it is put back.

Only what everything else depends on is looked at, and what no library has a reason to change when it is imported: the
environment and the filters of warnings, which many add to, are left as they are.
"""

from __future__ import annotations

import contextlib
import locale
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

import attrs

__all__ = ["ProcessState"]


@attrs.frozen
class _Aspect:
    """One thing to look at: its words, how it is read and put back, and whether a new value is a harm."""

    words: str
    read: Callable[[], Any]
    restore: Callable[[Any], object]
    is_harm: Callable[[Any, Any], bool] = lambda before, after: before != after


def _is_other(before: object, after: object) -> bool:
    return before is not after


def _set_interrupt(handler: Any) -> None:
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)


_ASPECTS: Final = (
    _Aspect("the working folder", os.getcwd, os.chdir),
    # A library may need a higher one.
    _Aspect("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit, lambda before, after: after < before),
    _Aspect(
        "the locale", lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)
    ),
    _Aspect("sys.stdout", lambda: sys.stdout, lambda value: setattr(sys, "stdout", value), _is_other),
    _Aspect("sys.stderr", lambda: sys.stderr, lambda value: setattr(sys, "stderr", value), _is_other),
    _Aspect("what Ctrl-C does", lambda: signal.getsignal(signal.SIGINT), _set_interrupt, _is_other),
    _Aspect("the global random numbers", random.getstate, random.setstate),
)


@attrs.frozen
class ProcessState:
    """What this process looked like at one moment."""

    _values: tuple[Any, ...]

    @classmethod
    def now(cls) -> ProcessState:
        """What it looks like now."""
        return cls(tuple(_value(aspect) for aspect in _ASPECTS))

    def put_back(self) -> list[str]:
        """Make it look like this again where it does not; what that was, in words."""
        found = []
        for aspect, before in zip(_ASPECTS, self._values, strict=True):
            if before is not None and aspect.is_harm(before, _value(aspect)):
                with contextlib.suppress(Exception):  # such as a folder that is not there any more
                    aspect.restore(before)
                found.append(aspect.words)
        return found


def _value(aspect: _Aspect) -> Any:
    try:
        return aspect.read()
    except Exception:  # noqa: BLE001 - such as a working folder that was removed
        return None
