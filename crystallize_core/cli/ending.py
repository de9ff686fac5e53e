"""The end of the process of a command, which threads that plugins or steps left behind must not put off for ever."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Any

from crystallize_core.stack.foreign import patience

__all__ = ["end_in_time"]

FACTOR = 10
"""How many times as long as it takes until something is said, threads are waited for before the process ends without them."""


def end_in_time(code: object) -> None:
    """Watch what Python does when a program has come to its end, which is to wait for every thread that is no daemon.

    Args:
        code: The exit code, as `sys.exit` takes it.

    """
    left = _threads()
    if left:
        seconds = patience()
        threading.Thread(target=_watch, args=(seconds, code), name="crystallize-ending", daemon=True).start()


def _threads() -> list[threading.Thread]:
    main = threading.main_thread()
    return [thread for thread in threading.enumerate() if thread is not main and not thread.daemon]


def _watch(seconds: float, code: object) -> None:
    # The threads of a pool end when Python comes to it, so that nothing is said of those at once.
    never = threading.Event()
    never.wait(seconds)
    _say(f"the command is done, and waits for {_named(_threads())}; Ctrl-C ends it")
    never.wait(seconds * (FACTOR - 1))
    _say(f"ended without {_named(_threads())}, after {seconds * FACTOR:g} s")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _named(threads: list[threading.Thread]) -> str:
    names = ", ".join(f"{thread.name!r}{_origin(thread)}" for thread in threads)
    return f"threads that were left running: {names}"


def _origin(thread: threading.Thread) -> str:
    target: Any = getattr(thread, "_target", None)
    module = getattr(target, "__module__", None) or type(thread).__module__
    return f" of {module}" if module != "threading" else ""


def _say(text: str) -> None:
    with contextlib.suppress(Exception):  # there may be no standard error
        sys.stderr.write(f"crystallize: {text}\n")
        sys.stderr.flush()
