"""What Ray changes in the process that connects to a cluster, and how it is as before again.

Ray sets variables of the environment, which the user's own processes would inherit, takes over a signal, and clears the
handlers of its logger. What it keeps of them in C++ is told to read them again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["forget_token", "quiet", "same_environment", "undisturbed"]

_LOGGER: Final = logging.getLogger("ray")


@contextlib.contextmanager
def undisturbed(variables: Mapping[str, str]) -> Iterator[None]:
    """Let Ray start or connect in the body without a word; afterwards the process is as it was.

    Args:
        variables: Variables of the environment for the body.

    """
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if in_main else None
    handlers, level = list(_LOGGER.handlers), _LOGGER.level
    _LOGGER.setLevel(logging.CRITICAL + 1)  # an error is raised as well
    try:
        with same_environment(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.environ.update(variables)
            yield
    finally:
        _LOGGER.setLevel(level)
        _LOGGER.handlers[:] = handlers
        if in_main and handler is not None:
            signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def same_environment() -> Iterator[None]:
    """Take back what the body changes in the environment."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() | before.keys():
            if name not in before:
                os.environ.pop(name, None)
            elif os.environ.get(name) != before[name]:
                os.environ[name] = before[name]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what Ray logs from the terminal, where a handler of its own would write it."""
    handlers = list(_LOGGER.handlers)
    _LOGGER.handlers[:] = [logging.NullHandler()]  # with none at all, warnings would be written as well
    try:
        yield
    finally:
        _LOGGER.handlers[:] = handlers


def forget_token() -> None:
    """Let Ray read its settings and its token from the environment again, where it has some."""
    with contextlib.suppress(ImportError, AttributeError):
        from ray._raylet import AuthenticationTokenLoader, Config  # noqa: PLC0415 - there is no public way

        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()
