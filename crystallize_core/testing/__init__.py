"""The kit for authors of plugins: a pytest plugin that a test suite switches on by its name.

    pytest_plugins = ["crystallize_core.testing"]

in the `conftest.py` beside the tests. Every fixture is in the file of what it is about, and listed here.
"""

from __future__ import annotations

try:
    import pytest  # noqa: F401 - whether it is there
except ModuleNotFoundError as missing:
    message = "crystallize_core.testing is a plugin for pytest, which is not installed: pip install pytest"
    raise ModuleNotFoundError(message, name=missing.name) from missing

from crystallize_core.testing.clocks import fake_clock

__all__ = ["fake_clock"]
