"""The wiring of a whole pipeline: a chain, or a graph of steps that are found by the names of what they make."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from crystallize_core.errors import WiringError
from crystallize_core.step import PipelineStep
from crystallize_core.wiring.calls import call_of
from crystallize_core.wiring.fills import WiredStep
from crystallize_core.wiring.names import unique_names
from crystallize_core.wiring.resolve import Place, Sources, Unfilled, fills_of, known_after, unfilled

__all__ = ["Sources", "Wiring", "is_chain", "wire"]


@attrs.frozen
class Wiring:
    """The steps of a pipeline in the order in which they run.

    Attributes:
        steps: The steps, wired.
        is_chain: Whether each simply gets what the one before returned; otherwise they take and make named outputs.

    """

    steps: tuple[WiredStep, ...]
    is_chain: bool


def is_chain(steps: Sequence[PipelineStep]) -> bool:
    """Whether outputs need no names, and no step can be left out."""
    return not any(step.is_named or step.execution_group is not None or step.guards for step in steps)


def wire(
    steps: Sequence[PipelineStep],
    sources: Sources | None = None,
    *,
    where: str = "pipeline",
    check_types: bool = False,
) -> Wiring:
    """Decide for every step how each of its parameters is filled, and in which order they run.

    Args:
        steps: The steps in the order in which they were added.
        sources: Where values may come from besides the steps; default a context that may have any key.
        where: Words for the message.
        check_types: Whether the calls of steps check what they pass against the annotations.

    Raises:
        WiringError: Parameters that nothing fills, outputs that two steps make, steps that wait for each other,
            types that cannot fit; all problems are listed.

    """
    sources = sources or Sources()
    names = unique_names(step.name for step in steps)
    if sources.retained or not is_chain(steps):
        from crystallize_core.wiring.graph import GraphWiring  # noqa: PLC0415 - a worker that runs a chain starts sooner

        graph = GraphWiring(steps, names, sources, check_types=check_types)
        found, problems = graph.wired(), graph.problems
        heading = f"{where}: {len(problems)} problem(s)"
        chain = False
    else:
        found, problems = _wire_chain(steps, names, sources, check_types=check_types)
        heading = f"{where}: {len(problems)} parameter(s) that nothing fills"
        chain = True
    if problems:
        raise WiringError("\n  ".join([heading, *problems]))
    return Wiring(tuple(found), chain)


def _wire_chain(
    steps: Sequence[PipelineStep], names: Sequence[str], sources: Sources, *, check_types: bool
) -> tuple[list[WiredStep], list[str]]:
    known = dict(sources.conditions)
    problems: list[str] = []
    wired: list[WiredStep] = []
    for step, name in zip(steps, names, strict=True):
        here = attrs.evolve(sources, conditions=known)  # what the steps before have added is there as well
        fills = fills_of(Place(step, name, here))
        for missing in Unfilled.among(name, fills):
            problems += unfilled(missing, known)
        signature = step.signature
        function = step.function
        if check_types:
            from crystallize_core.wiring.type_checks import checking_call  # noqa: PLC0415 - as above

            function = checking_call(function, name, fills)
        wired.append(WiredStep(step, name, tuple(fills), call_of(function, fills, signature.keyword_only)))
        known = known_after(step, known)
    return wired, problems
