"""Whether a worker has the stack of its coordinator."""

from __future__ import annotations

import attrs
import pytest

from crystallize_core.errors import StackMismatchError
from crystallize_core.plugin import BasePlugin
from crystallize_core.stack.attached import ActivePlugin
from crystallize_core.stack.parity import Parity, refuse_another_stack


def claimed(version):
    """A stack with a plugin of a distribution that is said to have this version."""
    return [ActivePlugin("some", BasePlugin(), "entry point", "attrs", version)]


def test_in_the_same_place_there_are_the_same_versions():
    """Then a worker reads no metadata at all, which takes longer than all else before its first replicate."""
    sent = Parity.of(claimed(attrs.__version__))
    assert sent.place
    refuse_another_stack(attrs.evolve(sent, core="read nowhere"))


def test_what_was_upgraded_since_it_was_imported_is_noticed():
    """The coordinator runs what it imported, and a worker would import what is installed now."""
    sent = Parity.of(claimed("1.0"))
    assert sent.place == ()
    with pytest.raises(StackMismatchError, match=r"attrs: .* in the worker, 1\.0 in the coordinator"):
        refuse_another_stack(sent)


def test_another_place_is_looked_into():
    """On another machine, or after something was installed, the versions are compared."""
    sent = Parity.of(claimed(attrs.__version__))
    refuse_another_stack(attrs.evolve(sent, place=()))
    with pytest.raises(StackMismatchError, match="crystallize-core"):
        refuse_another_stack(attrs.evolve(sent, place=(), core="99.0"))
