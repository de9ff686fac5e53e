"""`ctx.metrics`: what a cell has recorded, and the way to record more."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from crystallize_core.state import Metric, checked_metric

if TYPE_CHECKING:
    from crystallize_core.context import FrozenContext

__all__ = ["MetricLog"]


class MetricLog:
    """`ctx.metrics`: what was recorded so far, and the way to record more."""

    __slots__ = ("_ctx",)

    def __init__(self, ctx: FrozenContext) -> None:
        self._ctx = ctx

    def add(self, name: str, value: Any, tags: Mapping[str, Any] | None = None) -> None:
        """Record `value` under `name`; a name may be recorded more than once per replicate.

        Raises:
            ContextError: The name is not a string, or the value cannot be copied.

        """
        row = checked_metric(name, value, tags)
        self._ctx._open_stage().metrics.append(row)  # noqa: SLF001 - one room

    def __getitem__(self, name: str) -> tuple[Any, ...]:
        """All values recorded under `name`; empty if there are none."""
        return tuple(value for key, value, _ in self._all() if key == name)

    def get_tags(self, name: str) -> tuple[Mapping[str, Any], ...]:
        """The tags of each value recorded under `name`."""
        return tuple(tags or {} for key, _, tags in self._all() if key == name)

    def as_dict(self) -> Mapping[str, tuple[Any, ...]]:
        """Every metric with its values in the order of recording; read-only."""
        found: dict[str, list[Any]] = {}
        for name, value, _ in self._all():
            found.setdefault(name, []).append(value)
        return types.MappingProxyType({name: tuple(values) for name, values in found.items()})

    def __iter__(self) -> Iterator[str]:
        return iter(self.as_dict())

    def __len__(self) -> int:
        return len(self.as_dict())

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _, _ in self._all())

    def _all(self) -> list[Metric]:
        ctx = self._ctx
        ctx._note_look("metrics")  # noqa: SLF001 - one room
        stage = ctx._stage  # noqa: SLF001 - one room
        committed = ctx._state.metrics  # noqa: SLF001 - one room
        return committed if stage is None or stage is ctx._state else committed + stage.metrics  # noqa: SLF001
