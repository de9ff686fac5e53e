"""Outcomes as bytes."""

from __future__ import annotations

import sys

import pytest

from crystallize_core.packing import dumped
from crystallize_core.testing.executors.values import Stuck


def test_without_cloudpickle_the_reason_is_told_all_the_same(monkeypatch):
    """That there is no other pickle is not what is the matter with the item."""
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(TypeError, match="it stays here"):
        dumped([Stuck()])
