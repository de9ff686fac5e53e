"""Outcomes as bytes."""

from __future__ import annotations

import copyreg
import pickle
import sys

import pytest

from crystallize_core.errors import StepError
from crystallize_core.packing import dumped
from crystallize_core.testing.executors.values import Stuck


def test_without_cloudpickle_the_reason_is_told_all_the_same(monkeypatch):
    """That there is no other pickle is not what is the matter with the item."""
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(TypeError, match="it stays here"):
        dumped([Stuck()])


def test_our_errors_are_pickled_in_their_own_way_whatever_others_registered(monkeypatch):
    """Tblib registers a way of its own for all exceptions, which does not survive a cause that cannot be pickled."""
    monkeypatch.setitem(copyreg.dispatch_table, StepError, lambda error: (StepError, (str(error),), {"cause": Stuck()}))
    error = StepError("it failed", step="fit")
    error.__cause__ = ValueError(Stuck())
    found = pickle.loads(dumped(error))
    assert (type(found), found.address) == (StepError, {"step": "fit"})
    assert str(found.__cause__).startswith("ValueError: <crystallize_core.testing")
    assert StepError not in copyreg.dispatch_table
