"""`--set key=value` and `--input name=value`: other values for an experiment, and values for a pipeline."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

from crystallize_core.context import CONDITION_KEY, REPLICATE_KEY
from crystallize_core.datasource import FunctionSource
from crystallize_core.errors import DefinitionError, did_you_mean
from crystallize_core.signature import signature_of
from crystallize_core.stack.declared import Option
from crystallize_core.stack.texts import parse_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crystallize_core.experiment import Experiment
    from crystallize_core.pipeline import Pipeline
    from crystallize_core.step import PipelineStep

__all__ = ["given_inputs", "told", "with_context", "with_settings"]

T = TypeVar("T")


def with_settings(experiment: Experiment, settings: Sequence[str]) -> tuple[Experiment, list[str]]:
    """The experiment with these settings, and in words which of them may have no effect.

    Raises:
        DefinitionError: A setting is not `key=value`, or its key belongs to the engine; all of them are listed.

    """
    values = _parsed("--set", settings, reserved=(REPLICATE_KEY, CONDITION_KEY))
    if not values:
        return experiment, []
    changed = copy.copy(experiment)  # the experiment itself may be in use, and belongs to the user's module
    changed.initial_ctx = {**experiment.initial_ctx, **values}
    steps, known = experiment.pipeline.steps, _known_keys(experiment)
    return changed, [doubt for key in values for doubt in _doubts(key, steps, known, "initial_ctx")]


def with_context(pipeline: Pipeline, settings: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The parameters for a run of a pipeline, and in words which of them may have no effect.

    Raises:
        DefinitionError: As above.

    """
    values = _parsed("--set", settings, reserved=(REPLICATE_KEY, CONDITION_KEY))
    known = {*pipeline.parameters, *_parameters(pipeline.steps)}
    return values, [doubt for key in values for doubt in _doubts(key, pipeline.steps, known, "the context")]


def given_inputs(inputs: Sequence[str]) -> dict[str, Any]:
    """The inputs of a run by name.

    Raises:
        DefinitionError: One of them is not `name=value`; all of these are listed.

    """
    return _parsed("--input", inputs, expected="name=value")


def told(made: tuple[T, Sequence[str]]) -> T:
    """What was made, after its doubts were written to standard error."""
    import click  # noqa: PLC0415 - only where there is somebody to tell

    for doubt in made[1]:
        click.echo(f"warning: {doubt}", err=True)
    return made[0]


def _parsed(
    option: str, settings: Sequence[str], *, reserved: Sequence[str] = (), expected: str = "key=value"
) -> dict[str, Any]:
    problems: list[str] = []
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or not key:
            problems.append(f"{option} {setting!r}: expected {expected}")
        elif key in reserved:
            problems.append(f"{option} {setting!r}: {key!r} is set for each cell and cannot be changed")
        elif key in values:
            problems.append(f"{option} {setting!r}: {key!r} is set twice")
        else:
            values[key] = parse_text(Option(key), text)
    if problems:
        raise DefinitionError("\n  ".join(problems))
    return values


def _doubts(key: str, steps: Sequence[PipelineStep], known: set[str], where: str) -> list[str]:
    bound = [step.name for step in steps if key in step.params]
    if bound:
        return [f"--set {key}: step {name!r} has {key!r} bound, and what is bound wins" for name in bound]
    if key in known:
        return []
    hint = did_you_mean(key, known, listing="known keys")
    return [
        f"--set {key}: neither {where} nor a parameter has this name, only a step that asks ctx for it sees it; {hint}"
    ]


def _known_keys(experiment: Experiment) -> set[str]:
    """The keys that are there, and the parameters that a key would fill."""
    known = {*experiment.initial_ctx, *_parameters(experiment.pipeline.steps)}
    if isinstance(experiment.datasource, FunctionSource):
        known.update(signature_of(experiment.datasource.function, takes_data=False).others)
    return known


def _parameters(steps: Iterable[PipelineStep]) -> set[str]:
    return {name for step in steps for name in step.signature.others}
