"""What a step read while it ran, by name, and the digest of what such a name stands for now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.context import CONDITION_KEY, REPLICATE_KEY, SEED_USED_KEY, FrozenContext
from crystallize_core.fingerprint import content_digest
from crystallize_core.resource import ResourceFactory
from crystallize_core.state import ABSENT, ALL_KEYS, CellState

if TYPE_CHECKING:
    from crystallize_core.wiring import Fill

__all__ = ["ASSET_STORES", "NOTHING", "PLUGIN", "asked_names", "current", "names_read", "parameter_name"]

_CONTEXT: Final = "context"
_SERVICE: Final = "service"
PLUGIN: Final = "plugin"
_LOOK: Final = "look"
ASSET_STORES: Final = "stores"
"""The name of the dependency on the plugins that store what a step returns as assets: a hit stores nothing anew."""
NOTHING: Final = "absent"
"""Stands in place of a digest for a context key that is not there."""
_ASKED: Final = "asked"


def parameter_name(fill: Fill) -> str:
    """The name of the dependency on the context value that fills a parameter."""
    return f"{_CONTEXT}:{fill.place}"


def asked_names(answers: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """That these plugins were asked: whether the output depends on what a plugin knows was seen only if it was there."""
    return {f"{_ASKED}:{plugin}" for plugin in answers}


def names_read(ctx: FrozenContext) -> set[str]:
    """What the step read: context keys, and attributes that plugins provide."""
    fields = ctx.__dict__
    names = {f"{_CONTEXT}:{key}" for key in fields.get("_reads") or ()}
    state = ctx._state  # noqa: SLF001 - the cache is who looks behind the view
    names |= {f"{_LOOK}:{what}" for what in fields.get("_looked") or ()}
    return names | {f"{_SERVICE}:{name}" for name in state.services if name in fields and name not in state.untracked}


def current(name: str, step: str, state: CellState, answers: Mapping[str, Mapping[str, Any]]) -> str:
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
        return NOTHING if value is ABSENT else content_digest(value)
    if kind == _ASKED:
        return "asked"  # a plugin that has gone since, and saw no dependency, is not missed
    if kind == _SERVICE:
        # What a plugin provides (a random stream) may depend on all that tells one step of one cell from another.
        return content_digest([step, *(values.get(part) for part in (REPLICATE_KEY, CONDITION_KEY, SEED_USED_KEY))])
    if kind == _LOOK and key == "attempt":
        return "1"  # what a later attempt came to is not stored
    if kind == _LOOK:
        return content_digest(state.metrics if key == "metrics" else getattr(state.run, "id", None))
    plugin, _, dependency = key.partition(":")
    return content_digest(answers[plugin][dependency])
