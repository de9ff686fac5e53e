"""Whether what a step is annotated to return can be what another is annotated to take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, get_origin

from crystallize_core.annotations import UNKNOWN, annotations_of, element_of, mismatch
from crystallize_core.asset import Asset
from crystallize_core.step import PipelineStep
from crystallize_core.wiring.fills import Fill

__all__ = ["Annotated", "misfits", "promised_types"]


class Annotated(Protocol):
    """A step whose parameters have their sources."""

    @property
    def step(self) -> PipelineStep:
        """The step."""

    @property
    def name(self) -> str:
        """Its unique name."""

    @property
    def fills(self) -> tuple[Fill, ...]:
        """How its parameters are filled."""


def misfits(steps: Iterable[Annotated]) -> Iterator[str]:
    """A sentence for each output that certainly cannot be what its taker expects."""
    by_name = {found.name: found for found in steps}
    known: dict[str, Mapping[str, Any]] = {}

    def annotations(name: str) -> Mapping[str, Any]:
        if name not in known:
            known[name] = annotations_of(by_name[name].step.function)
        return known[name]

    for taker in by_name.values():
        for fill in taker.fills:
            if fill.maker is None or not annotations(taker.name):
                continue
            expected = annotations(taker.name).get(fill.parameter, UNKNOWN)
            produced = _produced(by_name[fill.maker].step, fill, annotations(fill.maker).get("return", UNKNOWN))
            found = mismatch(produced, expected) if _can_be_compared(produced, expected) else None
            if found is not None:
                yield (
                    f"step {taker.name!r} takes {fill.parameter!r} from {fill.words}: that {found}; mend one of the "
                    f"two annotations"
                )


def promised_types(step: PipelineStep, name: str) -> dict[str, type[Asset]]:
    """The types of asset that a step is annotated to return, by output.

    Args:
        step: The step.
        name: Its unique name, which is its output where it declares none.

    """
    returned = annotations_of(step.function).get("return")
    if returned is None:
        return {}
    outputs = step.outputs or (name,)
    found = {key: element_of(returned, at, len(outputs), key=key) for at, key in enumerate(outputs)}
    return {key: kind for key, kind in found.items() if isinstance(kind, type) and issubclass(kind, Asset)}


def _produced(step: PipelineStep, fill: Fill, returned: Any) -> Any:
    """The annotation of one output of a step."""
    outputs = step.outputs
    if len(outputs) > 1:
        at = outputs.index(fill.key) if fill.key in outputs else None
        return returned if at is None else element_of(returned, at, len(outputs), key=outputs[at])
    # What is annotated as a pair may be an output with its metrics.
    return UNKNOWN if not outputs and get_origin(returned) is tuple else returned


def _can_be_compared(produced: Any, expected: Any) -> bool:
    """Whether the annotations speak of the value that flows: a plain value may be annotated as the asset it is stored as."""
    is_asset = isinstance(produced, type) and issubclass(produced, Asset)
    return not is_asset or (isinstance(expected, type) and issubclass(expected, Asset))
