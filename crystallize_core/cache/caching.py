"""Where the outputs of one pipeline are looked for and kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from crystallize_core.cache.file_store import FileStore
from crystallize_core.cache.store import EntryStore

if TYPE_CHECKING:
    from crystallize_core.cache.step_cache import StepCache
    from crystallize_core.wiring import WiredStep

__all__ = ["Caching"]


@attrs.frozen
class Caching:
    """The stores of a pipeline.

    Attributes:
        store: The cache; None where it is switched off.
        checkpoints: Where everything that a step comes to is kept for this run; None for experiments.
        earlier: The checkpoints of an earlier run that is resumed, and of those that it resumed in turn.
        is_chosen: Whether somebody said where the cache is to be, so that no plugin says otherwise.
        fresh: The names of the steps that run again, whatever an earlier run has of them.
        explains: Whether a miss says what has changed since the step ran last; in any case where there are checkpoints.

    """

    store: EntryStore | None = attrs.field(factory=FileStore)
    checkpoints: FileStore | None = None
    earlier: tuple[EntryStore, ...] = ()
    fresh: Collection[str] = ()
    is_chosen: bool = False
    explains: bool = False

    def of_step(
        self,
        wired: WiredStep,
        ask: Callable[[Any], Any] | None,
        asset_stores: Sequence[str] = (),
        watchers: Collection[str] = (),
    ) -> StepCache | None:
        """The entries of a step; None where none are looked for or kept.

        Args:
            wired: The step.
            ask: Asks plugins what else its output depends on; None where no plugin has an answer.
            asset_stores: The names of the plugins that store assets.
            watchers: The names of the plugins that say whether a step drew from the global generators.

        """
        is_cached = wired.step.cacheable and self.store is not None
        is_fresh = wired.name in self.fresh
        reads = [] if is_fresh else [*self.earlier, *([self.store] if is_cached and self.store is not None else [])]
        keeps = [s for s in (self.store if is_cached else None, self.checkpoints) if s is not None]
        if not keeps:
            return None
        from crystallize_core.cache.step_cache import StepCache  # noqa: PLC0415 - most workers cache nothing

        # With checkpoints it is one run at a time, and somebody may look at each step of it.
        explains = self.explains or self.checkpoints is not None
        return StepCache(
            wired,
            ask,
            reads,
            keeps,
            earlier=self.earlier,
            asset_stores=asset_stores,
            watchers=watchers,
            explains=explains,
            quiet=not is_cached,
            is_fresh=is_fresh,
        )
