"""The fixture that takes the waiting out of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crystallize_core.clock import FakeClock, use_clock

__all__ = ["fake_clock"]


@pytest.fixture
def fake_clock() -> Iterator[FakeClock]:
    """A clock whose time passes only where somebody waits by it or moves it; for the whole process, for one test."""
    with use_clock(FakeClock()) as fake:
        yield fake
