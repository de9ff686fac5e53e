"""Why a stack and the calls of a hook have the order that they have: `crystallize plugins explain`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from crystallize_core.cli.catalog import Found, Here
from crystallize_core.errors import DefinitionError, did_you_mean
from crystallize_core.hookspecs import HOOKS
from crystallize_core.stack.attached import ActivePlugin, Stack
from crystallize_core.stack.instances import is_path, listed
from crystallize_core.stack.meaning import Meaning, meaning
from crystallize_core.stack.order import Place, sentences

if TYPE_CHECKING:
    from pluggy import HookImpl

__all__ = ["Explanation", "LeftOut", "Standing", "explain", "why_there"]

_NEVER_MIND: Final = frozenset({"not in the stack", "not chosen"})
"""What is only installed."""


@attrs.frozen
class Standing:
    """One plugin in an order.

    Attributes:
        plugin, distribution: Which.
        place: Its number in the stack, from 1.
        essential: Whether a failure of it is one of the run.
        wraps: Whether it goes around the others, as a generator.
        reasons: Why it stands there.

    """

    plugin: str
    distribution: str | None
    place: int
    essential: bool
    wraps: bool
    reasons: tuple[str, ...]


@attrs.frozen
class LeftOut:
    """A plugin that is not called: which, and why."""

    plugin: str
    distribution: str | None
    status: str
    reason: str | None


@attrs.frozen
class Explanation:
    """An order with its reasons.

    Attributes:
        hook: The hook; None for the order of the stack.
        configuration: Where the stack of this folder is configured; None where it is not.
        error: Why an experiment that is made here would be refused; None if it would not.
        order: Those that go around the others, then the rest, in the order of the calls.
        skipped: Who is left out of the stack although it would be in it: disabled, broken, not allowed, or one of two
            of the same name. What hooks they have is not known as long as they are not imported.

    """

    hook: Meaning | None
    configuration: str | None
    error: str | None
    order: tuple[Standing, ...]
    skipped: tuple[LeftOut, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return attrs.asdict(self)


def explain(hook: str | None = None) -> Explanation:
    """The order of the stack of this folder, or of the calls of a hook in it.

    Raises:
        DefinitionError: There is no such hook.

    """
    if hook is not None and hook not in HOOKS:
        message = f"there is no hook {hook!r}; {did_you_mean(hook, HOOKS, listing='the hooks are')}"
        raise DefinitionError(message)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is skipped is listed with its reason
        here = Here.found()
        order = () if here.stack is None else _order(here, here.stack, hook)
        skipped = tuple(_left_out(found) for found in here.everything() if _is_skipped(found, hook))
    return Explanation(None if hook is None else meaning(hook), here.config.source, here.error, order, skipped)


def _order(here: Here, stack: Stack, hook: str | None) -> tuple[Standing, ...]:
    reasons = why_there(here, stack)
    if hook is None:
        return tuple(_standing(stack, plugin, reasons[plugin.name]) for plugin in stack)
    return tuple(
        _standing(stack, plugin, [*_pushed(implementation), *reasons[plugin.name]], wraps=wraps)
        for wraps in (True, False)
        for plugin, implementation in stack.in_turn(hook, wrappers=wraps)
    )


def _standing(stack: Stack, plugin: ActivePlugin, reasons: Sequence[str], *, wraps: bool = False) -> Standing:
    place = stack.plugins.index(plugin) + 1
    return Standing(plugin.name, plugin.distribution, place, plugin.essential, wraps, tuple(reasons))


def _pushed(implementation: HookImpl) -> list[str]:
    if implementation.tryfirst == implementation.trylast:
        return []
    where, mark = ("before", "tryfirst") if implementation.tryfirst else ("behind", "trylast")
    return [f"{where} all others, because its @hookimpl says {mark}=True"]


def why_there(here: Here, stack: Stack) -> dict[str, list[str]]:
    """Why each plugin of a stack stands where it does, in words."""
    return {place.name: [_base(here, stack, place), *sentences(place.reasons)] for place in stack.places()}


def _base(here: Here, stack: Stack, place: Place) -> str:
    """What its place in the list comes from."""
    trace = here.config.trace
    plugin = stack.plugin(place.name)
    if plugin.is_executor and plugin.origin == "entry point" and place.listed == len(stack) - 1:
        chosen = [str(said.origin) for said in trace.told(("executor",))]
        return f"the executor stands behind the list, from {chosen[0]}" if chosen else "the executor"
    number = place.listed + 1
    if here.config.plugins is None:
        return f"number {number} by name, because no list of plugins is configured"
    said = [str(told.origin) for told in trace.told(("plugins",)) if _names(told.value, plugin)]
    return f"number {number} of the list of plugins, from {' and '.join(said)}"


def _names(texts: Sequence[str], plugin: ActivePlugin) -> bool:
    """Whether a list has an entry for a plugin; one of a local file stands there by its path."""
    entries = [listed(text) for text in texts]
    if plugin.origin == "entry point":
        return any(entry.name == plugin.name for entry in entries)
    return any(is_path(entry.plugin) and Path(plugin.origin).name == Path(entry.plugin).name for entry in entries)


def _is_skipped(found: Found, hook: str | None) -> bool:
    entry = found.entry
    if entry.active or entry.status in _NEVER_MIND:
        return False
    return hook is None or not entry.hooks or hook in entry.hooks


def _left_out(found: Found) -> LeftOut:
    entry = found.entry
    return LeftOut(entry.name, entry.distribution, entry.status, entry.reason)
