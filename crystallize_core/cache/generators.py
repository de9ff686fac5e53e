"""Whether a step drew from the global generators, for stacks in which no plugin watches them.

Numbers that nobody seeded are other ones the next time, so that an output that was made of them is not kept.
"""

from __future__ import annotations

import pickle
import random
from typing import Any, Final, Self

import attrs

from crystallize_core.imported import imported

__all__ = ["Generators"]

_UNTOUCHED: Final = 623
"""Where the index of numpy's generator stands until somebody draws from it."""


@attrs.frozen
class Generators:
    """The states of the global generators of `random` and numpy; numpy's is None while it is not loaded."""

    python: Any
    numpy: bytes | None

    @classmethod
    def now(cls) -> Self:
        """The states as they are; nothing is imported for it."""
        state = _numpy_state()
        return cls(random.getstate(), None if state is None else pickle.dumps(state))  # arrays cannot be compared

    def have_moved(self) -> bool:
        """Whether something drew from them, or seeded them, since then."""
        if random.getstate() != self.python:
            return True
        state = _numpy_state()
        if state is None:
            return False
        if self.numpy is not None:
            return pickle.dumps(state) != self.numpy
        return (state["state"].get("pos"), state.get("has_gauss")) != (_UNTOUCHED, 0)  # loaded since then


def _numpy_state() -> Any:
    numpy: Any = imported("numpy.random")
    return None if numpy is None else numpy.get_state(legacy=False)
