"""What is told about a stack that works all the same: what was skipped, and what has no effect."""

from __future__ import annotations

from collections.abc import Iterable

from crystallize_core.errors import warn_caller
from crystallize_core.stack.attached import Skipped

__all__ = ["PluginWarning", "SettingWarning", "tell"]


_told: set[tuple[str, str | None]] = set()
"""What was told of plugins that are skipped, and where these were found."""


class PluginWarning(UserWarning):
    """An installed plugin could not be used and was skipped; the message says which and why."""


class SettingWarning(UserWarning):
    """Something that the environment or the command line says has no effect; the message says what and why."""


def tell(skipped: Iterable[Skipped], idle: Iterable[str]) -> None:
    """Warn of what is broken, once in a process, and of what has no effect; what was left out on purpose is not told.

    Args:
        skipped: What is not used.
        idle: What has no effect, in words.

    """
    for one in skipped:
        if one.error is not None:
            text = f"installed plugin {one.name!r} of {one.distribution} is skipped: {one.reason}"
            if (text, one.place) not in _told:  # a stack is made for every experiment
                warn_caller(text, PluginWarning)
                _told.add((text, one.place))
    for text in idle:
        warn_caller(text, SettingWarning)
