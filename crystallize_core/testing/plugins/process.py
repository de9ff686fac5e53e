"""What a process has only one of, and what of it has changed."""

from __future__ import annotations

import contextlib
import decimal
import gc
import hashlib
import locale
import logging
import os
import pickle
import random
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

from crystallize_core.imported import imported

__all__ = ["PARTS", "Snapshot", "changes", "snapshot"]

Snapshot = Mapping[str, Any]


def _random() -> dict[str, Any]:
    """Digests of the generators; none for that of numpy where nothing has loaded it."""
    numpy: Any = imported("numpy.random")
    states = {"random": random.getstate()} | ({} if numpy is None else {"numpy.random": numpy.get_state()})
    return {name: hashlib.blake2b(pickle.dumps(state), digest_size=4).hexdigest() for name, state in states.items()}


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - as plain text, and also where the folder is gone
    except OSError as error:
        return f"none: {error}"


def _signals() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number in signal.valid_signals():
        with contextlib.suppress(ValueError, OSError):  # some systems have numbers that nobody may ask about
            found[str(number)] = signal.getsignal(number)
    return found


def _decimals() -> str:
    return str(decimal.getcontext())


def _interpreter() -> dict[str, Any]:
    return {
        "sys.path": list(sys.path),
        "sys.meta_path": [id(finder) for finder in sys.meta_path],
        "sys.excepthook": sys.excepthook,
        "sys.stdin": id(sys.stdin),
        "sys.stdout": id(sys.stdout),
        "sys.stderr": id(sys.stderr),
        "the limit of recursion": sys.getrecursionlimit(),
        "the switch interval": sys.getswitchinterval(),
        "the garbage collector": (gc.isenabled(), gc.get_threshold()),
        "the signal handlers": _signals(),
        "the context of decimal": _decimals(),
    }


def _loggers() -> dict[str, Any]:
    names = [name for name, logger in logging.root.manager.loggerDict.items() if isinstance(logger, logging.Logger)]
    found = {name or "root": logging.getLogger(name) for name in ["", *names]}
    states = {name: (list(map(id, lg.handlers)), lg.level, lg.propagate, lg.disabled) for name, lg in found.items()}
    # a logger that was merely asked for is there from then on
    return {name: state for name, state in states.items() if state != ([], logging.NOTSET, True, False)}


PARTS: Final[Mapping[str, Callable[[], Any]]] = {
    "random": _random,
    "environment": lambda: dict(os.environ),
    "folder": _folder,
    "locale": lambda: locale.setlocale(locale.LC_ALL),
    "warnings": lambda: [repr(entry) for entry in warnings.filters],
    "logging": _loggers,
    "interpreter": _interpreter,
}
"""What is looked at; a plugin says with these words in `changes_process` what it changes on purpose."""


def snapshot() -> Snapshot:
    """All of it as it is now."""
    return {name: look() for name, look in PARTS.items()}


def changes(before: Snapshot, after: Snapshot) -> dict[str, str]:
    """What has changed, by part, in words."""
    found = dict(after)
    if "numpy.random" not in before["random"]:  # it was loaded, and nobody knows what it would have been
        found["random"] = {"random": after["random"]["random"]}
    return {name: _difference(before[name], found[name]) for name in PARTS if before[name] != found[name]}


def _difference(before: Any, after: Any) -> str:
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        return "; ".join(f"{key}: {_short(before.get(key))} became {_short(after.get(key))}" for key in keys)
    return f"{_short(before)} became {_short(after)}"


def _short(value: Any, most: int = 120) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
