"""What a cached output depended on, and whether that is still so.

An entry stands under `<step_hash>/<input_hash>`: the step's code with everything it reaches and its bound
parameters, and the content of its input. Which context keys it read is known only after it ran. So the
names of what it read are kept beside the entries of an input, and an entry is found under the digest of
the values that these names have now. That a step reads other keys when a value changes does no harm:
what it read first is the same in both runs up to the point where a value differed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from crystallize_core.artifact import ArtifactRecord
from crystallize_core.cache.store import CacheWarning, FileStore
from crystallize_core.context import CONDITION_KEY, REPLICATE_KEY, SEED_USED_KEY, Event, FrozenContext, StepContext
from crystallize_core.errors import FingerprintError, warn_caller
from crystallize_core.fingerprint import content_digest
from crystallize_core.resource import ResourceFactory
from crystallize_core.state import ABSENT, ALL_KEYS, CellState, Metric

if TYPE_CHECKING:
    from crystallize_core.wiring import WiredStep

__all__ = ["Entry", "Lookup", "StepCache"]

_CONTEXT: Final = "context"
_SERVICE: Final = "service"
_PLUGIN: Final = "plugin"
_LOOK: Final = "look"


@attrs.frozen
class Entry:
    """What a step came to: its output and everything that it wrote."""

    output: Any
    metrics: list[Metric]
    artifacts: list[ArtifactRecord]
    events: list[Event]
    added: dict[str, Any]

    def replay(self, ctx: StepContext) -> None:
        """Write into `ctx` what the step wrote when it ran."""
        if not (self.metrics or self.artifacts or self.events or self.added):
            return
        stage = ctx._open_stage()  # noqa: SLF001 - the engine is who stages
        stage.metrics += self.metrics
        stage.artifacts += [attrs.evolve(artifact, step=ctx.step_name or "") for artifact in self.artifacts]
        replicate, condition = ctx._state.values.get(REPLICATE_KEY), ctx._state.values.get(CONDITION_KEY)  # noqa: SLF001
        stage.events += [
            attrs.evolve(event, replicate=replicate, condition=condition, step=ctx.step_name) for event in self.events
        ]
        for key, value in self.added.items():
            ctx.add(key, value)


@attrs.frozen
class Lookup:
    """An attempt to find an entry.

    Attributes:
        entry: What was found, or None.
        name: Where entries of this step and input are; None where they cannot be named.
        answers: What plugins say that the output may depend on, by plugin and name.

    """

    entry: Entry | None = None
    name: str | None = None
    answers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)


class StepCache:
    """The entries of one step.

    Args:
        step_hash: The digest of the step's code and parameters; None where it has none.
        wired: The step, and which of its parameters come from the context.
        dependencies: Asks plugins what else the output depends on.
        store: Where entries are kept.

    """

    def __init__(self, step_hash: str | None, wired: WiredStep, dependencies: Any, store: FileStore) -> None:
        self._hash, self._name, self._ask, self._store = step_hash, wired.name, dependencies, store
        self._filled = {f"{_CONTEXT}:{fill.parameter}" for fill in wired.fills if fill.source == "context"}
        self._warned = False

    @classmethod
    def of(cls, wired: WiredStep, dependencies: Any, store: FileStore | None = None) -> StepCache:
        """The cache of a step; one that has no stable digest is warned about and never cached."""
        cache = cls(None, wired, dependencies, store or FileStore())
        try:
            cache._hash = wired.step.step_hash
            if wired.name != wired.step.name:  # the second of its name is told apart, because it can ask for its name
                cache._hash = content_digest((cache._hash, wired.name))
        except FingerprintError as error:
            cache._warn(f"its code or parameters have no stable digest ({error})")
        return cache

    def look_up(self, data: Any, state: CellState) -> Lookup:
        """Find the entry of this step for this input in this context."""
        if self._hash is None:
            return Lookup()
        try:
            name = f"{self._hash}/{content_digest(data)}"
        except FingerprintError as error:
            self._warn(f"its input has no stable digest ({error})")
            return Lookup()
        view = StepContext(_state=state, step_name=self._name)
        answers = {plugin: found for plugin, found in self._ask(view) if found is not None}
        for names in _recorded(self._store.read_text(f"{name}.json")):
            try:
                values = {key: _current(key, self._name, state, answers) for key in names}
                found = self._store.read(_entry_name(name, values))
            except (FingerprintError, KeyError):
                continue  # a dependency that cannot be compared is not the same
            if found is not None and (entry := _as_entry(found)) is not None:
                return Lookup(entry, name, answers)
        return Lookup(None, name, answers)

    def store(self, lookup: Lookup, output: Any, ctx: StepContext) -> None:
        """Keep what the step came to, under what it depended on."""
        if lookup.name is None or ("attempt" in ctx._looked and ctx._attempt > 1):  # noqa: SLF001 - as in all of this file
            return
        state = ctx._state  # noqa: SLF001 - the engine is who looks behind the view
        names = sorted(
            self._filled | _read_names(ctx) | {f"{_PLUGIN}:{p}:{n}" for p, found in self._ask(ctx) for n in found or ()}
        )
        try:
            values = {key: _current(key, self._name, state, lookup.answers) for key in names}
        except (FingerprintError, KeyError) as error:
            self._warn(f"something that it read has no stable digest ({error})")
            return
        stage = ctx._stage  # noqa: SLF001 - as above
        entry = {
            "output": output,
            "metrics": getattr(stage, "metrics", []),
            "artifacts": getattr(stage, "artifacts", []),
            "events": getattr(stage, "events", []),
            "added": getattr(stage, "added", {}),
        }
        recorded = _recorded(self._store.read_text(f"{lookup.name}.json"))
        if names not in recorded:
            self._store.write_text(f"{lookup.name}.json", json.dumps([*recorded, names]))
        self._store.write(_entry_name(lookup.name, values), entry, step=self._name)

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            warn_caller(f"step {self._name!r} is not cached: {reason}", CacheWarning)


def _read_names(ctx: FrozenContext) -> set[str]:
    """What the step read: context keys, and attributes that plugins provide."""
    fields = ctx.__dict__
    names = {f"{_CONTEXT}:{key}" for key in fields.get("_reads") or ()}
    state = ctx._state  # noqa: SLF001 - the engine is who looks behind the view
    names |= {f"{_LOOK}:{what}" for what in fields.get("_looked") or ()}
    return names | {f"{_SERVICE}:{name}" for name in state.services if name in fields and name not in state.untracked}


def _current(name: str, step: str, state: CellState, answers: Mapping[str, Mapping[str, Any]]) -> str:
    """The digest of what `name` stands for now, for the step of that name.

    Raises:
        FingerprintError: It has no stable digest.
        KeyError: Nothing knows that name any more.

    """
    kind, _, key = name.partition(":")
    values = state.values
    if kind == _CONTEXT:
        if key == ALL_KEYS:
            return content_digest(tuple(values))
        value = values.get(key, ABSENT)
        if isinstance(value, ResourceFactory):
            value = ("resource", value.function)  # its key tells it from others in this process only
        return "absent" if value is ABSENT else content_digest(value)
    if kind == _SERVICE:
        # What a plugin provides (a random stream) may depend on all that tells one step of one cell from another.
        return content_digest([step, *(values.get(part) for part in (REPLICATE_KEY, CONDITION_KEY, SEED_USED_KEY))])
    if kind == _LOOK and key == "attempt":
        return "1"  # what a later attempt came to is not stored
    if kind == _LOOK:
        return content_digest(state.metrics if key == "metrics" else getattr(state.run, "id", None))
    plugin, _, dependency = key.partition(":")
    return content_digest(answers[plugin][dependency])


def _entry_name(name: str, values: Mapping[str, str]) -> str:
    return f"{name}.{content_digest(dict(values))[:32]}" if values else name


def _recorded(text: str | None) -> list[list[str]]:
    """The sets of names that earlier runs of the step read; a damaged record is none."""
    try:
        found = json.loads(text) if text else []
    except ValueError:
        return []
    is_fine = isinstance(found, list) and all(_is_names(names) for names in found)
    return found if is_fine else []


def _is_names(names: object) -> bool:
    return isinstance(names, Iterable) and all(isinstance(name, str) for name in names)


def _as_entry(found: Mapping[str, Any]) -> Entry | None:
    try:
        return Entry(**found)
    except TypeError:
        return None
