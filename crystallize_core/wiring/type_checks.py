"""Type checks while steps run: what a step takes and returns against its annotations, for those who ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from crystallize_core.annotations import annotations_of, element_of, fails_check, written
from crystallize_core.asset import Asset
from crystallize_core.errors import OutputError, WiringError
from crystallize_core.parameters import is_secret
from crystallize_core.step import PipelineStep
from crystallize_core.wiring.fills import Fill

__all__ = ["ReturnCheck", "checking_call", "return_check"]

ReturnCheck = Callable[[Any, Any, Mapping[str, Any] | None], None]
"""`check(returned, output, made)`: what a step returned, that without metrics, and its several outputs by name."""
_GIVEN_BY_US: Final = ("artifact", "ctx", "parameters")
_ABSENT: Final = object()


def checking_call(function: Callable[..., Any], name: str, fills: Sequence[Fill]) -> Callable[..., Any]:
    """`function`, which is called only if what it is given is of the annotated types; itself if it has no annotations.

    A default may be of another type, as in `size: int = None`.

    Args:
        function: The function of a step.
        name: The unique name of the step.
        fills: What fills its parameters, in their order.

    """
    annotations = annotations_of(function)
    watched = [fill for fill in fills if fill.source not in _GIVEN_BY_US and fill.parameter in annotations]
    if not watched:
        return function
    names = tuple(fill.parameter for fill in fills)

    def call(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(names, args, strict=False)) | kwargs
        problems = []
        for fill in watched:
            value, expected = given.get(fill.parameter, _ABSENT), annotations[fill.parameter]
            is_default = fill.source != "bound" and value is fill.value
            found = None if value is _ABSENT or is_default else fails_check(value, expected)
            if found is not None and (is_secret(fill.parameter) or is_secret(fill.place)):
                found = f"found {written(type(value))}, expected {written(expected)}"
            if found is not None:
                problems.append(f"{fill.parameter!r} from {fill.words}: {found}")
        if problems:
            message = f"step {name!r} takes {'; and '.join(problems)}"
            raise WiringError(message, step=name)
        return function(*args, **kwargs)

    return call


def return_check(step: PipelineStep, name: str) -> ReturnCheck | None:
    """What compares what a step returned with its annotation; None if it has none.

    Args:
        step: The step.
        name: Its unique name.

    """
    annotations = annotations_of(step.function)
    if "return" not in annotations:
        return None
    expected, outputs = annotations["return"], tuple(step.outputs)
    parts = {key: element_of(expected, at, len(outputs), key=key) for at, key in enumerate(outputs)}

    def check(returned: Any, output: Any, made: Mapping[str, Any] | None) -> None:
        if made is None:
            what, found = outputs[0] if outputs else name, _fails(output, expected)
            # What is annotated as a pair may be an output with its metrics.
            if found is None or (returned is not output and _fails(returned, expected) is None):
                return
            problems = [f"{what!r}: {found}"]
        else:
            whole = fails_check(output, expected)
            found_parts = {key: _fails(value, parts[key]) for key, value in made.items()}
            problems = [f"{key!r}: {found}" for key, found in found_parts.items() if found is not None]
            problems = [f"{', '.join(map(repr, outputs))}: {whole}"] if whole is not None else problems
        if problems:
            message = f"step {name!r} returns {'; and '.join(problems)}"
            raise OutputError(message, step=name)

    return check


def _fails(value: Any, expected: Any) -> str | None:
    """As `fails_check`; a plain value may be annotated as the asset that it is stored as."""
    is_asset = isinstance(expected, type) and issubclass(expected, Asset)
    return None if is_asset and value is not None and not isinstance(value, Asset) else fails_check(value, expected)
