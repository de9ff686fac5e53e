"""The units that the steps of execution groups run in, and what each of them needs."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from crystallize_core.requirements import ResourceRequest, combined
from crystallize_core.wiring.fills import WiredStep

__all__ = ["StepGroup", "groups_of"]


@attrs.frozen
class StepGroup:
    """Steps of one execution group that run back to back in one worker.

    Attributes:
        name: The name of the group with the number of the unit behind it, such as `prepare_0`.
        steps: The names of the steps in the order in which they run.
        resources: What all of them together need; empty where none of them asks for anything.

    """

    name: str
    steps: tuple[str, ...]
    resources: ResourceRequest


def groups_of(steps: Iterable[WiredStep]) -> list[StepGroup]:
    """The units of a wired pipeline, in the order in which they run."""
    members: dict[str, list[WiredStep]] = {}
    for wired in steps:
        if wired.group is not None:
            members.setdefault(wired.group, []).append(wired)
    return [
        StepGroup(name, tuple(wired.name for wired in unit), combined(_requests(unit)))
        for name, unit in members.items()
    ]


def _requests(unit: Iterable[WiredStep]) -> list[object]:
    asked = (wired.step.options.get("resources") for wired in unit)
    return [request for request in asked if request is not None]
