"""`--set key=value`: a copy of an experiment with other values in its `initial_ctx`."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from crystallize_core.context import CONDITION_KEY, REPLICATE_KEY
from crystallize_core.datasource import FunctionSource
from crystallize_core.errors import DefinitionError, did_you_mean
from crystallize_core.signature import signature_of
from crystallize_core.stack.declared import Option
from crystallize_core.stack.texts import parse_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crystallize_core.experiment import Experiment

__all__ = ["with_settings"]


def with_settings(experiment: Experiment, settings: Sequence[str]) -> tuple[Experiment, list[str]]:
    """The experiment with these settings, and in words which of them may have no effect.

    Raises:
        DefinitionError: A setting is not `key=value`, or its key belongs to the engine; all of them are listed.

    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or not key:
            problems.append(f"--set {setting!r}: expected key=value")
        elif key in (REPLICATE_KEY, CONDITION_KEY):
            problems.append(f"--set {setting!r}: {key!r} is set for each cell and cannot be changed")
        elif key in values:
            problems.append(f"--set {setting!r}: {key!r} is set twice")
        else:
            values[key] = parse_text(Option(key), text)
    if problems:
        raise DefinitionError("\n  ".join(problems))
    changed = copy.copy(experiment)  # the experiment itself may be in use, and belongs to the user's module
    changed.initial_ctx = {**experiment.initial_ctx, **values}
    return changed, [doubt for key in values for doubt in _doubts(experiment, key)]


def _doubts(experiment: Experiment, key: str) -> list[str]:
    bound = [step.name for step in experiment.pipeline.steps if key in step.params]
    if bound:
        return [f"--set {key}: step {name!r} has {key!r} bound, and what is bound wins" for name in bound]
    known = _known_keys(experiment)
    if key in known:
        return []
    hint = did_you_mean(key, known, listing="known keys")
    return [
        f"--set {key}: neither initial_ctx nor a parameter has this name, only a step that asks ctx for it sees it; {hint}"
    ]


def _known_keys(experiment: Experiment) -> set[str]:
    """The keys that are there, and the parameters that a key would fill."""
    known = set(experiment.initial_ctx)
    for step in experiment.pipeline.steps:
        known.update(step.signature.others)
    if isinstance(experiment.datasource, FunctionSource):
        known.update(signature_of(experiment.datasource.function, takes_data=False).others)
    return known
