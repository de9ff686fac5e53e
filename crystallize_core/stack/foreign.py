"""The code of strangers that runs before a run: importing, making and looking at a plugin.

Whatever it raises has an address, what takes long is said to take long, and what it changed in this process by the way
is put back.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Final

from crystallize_core.errors import ConfigurationError, PluginError, StackError, add_note, describe, warn_caller
from crystallize_core.stack.effects import ProcessState

__all__ = ["PluginSideEffectWarning", "patience", "watched"]

PATIENCE: Final = 5.0
"""Seconds, where `CRYSTALLIZE_PATIENCE` does not say otherwise."""

_known: set[str] = set()
"""What was loaded in this process before, and is not watched for taking long again."""


class PluginSideEffectWarning(UserWarning):
    """A plugin changed this process while it was imported; the message says what was put back."""


def patience() -> float:
    """After how many seconds something that takes long is said to take long.

    Raises:
        ConfigurationError: `CRYSTALLIZE_PATIENCE` is no such number.

    """
    text = os.environ.get("CRYSTALLIZE_PATIENCE", "").strip()
    try:
        seconds = float(text) if text else PATIENCE
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        message = f"environment variable CRYSTALLIZE_PATIENCE: expected seconds above 0, found {text!r}"
        raise ConfigurationError(message)
    return seconds


class watched:  # noqa: N801 - used as a function, in `with`
    """Around the import, the construction and the first look at a plugin.

    Args:
        name: The name of the plugin.
        origin: What its entry point refers to.
        distribution: Its distribution with the version.

    Raises:
        PluginError: It raised something, of whatever kind.
        KeyboardInterrupt: Ctrl-C, with a note that says what was loaded at that moment.

    """

    def __init__(self, name: str, origin: str, distribution: str | None) -> None:
        self._name, self._distribution = name, distribution
        self._which = f"plugin {name!r} of {distribution}" if distribution else f"plugin {name!r}"
        self._key = f"{origin} of {distribution}"
        is_new = self._key not in _known
        self._slow = _said_when_slow(f"{self._which} ({origin})", name) if is_new else contextlib.nullcontext()

    def __enter__(self) -> None:
        self._slow.__enter__()
        self._state = ProcessState.now()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        changed = self._state.put_back()
        self._slow.__exit__(None, None, None)
        if changed:
            text = f"{self._which} changed {' and '.join(changed)} while it was loaded, which was put back"
            warn_caller(text, PluginSideEffectWarning)
        if error is None:
            _known.add(self._key)
        elif isinstance(error, KeyboardInterrupt):
            leaves_out = f"CRYSTALLIZE_DISABLE={self._name} leaves it out"
            add_note(error, f"interrupted while {self._which} was loaded; {leaves_out}")
        elif not isinstance(error, StackError):
            message = f"plugin {self._name!r} cannot be used: {describe(error)}"
            raise PluginError(message, distribution=self._distribution, plugin=self._name) from error


@contextlib.contextmanager
def _said_when_slow(which: str, name: str) -> Iterator[None]:
    """One line on standard error where the block takes long; a thread that waits, and ends with the block."""
    seconds, done = patience(), threading.Event()

    def watch() -> None:
        if done.wait(seconds):
            return
        text = (
            f"crystallize: {which} has been loading for {seconds:g} s; wait, or press Ctrl-C and leave it out with "
            f"CRYSTALLIZE_DISABLE={name}\n"
        )
        with contextlib.suppress(Exception):  # there may be no standard error
            sys.stderr.write(text)
            sys.stderr.flush()

    thread = threading.Thread(target=watch, name="crystallize-patience", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
