"""What one cell needs of seeding while it runs: it seeds, makes the streams, and knows what was drawn."""

from __future__ import annotations

import importlib
import random
import secrets
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import attrs

from crystallize_core.errors import ConfigurationError
from crystallize_seeding._derivation import Cell
from crystallize_seeding._globals import GlobalState, default_seed_function, drew_unseeded, is_unwatched

if TYPE_CHECKING:
    from crystallize_core.context import FrozenContext

__all__ = ["CUSTOM_SEEDS", "NUMPY_IS_MISSING", "Seeds"]

CUSTOM_SEEDS: Final = 2**32
"""How many different seeds a `seed_fn` of the user's gets: what every library takes, as in `seed_fn=np.random.seed`."""

NUMPY_IS_MISSING: Final = (
    "ctx.rng is to be a numpy generator, and numpy is not installed: pip install 'crystallize-seeding[numpy]', "
    "or SeedPlugin(rng='python')"
)


@attrs.define(eq=False)
class _Drawing:
    """What is known of the draws of one step since it started; steps of a cell may run side by side."""

    is_streaming: bool = False
    before: GlobalState | None = None


@attrs.define(eq=False)
class Seeds:
    """The seeds of one cell at work.

    Args:
        cell: What the seeds are.
        known: Whether they come from a root that is in the record, so that they will be the same again.
        sets_globals: Whether the global generators are this cell's own while it runs.
        seed_fn: The user's function, or None.
        numpy: Whether `ctx.rng` is a numpy generator.

    Attributes:
        late: The steps that imported numpy and drew from its global generator before it could be seeded.

    """

    cell: Cell
    known: bool
    sets_globals: bool
    seed_fn: Callable[[int], object] | None
    numpy: bool
    late: list[str | None] = attrs.field(factory=list, init=False)
    _step: str | None = attrs.field(default=None, init=False)
    _drawing: dict[str | None, _Drawing] = attrs.field(factory=dict, init=False)
    _is_numpy_seeded: bool = attrs.field(default=True, init=False)  # nothing of this cell could have drawn yet

    def start(self, step: str | None) -> None:
        """Set the global generators to where the step starts; None is everything outside the steps."""
        if self.sets_globals:
            if not self._is_numpy_seeded:
                self.look_for_late()
            seed = self.cell.of(step)[0]
            if self.seed_fn is None:
                default_seed_function(seed)
            else:
                self.seed_fn(seed % CUSTOM_SEEDS)
            self._is_numpy_seeded = "numpy" in sys.modules
        self._step = step
        self._drawing[step] = _Drawing()

    def stream(self, ctx: FrozenContext) -> Any:
        """A generator that starts where the numbers of this step start; `ctx.rng`."""
        self._drawing.setdefault(ctx.step_name, _Drawing()).is_streaming = True
        seed = self.cell.of(ctx.step_name)[1]
        if not self.numpy:
            return random.Random(seed)  # noqa: S311 - for experiments, not for secrets
        try:
            numpy: Any = importlib.import_module("numpy.random")
        except ImportError as error:
            raise ConfigurationError(NUMPY_IS_MISSING, plugin="seeding") from error
        return numpy.Generator(numpy.PCG64(numpy.SeedSequence(seed)))

    def look_for_late(self) -> None:
        """Note the step that ran last if it imported numpy and drew from its unseeded generator."""
        if not self._is_numpy_seeded and "numpy" in sys.modules and drew_unseeded():
            self.late.append(self._step)
        self._is_numpy_seeded = True

    # For the cache ------------------------------------------------------------------------------

    def watch(self, step: str | None) -> None:
        """From here on notice whether the step draws from global generators, which others may do at the same time."""
        self._drawing[step].before = GlobalState.now()

    def dependencies(self, step: str | None) -> dict[str, Any]:
        """What the output of a cacheable step depends on.

        Before the step nobody knows whether it will draw, so the answer has everything that it may come to
        depend on; after it, only what it did. `numbers` tells which numbers were drawn. `unrepeatable` is never
        the same twice, so that an output made of numbers that nobody seeded is not used again.
        """
        numbers = {"numbers": "{:x}/{:x}".format(*self.cell.of(step))}
        unrepeatable = {"unrepeatable": secrets.token_hex(16)}
        drawing = self._drawing.get(step)
        if drawing is None:
            return numbers | unrepeatable
        moved = drawing.before is not None and bool(drawing.before.moved())
        if not self.sets_globals:
            is_unrepeatable = moved or (drawing.is_streaming and not self.known)
            return (unrepeatable if is_unrepeatable else {}) | (numbers if drawing.is_streaming else {})
        self.look_for_late()
        is_late = step in self.late
        has_drawn = drawing.is_streaming or moved or self.seed_fn is not None or is_unwatched()
        return (unrepeatable if is_late else {}) | (numbers if has_drawn else {})
