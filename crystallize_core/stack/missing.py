"""What is said of a plugin or an executor that is asked for by name and is not installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crystallize_core.errors import did_you_mean

__all__ = ["STANDARD_EXECUTORS", "no_executor", "not_installed"]

STANDARD_EXECUTORS = ("async", "parallel", "process", "serial", "thread")
"""What crystallize-executors ships, for the message of those who lack it."""


def not_installed(name: str, available: Mapping[str, Any]) -> str:
    """That a listed plugin is not there, with the line that installs it or the name that was meant."""
    hint = did_you_mean(name, available, listing="installed")
    if hint.startswith("did you mean"):
        return f"plugins: {name!r} is not installed; {hint}"
    return f"plugins: {name!r} is not installed: pip install crystallize-{name} ({hint})"


def no_executor(name: str, available: Mapping[str, Any]) -> str:
    """The same of an executor."""
    hint = did_you_mean(name, available, listing="installed")
    if hint.startswith("did you mean") and name not in STANDARD_EXECUTORS:
        return f"executor {name!r} is not installed; {hint}"
    distribution = "crystallize-executors" if name in STANDARD_EXECUTORS else f"crystallize-{name}"
    return f"executor {name!r} is not installed: pip install {distribution} ({hint})"
