"""The one rule by which the parameters of a step are filled, checked before anything runs.

A parameter is filled from the first of: a bound argument, an output of that name, the data, the context
object, the context value of that name (made first if it is a resource), the default. What none of
them can fill is an error that lists every such parameter of every step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import attrs

from crystallize_core.additions import keys_added_by
from crystallize_core.artifact import Artifact
from crystallize_core.context import CONDITION_KEY, REPLICATE_KEY
from crystallize_core.errors import WiringError, did_you_mean
from crystallize_core.signature import REQUIRED, Signature
from crystallize_core.state import ALL_KEYS
from crystallize_core.step import PipelineStep

__all__ = ["Fill", "WiredStep", "unique_names", "wire"]

Source = Literal["bound", "output", "data", "ctx", "context", "default"]
# Bound containers are copied for each call, so that a step cannot change them for the next replicate.
_COPIED: Final = (list, dict, set, bytearray)


@attrs.frozen
class Fill:
    """How one parameter is filled.

    Attributes:
        parameter: Its name.
        source: Where its value comes from.
        value: The bound value, the artifact or the default; `REQUIRED` for a context value without default.

    """

    parameter: str
    source: Source
    value: Any = None


@attrs.frozen
class WiredStep:
    """A step with its name in the pipeline and how its parameters are filled.

    Attributes:
        step: The step.
        name: Its name, unique in the pipeline.
        fills: One entry per parameter.
        invoke: `invoke(data, ctx)` fills the parameters and calls the step.

    """

    step: PipelineStep
    name: str
    fills: tuple[Fill, ...]
    invoke: Callable[[Any, Any], Any] = attrs.field(repr=False)

    def hidden_by_bound(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that have no effect here, because the parameter of that name is bound."""
        bound = {fill.parameter for fill in self.fills if fill.source == "bound"}
        return sorted(bound & set(keys))


def wire(
    steps: Sequence[PipelineStep],
    *,
    conditions: Mapping[str, frozenset[str]] | None = None,
    outputs: Sequence[Artifact] = (),
    where: str = "pipeline",
) -> list[WiredStep]:
    """Decide for every step how each of its parameters is filled.

    Args:
        steps: The steps in the order in which they run.
        conditions: The context keys that are known to be there before the first step, by condition;
            `ALL_KEYS` among them says that others may be there too.
        outputs: Artifacts that steps may take as parameters.
        where: Words for the message.

    Raises:
        WiringError: Parameters that nothing fills; all of them are listed.

    """
    known = dict(conditions or {"baseline": frozenset({ALL_KEYS})})
    artifacts = {name: artifact for artifact in outputs for name in artifact.parameters}
    problems: list[str] = []
    wired: list[WiredStep] = []
    for step, name in zip(steps, unique_names(step.name for step in steps), strict=True):
        signature = step.signature
        fills = tuple(_fill(p, step, signature, artifacts, known) for p in signature.order)
        for fill in fills:
            if fill.source == "context" and fill.value is REQUIRED:
                problems += _unfilled(fill.parameter, name, signature, known)
        wired.append(WiredStep(step, name, fills, _compile(step, signature, fills)))
        known = _after(step, signature, known)
    if problems:
        raise WiringError("\n  ".join([f"{where}: {len(problems)} parameter(s) that nothing fills", *problems]))
    return wired


def _fill(
    parameter: str,
    step: PipelineStep,
    signature: Signature,
    artifacts: Mapping[str, Artifact],
    known: Mapping[str, frozenset[str]],
) -> Fill:
    bound = step.params
    if parameter in bound and parameter in signature.others:
        return Fill(parameter, "bound", bound[parameter])
    if parameter in artifacts and parameter != signature.data:
        return Fill(parameter, "output", artifacts[parameter])
    if parameter == signature.data:
        return Fill(parameter, "data")
    if parameter == signature.ctx:
        return Fill(parameter, "ctx")
    if parameter == signature.maybe_ctx and not any(parameter in keys for keys in known.values()):
        return Fill(parameter, "ctx")
    return Fill(parameter, "context", signature.others[parameter])


def _unfilled(parameter: str, step: str, signature: Signature, known: Mapping[str, frozenset[str]]) -> list[str]:
    """A sentence if a required parameter cannot be in the context under some condition."""
    missing = [name for name, keys in known.items() if not keys & {parameter, ALL_KEYS}]
    if not missing:
        return []
    everything = frozenset[str]().union(*known.values()) - {ALL_KEYS}
    under = "" if len(missing) == len(known) else f" under {', '.join(map(repr, missing))}"
    if under:
        hint = f"give it a default, or a value in initial_ctx; only {sorted(set(known) - set(missing))} set it"
    else:
        hint = did_you_mean(parameter, everything - {REPLICATE_KEY, CONDITION_KEY}, listing="the context has")
    there = ", ".join(name for name in signature.order if name != parameter) or "nothing else"
    return [
        f"step {step!r}: parameter {parameter!r} is neither bound nor in the context{under}; {hint} (it also takes: {there})"
    ]


def _after(step: PipelineStep, signature: Signature, known: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    ctx_name = signature.ctx or signature.maybe_ctx
    if ctx_name is None:
        return known  # it never sees the context
    added = keys_added_by(step.function, ctx_name)
    return {name: keys | ({ALL_KEYS} if added is None else added) for name, keys in known.items()}


def unique_names(names: Iterable[str]) -> list[str]:
    """The names, with `_2`, `_3`, … behind those that were there before."""
    taken: set[str] = set()
    found = []
    for name in names:
        candidate, count = name, 1
        while candidate in taken:
            count += 1
            candidate = f"{name}_{count}"
        taken.add(candidate)
        found.append(candidate)
    return found


def _compile(step: PipelineStep, signature: Signature, fills: tuple[Fill, ...]) -> Callable[[Any, Any], Any]:
    """One function of data and context that fills the parameters and calls the step.

    It is generated, so that a step costs one call and no dictionary of arguments; a step that takes
    data and context by position is called as it is.
    """
    function = step.function
    if not hasattr(function, "__code__") and hasattr(function, "__call__"):  # noqa: B004 - the bound method is faster to call
        function = function.__call__
    keyword_only = signature.keyword_only
    if [fill.source for fill in fills] == ["data", "ctx"] and not keyword_only:
        return function
    scope: dict[str, Any] = {"function": function, "deepcopy": copy.deepcopy}
    passed = []
    by_keyword = False
    for number, fill in enumerate(fills):
        scope[f"value_{number}"] = fill.value
        by_keyword = by_keyword or fill.parameter in keyword_only
        prefix = f"{fill.parameter}=" if by_keyword else ""
        passed.append(prefix + _expression(fill, f"value_{number}"))
    exec(f"def invoke(data, ctx):\n    return function({', '.join(passed)})", scope)  # noqa: S102 - made of parameter names
    invoke: Callable[[Any, Any], Any] = scope["invoke"]
    return invoke


def _expression(fill: Fill, value: str) -> str:
    """How a generated call gets the value of one parameter."""
    match fill.source:
        case "data" | "ctx":
            return fill.source
        case "context":
            return f"ctx._fill({fill.parameter!r}, {value})"
        case "output":
            return f"{value}.bound_to(ctx.artifacts)"
        case "bound" if isinstance(fill.value, _COPIED):
            return f"deepcopy({value})"
        case _:
            return value
