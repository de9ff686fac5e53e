"""What is kept of a step, and what came of looking for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from crystallize_core.artifact import ArtifactRecord
from crystallize_core.cache.format import Packed
from crystallize_core.cache.generators import Generators
from crystallize_core.cache.store import EntryStore
from crystallize_core.context import CONDITION_KEY, REPLICATE_KEY, Event, StepContext
from crystallize_core.state import Metric

__all__ = ["Entry", "Lookup"]


@attrs.frozen
class Entry:
    """What a step came to: its output and everything that it wrote.

    Where it may be found by other code than that which made it, `code` is the digest of the code that did.
    `digest` is that of the output, where it stays the same as long as the output does.
    """

    output: Packed
    metrics: list[Metric]
    artifacts: list[ArtifactRecord]
    events: list[Event]
    added: dict[str, Any]
    code: str | None = None
    digest: str | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Entry | None:
        """What was read from a store; None if it is something else."""
        try:
            return cls(**found)
        except TypeError:
            return None

    def replay(self, ctx: StepContext) -> None:
        """Write into `ctx` what the step wrote when it ran."""
        if not (self.metrics or self.artifacts or self.events or self.added):
            return
        stage = ctx._open_stage()  # noqa: SLF001 - the engine is who stages
        stage.metrics += self.metrics
        stage.artifacts += [attrs.evolve(artifact, step=ctx.step_name or "") for artifact in self.artifacts]
        replicate, condition = ctx._state.values.get(REPLICATE_KEY), ctx._state.values.get(CONDITION_KEY)  # noqa: SLF001
        stage.events += [
            attrs.evolve(event, replicate=replicate, condition=condition, step=ctx.step_name) for event in self.events
        ]
        for key, value in self.added.items():
            ctx.add(key, value)


@attrs.frozen
class Lookup:
    """An attempt to find an entry.

    Attributes:
        entry: What was found, or None.
        name: Where entries of this step and input are; None where they cannot be named.
        answers: What plugins say that the output may depend on, by plugin and name.
        found_in: The store that had it.
        full_name: The name of the entry that was found.
        reason: Why nothing was found, in words.
        changes: What has changed since the step ran last, one by one, where that was asked for.
        generators: The global generators as they are, where no plugin watches whether the step draws from them.
        was_asked: Whether there is a store that might have had it.

    """

    entry: Entry | None = None
    name: str | None = None
    answers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    found_in: EntryStore | None = None
    full_name: str | None = None
    reason: str = "what it depends on has no stable digest"
    was_asked: bool = True
    changes: tuple[str, ...] = ()
    generators: Generators | None = None

    @property
    def words(self) -> str:
        """What came of it, for people."""
        if self.entry is not None:
            return "a hit: nothing that it depends on has changed"
        return f"a miss: {self.reason}" if self.was_asked else f"not asked: {self.reason}"
