"""What a cached output depended on, and whether that is still so.

An entry stands under `<step_hash>/<input_hash>`: the step's code with everything it reaches and its bound
parameters, and the content of its input. Which context keys it read is known only after it ran. So the
names of what it read are kept beside the entries of an input, and an entry is found under the digest of
the values that these names have now. That a step reads other keys when a value changes does no harm:
what it read first is the same in both runs up to the point where a value differed.

A step may ask for another strategy: without its code (`input_hash`), or with a key of the user's own, which
then stands for everything.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from crystallize_core import fingerprint
from crystallize_core.asset import Asset
from crystallize_core.assets import Assets
from crystallize_core.cache.dependencies import (
    ASSET_STORES,
    NOTHING,
    PLUGIN,
    asked_names,
    current,
    names_read,
    parameter_name,
)
from crystallize_core.cache.generators import Generators
from crystallize_core.cache.lookup import Lookup
from crystallize_core.cache.reasons import LastRun, changes, in_words, last_name, printable
from crystallize_core.cache.store import CacheWarning, EntryStore
from crystallize_core.context import BASELINE_CONDITION, CONDITION_KEY, REPLICATE_KEY, StepContext
from crystallize_core.errors import DefinitionError, FingerprintError, describe, warn_caller
from crystallize_core.fingerprint import content_digest
from crystallize_core.fingerprint.lasting import lasting_digest
from crystallize_core.signature import REQUIRED
from crystallize_core.state import ABSENT, CellState
from crystallize_core.stored import Stored, loaded
from crystallize_core.wiring.types import promised_types

if TYPE_CHECKING:
    from crystallize_core.step import PipelineStep
    from crystallize_core.wiring import Fill, WiredStep

__all__ = ["StepCache", "code_of"]


class StepCache:
    """The entries of one step.

    Args:
        wired: The step, and where its parameters come from.
        ask: Asks plugins what else the output depends on.
        reads: The stores in which entries are looked for, the first one first.
        keeps: The stores in which entries are kept.
        earlier: The stores among these that hold earlier runs.
        asset_stores: The names of the plugins that store assets.
        watchers: The names of the plugins that say whether a step drew from the global generators.
        explains: Whether a miss says what has changed since the step ran last.
        quiet: Whether to say nothing of outputs that cannot be kept, because nobody asked for it.
        is_fresh: Whether nothing is looked for because the step is to run again.

    """

    def __init__(
        self,
        wired: WiredStep,
        ask: Callable[[Any], Collection[tuple[str, Mapping[str, Any] | None]]],
        reads: Sequence[EntryStore],
        keeps: Sequence[EntryStore],
        *,
        earlier: Sequence[EntryStore] = (),
        asset_stores: Sequence[str] = (),
        watchers: Collection[str] = (),
        explains: bool = False,
        quiet: bool = False,
        is_fresh: bool = False,
    ) -> None:
        self._wired, self._name, self._ask = wired, wired.name, ask
        self._reads, self._keeps, self._earlier, self._quiet = reads, keeps, earlier, quiet
        self._explains, self._is_fresh = explains, is_fresh
        self._asset_stores, self._watchers = list(asset_stores), frozenset(watchers)
        strategy = wired.step.cache_strategy
        self._own_key = strategy if callable(strategy) else None
        by_context = [fill for fill in wired.fills if fill.source == "context"]
        self._filled = {parameter_name(fill) for fill in by_context}
        self._looks_at_code = strategy == "code_hash"
        # The code says what the defaults are; who does not look at the code looks at them.
        self._defaults = {parameter_name(fill): fill.value for fill in by_context if not self._looks_at_code}
        self._assets = tuple(fill for fill in wired.fills if fill.key is not None and fill.source != "context")
        self._hash: str | None = None
        self._has_no_hash = self._warned = False

    def look_up(self, data: Any, state: CellState) -> Lookup:
        """Find the entry of this step for this input in this context.

        Raises:
            DefinitionError: A key function of the user's own gave something else than text.

        """
        step_hash = self._step_hash()
        if step_hash is None:
            return Lookup()
        if self._own_key is not None:
            name = f"{step_hash}/{content_digest(self._key_of(data, state))}"
            return self._found(name, name) or self._missed(name, {}, data, state)
        try:
            name = f"{step_hash}/{self._input_digest(data)}"
        except FingerprintError as error:
            self._warn(f"its input has no stable digest ({error})")
            return Lookup()
        asked_of = self._ask(StepContext(_state=state, step_name=self._name))
        answers = {plugin: found for plugin, found in asked_of if found is not None} if asked_of else {}
        asked = asked_names(answers)
        for names in self._recorded(name):
            if not asked.issubset(names):
                continue  # it was made where nobody watched for what these plugins know of, such as random numbers
            try:
                values = {key: self._current(key, state, answers) for key in names}
            except (FingerprintError, KeyError):
                continue  # a dependency that cannot be compared is not the same
            found = self._found(name, _entry_name(name, values), answers)
            if found is not None:
                return found
        missed = self._missed(name, answers, data, state)
        is_watched = not self._watchers.isdisjoint(answers)
        return missed if is_watched else attrs.evolve(missed, generators=Generators.now())

    def _found(self, name: str, full: str, answers: Mapping[str, Mapping[str, Any]] | None = None) -> Lookup | None:
        for store in self._reads:
            entry = store.entry(full)
            if entry is not None:
                return Lookup(entry, name, answers or {}, store, full)
        return None

    def is_earlier(self, lookup: Lookup) -> bool:
        """Whether an entry came from an earlier run, and not from the cache."""
        return any(lookup.found_in is store for store in self._earlier)

    def keep_found(self, lookup: Lookup) -> None:
        """Keep what was found where it is to be kept as well."""
        if lookup.found_in is None or lookup.full_name is None or lookup.name is None:
            return
        for store in self._keeps:
            if store is not lookup.found_in and store.adopt(lookup.full_name, lookup.found_in, step=self._name):
                self._merge_names(store, lookup.name, lookup.found_in.names(lookup.name))
        if self._explains and self.is_earlier(lookup):
            self._keep_last(lookup.found_in)

    def store(
        self,
        lookup: Lookup,
        output: Any,
        ctx: StepContext,
        data: Any = None,
        made: Mapping[Any, Any] | None = None,
    ) -> None:
        """Keep what the step came to, under what it depended on.

        Args:
            lookup: What was looked for before it ran.
            output: What it returned.
            ctx: What it wrote, and what it read.
            data: What it was given, for the reasons of a later miss.
            made: Its single outputs by name, where it has several.

        """
        if lookup.name is None or ("attempt" in ctx._looked and ctx._attempt > 1):  # noqa: SLF001 - as in all of this file
            return
        if lookup.generators is not None and lookup.generators.have_moved():
            self._warn(
                "it drew from the global generator of random or numpy, and no plugin of the stack seeds that: pip install "
                "crystallize-seeding, or say that the step is not to be cached"
            )
            return
        full, names = lookup.name, list[str]()
        if self._own_key is None:
            state = ctx._state  # noqa: SLF001 - the engine is who looks behind the view
            said = {f"{PLUGIN}:{plugin}:{name}" for plugin, found in self._ask(ctx) for name in found or ()}
            stored = {ASSET_STORES} if self._has_assets(output) else set()
            names = sorted(self._filled | names_read(ctx) | said | asked_names(lookup.answers) | stored)
            try:
                values = {key: self._current(key, state, lookup.answers) for key in names}
            except (FingerprintError, KeyError) as error:
                self._warn(f"something that it read has no stable digest ({error})")
                return
            full = _entry_name(lookup.name, values)
            # Where a damaged entry is replaced, it is not said what a step of a graph was given, and was noted before.
            if state.values.get(REPLICATE_KEY, 0) == 0 and (data is not None or not self._inputs):
                found = LastRun(
                    self._parts(lookup.name, data) | values, self._shown([*self._inputs, *names], data, state)
                )
                self._keeps[0].write_text(self._last_name(state), found.text())
        stage = ctx._stage  # noqa: SLF001 - as above
        entry = {
            "output": output,
            "metrics": getattr(stage, "metrics", []),
            "artifacts": getattr(stage, "artifacts", []),
            "events": getattr(stage, "events", []),
            "added": getattr(stage, "added", {}),
            "code": None if self._looks_at_code else code_of(self._wired.step),
            "digest": lasting_digest(output),
            "digests": None if made is None else {name: lasting_digest(value) for name, value in made.items()},
        }
        first, *others = self._keeps
        if not first.write(full, entry, step=self._name, quiet=self._quiet):
            return
        for other in others:
            other.adopt(full, first, step=self._name)
        if self._own_key is None:
            # After the entry: a clean-up of folders without entries would remove the names before it is there.
            for store in self._keeps:
                self._merge_names(store, lookup.name, [names])

    # Reasons --------------------------------------------------------------------------------------

    def _missed(self, name: str, answers: Mapping[str, Mapping[str, Any]], data: Any, state: CellState) -> Lookup:
        """That nothing was found, and why, as far as that is known from the last time that the step ran."""
        if not self._reads:
            is_off = "the cache is switched off" if self._wired.step.cacheable else "it is not to be cached"
            reason = "it was to run again" if self._is_fresh else is_off
            return Lookup(None, name, answers, reason=reason, was_asked=False)
        if self._own_key is not None:
            return Lookup(None, name, answers, reason="no entry has the key of its own function")
        if not self._explains:
            return Lookup(None, name, answers, reason="there is no entry for this code and input")
        last = self._last_run(state)
        now = self._parts(name, data) | dict.fromkeys(asked_names(answers), "asked")
        for part in last.parts.keys() - now.keys():
            with suppress(FingerprintError, KeyError):
                now[part] = self._current(part, state, answers)
        changed = changes(last, LastRun(now, self._shown(now, data, state)))
        return Lookup(None, name, answers, reason=in_words(last, changed), changes=changed)

    def _last_name(self, state: CellState) -> str:
        condition = state.values.get(CONDITION_KEY)
        return last_name(self._name, None if condition == BASELINE_CONDITION else condition)

    def _last_run(self, state: CellState) -> LastRun:
        """What the step stood on when it ran last under this condition, as far as one of the stores knows."""
        for name in dict.fromkeys([self._last_name(state), last_name(self._name)]):
            for store in self._reads:
                found = LastRun.read(store.read_text(name))
                if found.parts:
                    return found
        return LastRun()

    def _keep_last(self, other: EntryStore) -> None:
        """Take over what the step stood on when it ran last, where that is not known here."""
        name = last_name(self._name)
        text = other.read_text(name)
        if text is not None and self._keeps[0].read_text(name) is None:
            self._keeps[0].write_text(name, text)

    @functools.cached_property
    def _inputs(self) -> Mapping[str, Fill]:
        """What fills parameters from other steps or the inputs of the run, by the name of the part."""
        return {f"input:{f.key if isinstance(f.key, str) else f.parameter}": f for f in self._assets}

    def _parts(self, name: str, data: Any) -> dict[str, str]:
        """The digests of what an entry stands under, by what they are the digests of."""
        parts = {"code": self._hash or "", **self._code_parts}
        if not isinstance(data, Assets):
            return parts | {"input:data": name.partition("/")[2]}
        for part, fill in self._inputs.items():
            with suppress(FingerprintError, KeyError):
                parts[part] = _digest_of(fill, data)
        return parts

    def _shown(self, names: Iterable[str], data: Any, state: CellState) -> dict[str, str]:
        """The values behind parts, as far as they can be shown."""
        found: dict[str, str] = {}
        for name in names:
            kind, _, key = name.partition(":")
            value: Any = ABSENT
            if kind == "context":
                value = state.values.get(key, ABSENT)
            elif kind == "input":
                fill = self._inputs.get(name)
                # What is in the cache is not loaded for that.
                value = data if fill is None else data.kept(fill.key) if fill.key in data else fill.value
            text = "not set" if value is ABSENT and kind == "context" else printable(key, value)
            if text is not None:
                found[name] = text
        return found

    @functools.cached_property
    def _promised(self) -> Mapping[str, type[Asset]]:
        """The types of asset that the step is annotated to return, by output."""
        return promised_types(self._wired.step, self._name)

    def _has_assets(self, output: Any) -> bool:
        """Whether there is something in the output for plugins to store, should there be any that do."""
        values = output.values() if isinstance(output, Mapping) else output if isinstance(output, (tuple, list)) else ()
        made = values if len(self._wired.outputs) > 1 else (output,)
        return any(isinstance(value, Asset) for value in made) or bool(self._promised)

    @functools.cached_property
    def _code_parts(self) -> Mapping[str, str]:
        """The digests of the parts of the code, where the code counts."""
        if self._own_key is not None or self._wired.step.cache_strategy == "input_hash":
            return {}
        with suppress(FingerprintError):
            return {
                f"code:{label}": digest for label, digest in fingerprint.code_parts(self._wired.step.function).items()
            }
        return {}

    # What an entry stands under -------------------------------------------------------------------

    def _current(self, name: str, state: CellState, answers: Mapping[str, Mapping[str, Any]]) -> str:
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

    def _step_hash(self) -> str | None:
        """The digest of the step, made when it is first needed; None where it has none."""
        if self._hash is None and not self._has_no_hash:
            step, name = self._wired.step, self._name
            try:
                if self._own_key is not None:
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
                self._has_no_hash = True
                self._warn(f"its code or parameters have no stable digest ({error})")
        return self._hash

    def _input_digest(self, data: Any) -> str:
        if not isinstance(data, Assets):
            known = data.digest if type(data) is Stored else None
            return content_digest(loaded(data)) if known is None else known
        given = {fill.parameter: _digest_of(fill, data) for fill in self._assets}
        if len(given) == 1 and not self._wired.step.is_named:
            return next(iter(given.values()))  # the data alone, as in a chain
        return content_digest(given)

    def _key_of(self, data: Any, state: CellState) -> str:
        assert self._own_key is not None
        fills = self._wired.fills
        inputs = {fill.parameter: _value_of(fill, data) for fill in fills if fill.source not in _NO_INPUT}
        by_default = [
            f for f in fills if f.source == "context" and f.place not in state.values and f.value is not REQUIRED
        ]
        inputs |= {fill.parameter: fill.value for fill in by_default}
        try:
            found = self._own_key(self._wired.step, inputs, MappingProxyType(state.values))
        except Exception as error:
            message = f"the cache function of step {self._name!r} failed: {describe(error)}"
            raise DefinitionError(message, step=self._name) from error
        if not isinstance(found, str):
            message = f"the cache function of step {self._name!r} must return text, found {type(found).__qualname__}"
            raise DefinitionError(message, step=self._name)
        return found

    # Names that were read -------------------------------------------------------------------------

    def _recorded(self, name: str) -> Iterator[list[str]]:
        met: list[list[str]] = []
        # An entry that is found counts, whatever the file with the names says by now, so that it is read for a miss only.
        known = (store.known_names(name) for store in self._reads)
        for found in itertools.chain(known, (store.names(name) for store in self._reads)):
            for names in found:
                if names not in met:
                    met.append(names)
                    yield names

    def _merge_names(self, store: EntryStore, name: str, more: Iterable[list[str]]) -> None:
        with store.alone():  # of two that add at one moment, the later one would forget the earlier one
            recorded = store.names(name)
            new = [names for names in more if names not in recorded]
            if new:
                store.write_text(f"{name}.json", json.dumps([*recorded, *new]))

    def _warn(self, reason: str) -> None:
        if not self._warned and not self._quiet:
            self._warned = True
            warn_caller(f"step {self._name!r} is not cached: {reason}", CacheWarning)


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


def _entry_name(name: str, values: Mapping[str, str]) -> str:
    return f"{name}.{content_digest(dict(values))[:32]}" if values else name
