"""The plugins that the kit puts beside an executor."""

from __future__ import annotations

import functools
import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from crystallize_core.context import Event, FrozenContext
from crystallize_core.outcome import CellOutcome, ReplicateOutcome
from crystallize_core.plugin import BasePlugin
from crystallize_core.watchdog import announce

__all__ = ["Enough", "Faulty", "Fussy", "Hears", "Knows", "Limits", "Places", "Streams"]


class Streams(BasePlugin):
    """Random streams by replicate, condition and step, without any other distribution."""

    plugin_name: ClassVar[str | None] = "streams"

    def before_replicate(self, experiment: Any, ctx: FrozenContext) -> None:
        """Provide `ctx.rng`."""
        ctx.provide("rng", _stream)


def _stream(ctx: FrozenContext) -> random.Random:
    return random.Random(f"{ctx['replicate']} {ctx['condition']} {ctx.step_name}")  # noqa: S311 - no secret


class Places(BasePlugin):
    """Says where each cell runs, and what the coordinator has told the workers."""

    plugin_name: ClassVar[str | None] = "places"

    def before_run(self, experiment: Any, run: Any) -> None:
        """Tell the workers something."""
        run.shared["places"] = f"from {os.getpid()}"

    def before_replicate(self, experiment: Any, ctx: FrozenContext) -> None:
        """Say where the cell is."""
        ctx.emit("cell.began", process=os.getpid(), told=ctx.run.shared.get("places"), kind=ctx.run.concurrency)

    def after_replicate(self, experiment: Any, ctx: FrozenContext, outcome: CellOutcome) -> None:
        """Say that it has ended."""
        ctx.emit("cell.ended", process=os.getpid())


class Hears(BasePlugin):
    """Writes down what the coordinator is told; what a copy in a worker hears stays there.

    Attributes:
        calls: The hooks that were called, in order, with the replicate that they were about.
        events: What was said, in order of arrival.
        processes: Where the hooks were called.
        overlaps: How often a hook was called while another one had not returned.

    """

    plugin_name: ClassVar[str | None] = "hears"

    def __init__(self) -> None:
        self.calls: list[tuple[str, int | None]] = []
        self.events: list[Event] = []
        self.processes: set[int] = set()
        self.overlaps = 0
        self._busy = threading.Lock()

    def __reduce__(self) -> Any:
        return type(self), ()

    def _hear(self, hook: str, replicate: int | None = None) -> None:
        free = self._busy.acquire(blocking=False)
        self.overlaps += not free
        self.calls.append((hook, replicate))
        self.processes.add(os.getpid())
        if free:
            self._busy.release()

    def before_run(self, experiment: Any, run: Any) -> None:
        """The beginning."""
        self._hear("before_run")

    def replicate_done(self, experiment: Any, replicate: int, outcome: ReplicateOutcome) -> None:
        """A replicate."""
        self._hear("replicate_done", replicate)

    def on_event(self, experiment: Any, event: Event) -> None:
        """An event."""
        self.events.append(event)

    def after_run(self, experiment: Any, result: Any) -> None:
        """The end."""
        self._hear("after_run")


class Knows(BasePlugin):
    """Has the outcomes of an earlier run."""

    plugin_name: ClassVar[str | None] = "knows"

    def __init__(self, outcomes: Sequence[ReplicateOutcome] = ()) -> None:
        self.outcomes = {outcome.replicate: outcome for outcome in outcomes}

    def __reduce__(self) -> Any:
        return type(self), ()

    def load_replicate(self, experiment: Any, replicate: int) -> ReplicateOutcome | None:
        """What is known."""
        return self.outcomes.get(replicate)


class Enough(BasePlugin):
    """Has enough after so many replicates."""

    plugin_name: ClassVar[str | None] = "enough"

    def __init__(self, count: int) -> None:
        self.count = count

    def should_stop(self, experiment: Any, outcomes: Sequence[ReplicateOutcome]) -> bool | None:
        """Whether there are so many."""
        return True if len(outcomes) >= self.count else None


class Faulty(BasePlugin):
    """An observer that fails in the workers."""

    plugin_name: ClassVar[str | None] = "faulty"
    essential: ClassVar[bool] = False

    def before_replicate(self, experiment: Any, ctx: FrozenContext) -> None:
        """Fail."""
        raise RuntimeError("the observer has a fault")


class Fussy(BasePlugin):
    """An essential plugin that fails in the coordinator, at the first replicate that arrives."""

    plugin_name: ClassVar[str | None] = "fussy"

    def replicate_done(self, experiment: Any, replicate: int, outcome: ReplicateOutcome) -> None:
        """Fail."""
        raise RuntimeError("not this one")


class Limits(BasePlugin):
    """The step option `limit`, which only announces how long an attempt may take; whoever runs it has to end it."""

    plugin_name: ClassVar[str | None] = "limits"

    def step_options(self) -> Mapping[str, Any]:
        """The option."""
        return {"limit": float}

    def wrap_step(self, experiment: Any, step: Any, call: Callable[[Any, FrozenContext], Any]) -> Any:
        """Announce the limit of a step that has one."""
        seconds = step.options.get("limit")
        return None if seconds is None else functools.partial(_limited, call, step.name, seconds)


def _limited(
    call: Callable[[Any, FrozenContext], Any], name: str, seconds: float, data: Any, ctx: FrozenContext
) -> Any:
    with announce(name, seconds, ctx, functools.partial(TimeoutError, f"{name} took longer than {seconds} s")):
        return call(data, ctx)
