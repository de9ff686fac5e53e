"""Raise an exception in another thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystallize_retries.errors import AttemptExpired

if TYPE_CHECKING:
    import threading

__all__ = ["interrupt_thread"]


def interrupt_thread(thread: threading.Thread) -> None:
    """Raise `AttemptExpired` in the thread the next time that it runs Python code.

    A call that waits or computes outside Python is not disturbed; the exception waits for its return. On
    an interpreter that has no such thing, nothing happens.
    """
    import ctypes  # noqa: PLC0415 - only an expired attempt needs it

    raise_in = getattr(getattr(ctypes, "pythonapi", None), "PyThreadState_SetAsyncExc", None)
    if raise_in is not None and thread.ident is not None:
        raise_in(ctypes.c_ulong(thread.ident), ctypes.py_object(AttemptExpired))
