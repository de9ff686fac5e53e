"""The global generators: what `random.random()` and `numpy.random.rand()` draw from.

They belong to the process and not to a step. Where a process runs one cell at a time (`serial`, `process`) they
are set anew before each attempt of each step. Where several replicates share a process (`thread`, `async`) that
would be a race which nobody could see in the result: there they are left alone, and afterwards it is said if
something drew from them (`GlobalState.moved`). `ctx.rng` is free of all this.

Nothing is imported here for the sake of seeding, with one exception: numpy loads its own `numpy.random` late, at
the first draw, so where numpy is loaded its generator has to be loaded too, or that first draw would be anybody's.
For the same reason numpy cannot have been seeded when it is a *step* that imports it first; `drew_unseeded` tells
whether that step drew from it, so that it can be said.
"""

from __future__ import annotations

import pickle
import random
import sys
from typing import Any, Final

import attrs

from crystallize_core.imported import imported

__all__ = ["GlobalState", "default_seed_function", "drew_unseeded", "is_unwatched"]

_NUMPY_BITS: Final = 2**32
_UNTOUCHED: Final = 623  # where the index of numpy's generator stands until it is seeded or drawn from

# Module -> the path of its seed function, and the number of seeds that it takes. `torch.manual_seed` includes all
# GPUs. JAX is missing because it has no global generator.
_LIBRARIES: Final = (
    ("torch", ("manual_seed",), 2**63),
    ("tensorflow", ("random", "set_seed"), 2**32),
    ("cupy", ("random", "seed"), 2**32),
)


def default_seed_function(seed: int) -> None:
    """Seed the global generators of `random`, and of numpy, torch, TensorFlow and CuPy where they are loaded.

    Nothing is imported that is not in use already. Libraries that take smaller numbers get the low bits.

    Args:
        seed: Any integer.

    """
    random.seed(seed)
    generator: Any = getattr(imported("numpy"), "random", None)  # asking loads it
    if generator is not None:
        generator.seed(seed % _NUMPY_BITS)
    for name, path, size in _LIBRARIES:
        function: Any = imported(name)
        for attribute in path:
            function = getattr(function, attribute, None)
        if function is not None:
            function(seed % size)


@attrs.frozen
class GlobalState:
    """The states of the global generators of `random` and numpy; numpy's is None while it is not loaded."""

    python: Any
    numpy: Any

    @classmethod
    def now(cls) -> GlobalState:
        """The states as they are."""
        generator: Any = imported("numpy.random")
        return cls(random.getstate(), None if generator is None else generator.get_state(legacy=False))

    def restore(self) -> None:
        """Put the states back, so that a run leaves no trace in the numbers that its caller draws."""
        random.setstate(self.python)
        if self.numpy is not None:
            generator: Any = sys.modules["numpy.random"]
            generator.set_state(self.numpy)

    def moved(self) -> list[str]:
        """The modules whose generators something drew from, or seeded, since then."""
        now = self.now()
        found = ["random"] if now.python != self.python else []
        if self.numpy is None:
            return found + ["numpy.random"] * drew_unseeded()
        same = pickle.dumps(now.numpy) == pickle.dumps(self.numpy)  # arrays cannot be compared with `==`
        return found if same else [*found, "numpy.random"]


def drew_unseeded() -> bool:
    """Whether something drew from numpy's generator, given that nobody seeded it since it was loaded."""
    generator: Any = imported("numpy.random")
    if generator is None:
        return False
    state = generator.get_state(legacy=False)
    return "pos" not in state["state"] or (state["state"]["pos"], state["has_gauss"]) != (_UNTOUCHED, 0)


def is_unwatched() -> bool:
    """Whether a library is loaded that has a global generator whose state is not compared."""
    return any(name in sys.modules for name, _, _ in _LIBRARIES)
