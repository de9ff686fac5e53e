"""The one rule by which a parameter is filled, for chains and for graphs.

A parameter is filled from the first of: a bound argument, an output of that name, the data, the view of the
run, the context value of that name (made first if it is a resource), the default.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import attrs

from crystallize_core.additions import keys_added_by
from crystallize_core.artifact import Artifact
from crystallize_core.context import CONDITION_KEY, REPLICATE_KEY
from crystallize_core.errors import did_you_mean
from crystallize_core.signature import REQUIRED, Signature
from crystallize_core.skipping import Guard, leading_arguments, named_parameters
from crystallize_core.state import ALL_KEYS
from crystallize_core.step import PipelineStep
from crystallize_core.wiring.fills import Fill, return_key

__all__ = ["Place", "Sources", "Unfilled", "fills_of", "guard_fills", "known_after", "unfilled"]


@attrs.frozen
class Sources:
    """Where values may come from besides the steps themselves.

    Attributes:
        conditions: The context keys that are known to be there before the first step, by condition; `ALL_KEYS`
            among them says that others may be there too.
        artifacts: The artifacts that steps may take as parameters, by the name of the parameter.
        inputs: The names of the inputs of the run.
        has_data: Whether the first step gets data.
        retained: Whether everything that steps make is kept until the end.

    """

    conditions: Mapping[str, frozenset[str]] = attrs.field(factory=lambda: {"baseline": frozenset({ALL_KEYS})})
    artifacts: Mapping[str, Artifact] = attrs.field(factory=dict)
    inputs: frozenset[str] = frozenset()
    has_data: bool = True
    retained: bool = False

    @staticmethod
    def by_parameter(artifacts: Sequence[Artifact]) -> dict[str, Artifact]:
        """The artifacts by the names of the parameters that receive them."""
        return {name: artifact for artifact in artifacts for name in artifact.parameters}

    def surely_has(self, key: str) -> bool:
        """Whether the context has that key under every condition."""
        return all(key in keys for keys in self.conditions.values())

    def may_have(self, key: str) -> bool:
        """Whether the context is known to have that key under some condition."""
        return any(key in keys for keys in self.conditions.values())


@attrs.frozen
class Place:
    """Where a step stands in its pipeline.

    Attributes:
        step, name: The step, and its unique name.
        sources: What is there besides steps.
        makers: The names of the steps by the assets that they make; without this step. None in a chain, where
            outputs have no names.
        previous: The step that was added before, with its name; None for the first one.

    """

    step: PipelineStep
    name: str
    sources: Sources
    makers: Mapping[str, str] | None = None
    previous: tuple[PipelineStep, str] | None = None

    def maker(self, asset: str) -> str | None:
        """The name of the other step that makes an asset."""
        found = None if self.makers is None else self.makers.get(asset)
        return None if found == self.name else found


def fills_of(place: Place) -> list[Fill]:
    """How each parameter of a step is filled; what nothing fills is a context value without a default."""
    signature = place.step.signature
    paths = _paths(place, signature)
    fills = [_fill(parameter, place, signature, paths) for parameter in signature.order]
    extra = [asset for parameter, asset in paths.items() if parameter not in signature.order]
    fills += [_asset(asset, asset, REQUIRED, place) for asset in extra if asset not in place.step.params]
    bound = place.step.params if place.step.is_named else {}
    return fills + [Fill(name, "bound", value) for name, value in bound.items() if name not in signature.order]


def _paths(place: Place, signature: Signature) -> dict[str, str]:
    """The declared inputs that are no parameters, by the parameter that each fills; else under their own name."""
    declared = place.step.inputs
    paths = [asset for asset in declared if asset not in signature.order]
    if not paths:
        return {}
    free = [
        name
        for name in signature.order
        if name not in declared
        and name not in ("ctx", "context")
        and name not in place.step.params
        and signature.others.get(name, REQUIRED) is REQUIRED
        and not place.sources.surely_has(name)
    ]
    found = dict(zip(free, paths, strict=False))
    return found | {asset: asset for asset in paths[len(found) :]}


def _fill(parameter: str, place: Place, signature: Signature, paths: Mapping[str, str]) -> Fill:
    step, sources = place.step, place.sources
    is_data = parameter == signature.data
    default = signature.others.get(parameter, REQUIRED)
    if parameter in step.params and (step.is_named or parameter in signature.others):
        return Fill(parameter, "bound", step.params[parameter])
    if parameter in paths:
        return _asset(parameter, paths[parameter], default, place)
    if parameter in sources.artifacts and not is_data:
        return Fill(parameter, "artifact", sources.artifacts[parameter])
    asset = _made(parameter, default, place)
    if asset is not None:
        return asset
    if parameter == "data" if step.is_named else is_data:
        data = _data(parameter, default, place)
        if data is not None:
            return data
    if step.is_named and parameter == "context":
        return Fill(parameter, "parameters")
    if parameter == signature.ctx:
        return Fill(parameter, "ctx")
    if parameter == signature.maybe_ctx and not step.is_named and not sources.may_have(parameter):
        return Fill(parameter, "ctx")
    return Fill(parameter, "context", default)


def _asset(parameter: str, asset: str, default: Any, place: Place) -> Fill:
    """A declared input, which is an output, an input of the run or a context value."""
    return _made(asset, default, place, parameter) or Fill(parameter, "context", default, asset)


def _made(asset: str, default: Any, place: Place, parameter: str | None = None) -> Fill | None:
    """An output of another step, or an input of the run."""
    maker = place.maker(asset)
    if maker is not None:
        return Fill(parameter or asset, "output", default, asset, maker)
    sources = place.sources
    # Whoever takes the data without declaring it gets what the step before returned; see `_data`.
    is_input = asset in sources.inputs if asset != "data" else sources.has_data and asset in place.step.inputs
    return Fill(parameter or asset, "input", default, asset) if is_input else None


def _data(parameter: str, default: Any, place: Place) -> Fill | None:
    """The data: the asset of that name, else what the step before returned, else what the run was given."""
    if place.makers is None:
        return Fill(parameter, "data")
    maker = place.maker("data")
    if maker is not None:
        return Fill(parameter, "output", default, "data", maker)
    if place.previous is not None:
        step, name = place.previous
        return Fill(parameter, "data", default, return_key(step, name), name)
    return Fill(parameter, "data", default, "data") if place.sources.has_data else None


def guard_fills(guard: Guard, place: Place, own: Sequence[Fill]) -> tuple[list[Fill], bool]:
    """How the parameters of a condition are filled, and whether they are passed by name.

    By name, if each that it needs is a parameter of its step, an output, an input or a context value; otherwise
    it gets the leading arguments of the step. A condition that was given as a step option may also name a context value that a
    step adds, or an entry of an output that is a mapping.
    """
    names = named_parameters(guard.predicate)
    by_parameter = {fill.parameter: fill for fill in own}
    if names is not None:
        found = {name: _guard_fill(name, by_parameter, place) for name in names}
        missing = [name for name, is_required in names.items() if is_required and found[name] is None]
        if not missing or not guard.by_position:
            fills = {
                name: found[name] or Fill(name, "entry", key=name) for name in names if found[name] or name in missing
            }
            return list(fills.values()), True
    return list(own[: leading_arguments(guard.predicate, len(own))]), False


def _guard_fill(name: str, own: Mapping[str, Fill], place: Place) -> Fill | None:
    if name in own:
        return own[name]
    made = _made(name, REQUIRED, place)
    if made is None and name == "data":
        made = _data(name, REQUIRED, place)
    if made is not None:
        return made
    if name in ("ctx", "context"):
        return Fill(name, "ctx" if name == "ctx" else "parameters")
    if place.sources.may_have(name):
        return Fill(name, "context", REQUIRED)
    return None


@attrs.frozen
class Unfilled:
    """A required parameter that is looked for in the context.

    Attributes:
        step: The name of the step.
        fill: The parameter.
        others: What else the step takes.

    """

    step: str
    fill: Fill
    others: tuple[str, ...]

    @classmethod
    def among(cls, step: str, fills: Sequence[Fill]) -> Iterator[Unfilled]:
        """Those of the parameters of a step."""
        for fill in fills:
            if fill.source == "context" and fill.value is REQUIRED:
                yield cls(step, fill, tuple(other.parameter for other in fills if other is not fill))


def known_after(step: PipelineStep, known: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """The context keys that are there after a step, by condition."""
    signature = step.signature
    ctx_name = signature.ctx or signature.maybe_ctx
    if ctx_name is None:
        return dict(known)  # it never sees the context
    added = keys_added_by(step.function, ctx_name)
    if added is not None and not added:
        return dict(known)
    return {name: keys | ({ALL_KEYS} if added is None else added) for name, keys in known.items()}


def suggestion(
    key: str, known: Mapping[str, frozenset[str]], made: Collection[str] | None, own: Collection[str] = ()
) -> str:
    """What may have been meant by a name that is neither in the context nor among what others make."""
    everything = frozenset[str]().union(*known.values()) - {ALL_KEYS, REPLICATE_KEY, CONDITION_KEY}
    return did_you_mean(
        key,
        [*everything, *(name for name in made or () if name not in own)],
        listing="the context has" if made is None else "there is",
    )


def unfilled(
    wanted: Unfilled,
    known: Mapping[str, frozenset[str]],
    made: Collection[str] | None = None,
    own: Collection[str] = (),
) -> Iterator[str]:
    """A sentence if a required parameter cannot be in the context under some condition.

    Args:
        wanted: The parameter.
        known: The context keys that are there, by condition.
        made: What steps make and the run is given, by name; None in a chain.
        own: What the step itself makes.

    """
    key = wanted.fill.place
    missing = [name for name, keys in known.items() if not keys & {key, ALL_KEYS}]
    if not missing:
        return
    under = "" if len(missing) == len(known) else f" under {', '.join(map(repr, missing))}"
    if under:
        hint = f"give it a default, or a value in initial_ctx; only {sorted(set(known) - set(missing))} set it"
    elif key in own:
        hint = "the step itself makes it, and can take only what was made before"
    else:
        hint = suggestion(key, known, made, own)
    there = ", ".join(wanted.others) or "nothing else"
    what = f"parameter {wanted.fill.parameter!r}"
    if key != wanted.fill.parameter:
        what = f"input {key!r} of {what}"
    place = (
        "neither bound nor in the context"
        if made is None
        else "neither bound, made by a step, an input nor in the context"
    )
    yield f"step {wanted.step!r}: {what} is {place}{under}; {hint} (it also takes: {there})"
