"""What an entry of a step stands under: the code, the bound parameters, the inputs, and what was read of the context."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from crystallize_core import fingerprint
from crystallize_core.asset import Asset
from crystallize_core.assets import Assets
from crystallize_core.cache.dependencies import ASSET_STORES, NOTHING, current, parameter_name
from crystallize_core.cache.reasons import printable
from crystallize_core.errors import DefinitionError, FingerprintError, describe
from crystallize_core.fingerprint import content_digest
from crystallize_core.signature import REQUIRED
from crystallize_core.state import ABSENT, CellState
from crystallize_core.stored import Stored, loaded

if TYPE_CHECKING:
    from crystallize_core.step import PipelineStep
    from crystallize_core.wiring import Fill, WiredStep

__all__ = ["NoPlace", "StepKey", "code_of"]


class NoPlace(Exception):  # noqa: N818 - a signal between the key and the cache; users see a warning
    """Entries of a step cannot be named; the text says why."""


class StepKey:
    """Names of entries of one step, and the parts that they are made of.

    Args:
        wired: The step, and where its parameters come from.
        asset_stores: The names of the plugins that store assets.

    Attributes:
        own: The key function of the user's own, which stands for everything; None where there is none.
        looks_at_code: Whether the code is among what counts.
        filled: The names of the context values that fill parameters.

    """

    def __init__(self, wired: WiredStep, asset_stores: Sequence[str] = ()) -> None:
        self._wired, self._name, self._asset_stores = wired, wired.name, list(asset_stores)
        strategy = wired.step.cache_strategy
        self.own: Callable[[Any, Any, Any], Any] | None = strategy if callable(strategy) else None
        by_context = [fill for fill in wired.fills if fill.source == "context"]
        self.filled = frozenset(parameter_name(fill) for fill in by_context)
        self.looks_at_code = strategy == "code_hash"
        # The code says what the defaults are; who does not look at the code looks at them.
        self._defaults = {parameter_name(fill): fill.value for fill in by_context if not self.looks_at_code}
        self._assets = tuple(fill for fill in wired.fills if fill.key is not None and fill.source != "context")
        self._hash: str | None = None
        self._problem: str | None = None

    # Names ----------------------------------------------------------------------------------------

    def place(self, data: Any, state: CellState) -> str:
        """Where the entries of this step for this input are; with a key of the user's own, the one entry.

        Raises:
            NoPlace: Something that it is made of has no stable digest.
            DefinitionError: A key function of the user's own gave something else than text.

        """
        step_hash = self._hash or self._step_hash()
        if self.own is not None:
            return f"{step_hash}/{content_digest(self._own_key(data, state))}"
        try:
            return f"{step_hash}/{self._input_digest(data)}"
        except FingerprintError as error:
            message = f"its input has no stable digest ({error})"
            raise NoPlace(message) from None

    def _step_hash(self) -> str:
        """The digest of the step, made when it is first needed."""
        if self._problem is not None:
            raise NoPlace(self._problem)
        step, name = self._wired.step, self._name
        try:
            if self.own is not None:
                found = content_digest(("step by a key of its own", step.name))
            elif step.cache_strategy == "input_hash":
                found = content_digest(("step by its inputs", step.name, dict(step.params)))
            else:
                found = step.step_hash
            # The second of its name is told apart, because it can ask for its name. What is kept of an output
            # depends on what the step declares: a pair is an output with metrics, or one output; and what is
            # stored of it on what it is annotated to be.
            as_types = {key: f"{kind.__module__}.{kind.__qualname__}" for key, kind in self._promised.items()}
            is_plain = name == step.name and not step.outputs and not as_types
            self._hash = found if is_plain else content_digest((found, name, step.outputs, as_types))
        except FingerprintError as error:
            self._problem = f"its code or parameters have no stable digest ({error})"
            raise NoPlace(self._problem) from None
        return self._hash

    def _input_digest(self, data: Any) -> str:
        if not isinstance(data, Assets):
            known = data.digest if type(data) is Stored else None
            return content_digest(loaded(data)) if known is None else known
        given = {fill.parameter: _digest_of(fill, data) for fill in self._assets}
        if len(given) == 1 and not self._wired.step.is_named:
            return next(iter(given.values()))  # the data alone, as in a chain
        return content_digest(given)

    def _own_key(self, data: Any, state: CellState) -> str:
        assert self.own is not None
        fills = self._wired.fills
        inputs = {fill.parameter: _value_of(fill, data) for fill in fills if fill.source not in _NO_INPUT}
        by_default = [
            f for f in fills if f.source == "context" and f.place not in state.values and f.value is not REQUIRED
        ]
        inputs |= {fill.parameter: fill.value for fill in by_default}
        try:
            found = self.own(self._wired.step, inputs, MappingProxyType(state.values))
        except Exception as error:
            message = f"the cache function of step {self._name!r} failed: {describe(error)}"
            raise DefinitionError(message, step=self._name) from error
        if not isinstance(found, str):
            message = f"the cache function of step {self._name!r} must return text, found {type(found).__qualname__}"
            raise DefinitionError(message, step=self._name)
        return found

    @functools.cached_property
    def _promised(self) -> Mapping[str, type[Asset]]:
        """The types of asset that the step is annotated to return, by output."""
        from crystallize_core.wiring.types import promised_types  # noqa: PLC0415 - see `caching.py`

        return promised_types(self._wired.step, self._name)

    # What was read --------------------------------------------------------------------------------

    def current(self, name: str, state: CellState, answers: Mapping[str, Mapping[str, Any]]) -> str:
        """The digest of what `name` stands for now; of the default of a parameter that is given nothing else.

        Raises:
            FingerprintError: It has no stable digest.
            KeyError: Nothing knows that name any more.

        """
        if name == ASSET_STORES:
            return content_digest(self._asset_stores)
        found = current(name, self._name, state, answers)
        default = self._defaults.get(name, REQUIRED)
        return found if found != NOTHING or default is REQUIRED else content_digest(("default", default))

    def has_assets(self, output: Any) -> bool:
        """Whether there is something in the output for plugins to store, should there be any that do."""
        values = output.values() if isinstance(output, Mapping) else output if isinstance(output, (tuple, list)) else ()
        made = values if len(self._wired.outputs) > 1 else (output,)
        return any(isinstance(value, Asset) for value in made) or bool(self._promised)

    # Parts, for the reasons of a miss ---------------------------------------------------------------

    @functools.cached_property
    def inputs(self) -> Mapping[str, Fill]:
        """What fills parameters from other steps or the inputs of the run, by the name of the part."""
        return {f"input:{f.key if isinstance(f.key, str) else f.parameter}": f for f in self._assets}

    def parts(self, place: str, data: Any) -> dict[str, str]:
        """The digests of what an entry stands under, by what they are the digests of."""
        parts = {"code": self._hash or "", **self._code_parts}
        if not isinstance(data, Assets):
            return parts | {"input:data": place.partition("/")[2]}
        for part, fill in self.inputs.items():
            with suppress(FingerprintError, KeyError):
                parts[part] = _digest_of(fill, data)
        return parts

    def shown(self, names: Iterable[str], data: Any, state: CellState) -> dict[str, str]:
        """The values behind parts, as far as they can be shown."""
        found: dict[str, str] = {}
        for name in names:
            kind, _, key = name.partition(":")
            value: Any = ABSENT
            if kind == "context":
                value = state.values.get(key, ABSENT)
            elif kind == "input":
                fill = self.inputs.get(name)
                # What is in the cache is not loaded for that.
                value = data if fill is None else data.kept(fill.key) if fill.key in data else fill.value
            text = "not set" if value is ABSENT and kind == "context" else printable(key, value)
            if text is not None:
                found[name] = text
        return found

    @functools.cached_property
    def _code_parts(self) -> Mapping[str, str]:
        """The digests of the parts of the code, where the code counts."""
        if self.own is not None or self._wired.step.cache_strategy == "input_hash":
            return {}
        with suppress(FingerprintError):
            found = fingerprint.code_parts(self._wired.step.function)
            return {f"code:{label}": digest for label, digest in found.items()}
        return {}


def code_of(step: PipelineStep) -> str | None:
    """The digest of the code of a step; None where it has none."""
    try:
        return fingerprint.code_digest(step.function)
    except FingerprintError:
        return None


_NO_INPUT = ("ctx", "parameters", "context", "artifact")


def _value_of(fill: Fill, data: Any) -> Any:
    """The value of a parameter that is filled without the context."""
    if fill.source == "data" and fill.key is None:
        return loaded(data)
    return data.get(fill.key, fill.value) if fill.key is not None else fill.value


def _digest_of(fill: Fill, data: Assets) -> str:
    """The digest of what fills a parameter; of its default, where nobody made it."""
    return data.digest(fill.key) if fill.key in data or fill.value is REQUIRED else content_digest(fill.value)
