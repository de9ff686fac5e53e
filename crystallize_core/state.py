"""What one cell has committed, what one attempt has staged, and what both are made of."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from crystallize_core.artifact import ArtifactRecord
from crystallize_core.errors import ContextError
from crystallize_core.resource import ResourceFactory

if TYPE_CHECKING:
    from crystallize_core.context import FrozenContext

__all__ = [
    "ABSENT",
    "ALL_KEYS",
    "BASELINE_CONDITION",
    "CONDITION_KEY",
    "REPLICATE_KEY",
    "SEED_USED_KEY",
    "SHARED_TYPES",
    "CellState",
    "Event",
    "Metric",
    "Stage",
    "checked_metric",
    "snapshot",
]

REPLICATE_KEY: Final = "replicate"
"""Context key of the number of the current replicate, from 0."""
CONDITION_KEY: Final = "condition"
"""Context key of the name of the current condition."""
SEED_USED_KEY: Final = "seed_used"
"""Context key under which a seeding plugin records the seed of the current cell."""
BASELINE_CONDITION: Final = "baseline"
"""The name of the condition without a treatment."""

ABSENT: Final = object()
"""Stands for "this key was not there" in the record of reads."""
ALL_KEYS: Final = "*"
"""Stands in the record of reads for "it looked at which keys exist"; no key can have this name."""

Metric = tuple[str, Any, Mapping[str, Any] | None]
"""One recorded value: its name, the value, its tags or None."""

# Values of these types cannot change, so that they are handed out without a copy.
SHARED_TYPES: Final = frozenset(
    {
        bool, int, float, complex, str, bytes, type(None), type, range, types.FunctionType,
        types.BuiltinFunctionType, types.ModuleType, type(Ellipsis), type(NotImplemented),
    }
)  # fmt: skip


@attrs.frozen
class Event:
    """Something that happened: `ctx.emit("epoch", loss=0.3)` or a step of the lifecycle.

    Attributes:
        name: What happened; lifecycle events have names like `run.started`.
        payload: What the emitter said about it.
        replicate, condition, step: Where it happened; None where that has no meaning.

    """

    name: str
    payload: Mapping[str, Any] = attrs.field(factory=dict)
    replicate: int | None = None
    condition: str | None = None
    step: str | None = None


class Stage:
    """What one attempt has written and nobody has committed."""

    __slots__ = ("added", "artifacts", "events", "metrics")

    def __init__(self) -> None:
        self.added: dict[str, Any] = {}
        self.metrics: list[Metric] = []
        self.artifacts: list[ArtifactRecord] = []
        self.events: list[Event] = []


class CellState:
    """What one cell has committed: the values that steps read, and what they recorded."""

    # One state is made for every cell: what every cell has is a slot, and what few cells change is a class
    # attribute, for which a dictionary is made only when it is changed.
    __slots__ = ("__dict__", "artifacts", "events", "metrics", "run", "values")

    overridable = False
    services: Mapping[str, Callable[[FrozenContext], Any]] = types.MappingProxyType({})
    untracked: frozenset[str] = frozenset()
    logger: Any = None

    def __init__(self, values: dict[str, Any], run: Any = None) -> None:
        self.values = values
        self.run = run
        self.metrics: list[Metric] = []
        self.artifacts: list[ArtifactRecord] = []
        self.events: list[Event] = []

    def commit(self, stage: Stage) -> None:
        """Make what an attempt staged visible to everything that comes after it."""
        self.values.update(stage.added)
        self.metrics += stage.metrics
        self.artifacts += stage.artifacts
        self.events += stage.events


def snapshot(value: Any, what: str) -> Any:
    """A copy that nobody else can change, or the value itself where it cannot change."""
    if type(value) in SHARED_TYPES or isinstance(value, ResourceFactory):
        return value
    try:
        return copy.deepcopy(value)
    except Exception as error:
        message = (
            f"{what} is a {type(value).__qualname__} that cannot be copied, so that steps could change it "
            f"for each other; wrap what makes it in resource_factory(...) to get one per worker"
        )
        raise ContextError(message) from error


def checked_metric(name: Any, value: Any, tags: Mapping[str, Any] | None = None) -> Metric:
    """One recorded value, safe from later changes; scalars of array libraries become plain numbers.

    Raises:
        ContextError: The name is not a string, or the value cannot be copied.

    """
    if type(name) is not str or not name:
        message = f"the name of a metric must be a non-empty str, found {type(name).__qualname__} {name!r}"
        raise ContextError(message)
    if type(value) not in SHARED_TYPES:
        is_scalar = getattr(value, "ndim", None) == 0 and hasattr(value, "dtype") and hasattr(value, "item")
        value = value.item() if is_scalar else snapshot(value, f"metric {name!r}")
    return name, value, dict(tags) if tags else None
