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

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import attrs

from crystallize_core.cache.dependencies import ASSET_STORES, PLUGIN, asked_names, names_read
from crystallize_core.cache.generators import Generators
from crystallize_core.cache.key import NoPlace, StepKey, code_of
from crystallize_core.cache.lookup import Lookup
from crystallize_core.cache.reasons import LastRun, changes, in_words, last_name
from crystallize_core.cache.store import CacheWarning, EntryStore
from crystallize_core.context import BASELINE_CONDITION, CONDITION_KEY, REPLICATE_KEY, StepContext
from crystallize_core.errors import FingerprintError, warn_caller
from crystallize_core.fingerprint import content_digest
from crystallize_core.fingerprint.lasting import lasting_digest
from crystallize_core.state import CellState

if TYPE_CHECKING:
    from crystallize_core.wiring import WiredStep

__all__ = ["StepCache"]


class StepCache:
    """The entries of one step.

    Args:
        wired: The step, and where its parameters come from.
        ask: Asks plugins what else the output depends on; None where no plugin has an answer.
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
        ask: Callable[[Any], Collection[tuple[str, Mapping[str, Any] | None]]] | None,
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
        self._key = StepKey(wired, asset_stores)
        self._reads, self._keeps, self._earlier, self._quiet = reads, keeps, earlier, quiet
        self._explains, self._is_fresh = explains, is_fresh
        self._watchers = frozenset(watchers)
        self._warned = False

    @property
    def has_failed(self) -> bool:
        """Whether something kept outputs from being cached, so that whoever asks again should begin anew."""
        return self._warned or True in [store.is_broken for store in self._keeps]

    def look_up(self, data: Any, state: CellState) -> Lookup:
        """Find the entry of this step for this input in this context.

        Raises:
            DefinitionError: A key function of the user's own gave something else than text.

        """
        try:
            name = self._key.place(data, state)
        except NoPlace as problem:
            self._warn(str(problem))
            return Lookup()
        if self._key.own is not None:
            return self._found(name, name, {}) or self._missed(name, {}, data, state)
        answers: dict[str, Mapping[str, Any]] = {}
        if self._ask is not None:
            asked_of = self._ask(StepContext(_state=state, step_name=self._name))
            answers = {plugin: found for plugin, found in asked_of if found is not None}
        asked = asked_names(answers) if answers else _NOTHING
        # An entry that is found counts, whatever the file with the names says by now, so that it is read for a miss only.
        known = [names for store in self._reads for names in store.known_names(name)]
        found = self._found_by(known, name, state, answers, asked)
        if found is None:
            looked = [names for store in self._reads for names in store.names(name) if names not in known]
            found = self._found_by(looked, name, state, answers, asked)
        if found is not None:
            return found
        missed = self._missed(name, answers, data, state)
        is_watched = not self._watchers.isdisjoint(answers)
        return missed if is_watched else attrs.evolve(missed, generators=Generators.now())

    def _found_by(
        self,
        recorded: Iterable[list[str]],
        name: str,
        state: CellState,
        answers: Mapping[str, Mapping[str, Any]],
        asked: AbstractSet[str],
    ) -> Lookup | None:
        """The entry for one of the recorded sets of names, by the values that these names have now."""
        for names in recorded:
            if asked and not asked <= set(names):
                continue  # it was made where nobody watched for what these plugins know of, such as random numbers
            try:
                values = {key: self._key.current(key, state, answers) for key in names} if names else {}
            except (FingerprintError, KeyError):
                continue  # a dependency that cannot be compared is not the same
            found = self._found(name, _entry_name(name, values), answers)
            if found is not None:
                return found
        return None

    def _found(self, name: str, full: str, answers: Mapping[str, Mapping[str, Any]]) -> Lookup | None:
        for store in self._reads:
            entry = store.entry(full)
            if entry is not None:
                return Lookup(entry, name, answers, store, full)
        return None

    def is_earlier(self, lookup: Lookup) -> bool:
        """Whether an entry came from an earlier run, and not from the cache."""
        return bool(self._earlier) and any(lookup.found_in is store for store in self._earlier)

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
        if self._key.own is None:
            names = self._names_of(lookup, output, ctx)
            try:
                values = {key: self._key.current(key, ctx._state, lookup.answers) for key in names}  # noqa: SLF001 - as above
            except (FingerprintError, KeyError) as error:
                self._warn(f"something that it read has no stable digest ({error})")
                return
            full = _entry_name(lookup.name, values)
            self._note(lookup.name, values, data, ctx._state)  # noqa: SLF001 - as above
        first, *others = self._keeps
        if not first.write(full, self._fields(output, ctx, made), step=self._name, quiet=self._quiet):
            return
        for other in others:
            other.adopt(full, first, step=self._name)
        if self._key.own is None:
            # After the entry: a clean-up of folders without entries would remove the names before it is there.
            for store in self._keeps:
                self._merge_names(store, lookup.name, [names])

    def _names_of(self, lookup: Lookup, output: Any, ctx: StepContext) -> list[str]:
        """The names of everything that the step read, or that plugins say that it depended on."""
        answers = self._ask(ctx) if self._ask is not None else ()
        said = {f"{PLUGIN}:{plugin}:{name}" for plugin, found in answers for name in found or ()}
        stored = {ASSET_STORES} if self._key.has_assets(output) else set()
        return sorted(self._key.filled | names_read(ctx) | said | asked_names(lookup.answers) | stored)

    def _fields(self, output: Any, ctx: StepContext, made: Mapping[Any, Any] | None) -> dict[str, Any]:
        """What is kept of the step; see `Entry`."""
        stage = ctx._stage  # noqa: SLF001 - the engine is who looks behind the view
        return {
            "output": output,
            "metrics": getattr(stage, "metrics", []),
            "artifacts": getattr(stage, "artifacts", []),
            "events": getattr(stage, "events", []),
            "added": getattr(stage, "added", {}),
            "code": None if self._key.looks_at_code else code_of(self._wired.step),
            "digest": lasting_digest(output),
            "digests": None if made is None else {name: lasting_digest(value) for name, value in made.items()},
        }

    # Reasons --------------------------------------------------------------------------------------

    def _missed(self, name: str, answers: Mapping[str, Mapping[str, Any]], data: Any, state: CellState) -> Lookup:
        """That nothing was found, and why, as far as that is known from the last time that the step ran."""
        if not self._reads:
            is_off = "the cache is switched off" if self._wired.step.cacheable else "it is not to be cached"
            reason = "it was to run again" if self._is_fresh else is_off
            return Lookup(None, name, answers, reason=reason, was_asked=False)
        if self._key.own is not None:
            return Lookup(None, name, answers, reason="no entry has the key of its own function")
        if not self._explains:
            return Lookup(None, name, answers, reason="there is no entry for this code and input")
        last = self._last_run(state)
        now = self._key.parts(name, data) | dict.fromkeys(asked_names(answers), "asked")
        for part in last.parts.keys() - now.keys():
            with suppress(FingerprintError, KeyError):
                now[part] = self._key.current(part, state, answers)
        changed = changes(last, LastRun(now, self._key.shown(now, data, state)))
        return Lookup(None, name, answers, reason=in_words(last, changed), changes=changed)

    def _note(self, name: str, values: dict[str, str], data: Any, state: CellState) -> None:
        """Write down what the step stood on, for the reasons of a later miss."""
        # Where a damaged entry is replaced, it is not said what a step of a graph was given, and was noted before.
        if state.values.get(REPLICATE_KEY, 0) == 0 and (data is not None or not self._key.inputs):
            shown = self._key.shown([*self._key.inputs, *values], data, state)
            text = LastRun(self._key.parts(name, data) | values, shown).text()
            self._keeps[0].write_text(self._last_name(state), text)

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

    # Names that were read -------------------------------------------------------------------------

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


_NOTHING: Final = frozenset[str]()


def _entry_name(name: str, values: Mapping[str, str]) -> str:
    return f"{name}.{content_digest(dict(values))[:32]}" if values else name
