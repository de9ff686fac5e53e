"""What is kept of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from crystallize_core.artifact import ArtifactRecord
from crystallize_core.cache.format import Packed
from crystallize_core.context import CONDITION_KEY, REPLICATE_KEY, Event, StepContext
from crystallize_core.state import SHARED_TYPES, Metric

__all__ = ["Entry"]


@attrs.frozen
class Entry:
    """What a step came to: its output and everything that it wrote.

    Where it may be found by other code than that which made it, `code` is the digest of the code that did.
    `digest` is that of the output, where it stays the same as long as the output does; `digests` are those of the
    single outputs of a step that has several, by name.
    """

    output: Packed
    metrics: list[Metric]
    artifacts: list[ArtifactRecord]
    events: list[Event]
    added: dict[str, Any]
    code: str | None = None
    digest: str | None = None
    digests: Mapping[Any, str | None] | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Entry | None:
        """What was read from a store; None if it is something else."""
        try:
            return cls(**found)
        except TypeError:
            return None

    @property
    def can_be_shared(self) -> bool:
        """Whether nothing of it can be changed by those who replay it; its output is made anew for each of them."""
        plain = all(type(value) in SHARED_TYPES and not tags for _, value, tags in self.metrics)
        return plain and not (self.artifacts or self.events or self.added)

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
