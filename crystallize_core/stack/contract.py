"""Whether a plugin and this core speak of the same contract, and whether the plugin uses what is given up of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from crystallize_core.deprecation import Deprecation, PluginDeprecationWarning, deprecations_of
from crystallize_core.errors import PluginError, warn_caller
from crystallize_core.hookspecs import CONTRACT, CORES, HOOKS
from crystallize_core.plugin import BasePlugin
from crystallize_core.stack.attached import ActivePlugin
from crystallize_core.stack.checking import hooks_of
from crystallize_core.version import version

__all__ = ["check_contract", "contract_of", "warn_of_deprecated"]

OLDEST: Final = next(iter(CORES))
_VERSION: Final = re.compile(r"(\d+)\.(\d+)")


def contract_of(plugin: object) -> str:
    """The version of the contract that a plugin, a class or a module of hooks was written for; default the oldest.

    Raises:
        PluginError: It says something else than a version.

    """
    said = inspect.getattr_static(plugin, "contract", None)  # properties of strangers are not run
    is_ours = isinstance(plugin, BasePlugin) or (isinstance(plugin, type) and issubclass(plugin, BasePlugin))
    if said is None or not (is_ours or isinstance(said, str)):  # something else that happens to have this name
        return OLDEST
    if not isinstance(said, str) or not _VERSION.fullmatch(said):
        message = f"contract must be a version such as {CONTRACT!r}, found {said!r}"
        raise PluginError(message)
    return said


def check_contract(plugin: object, name: str, needs: Callable[[], str] = str) -> None:
    """Refuse a plugin that was written for another contract than this core has.

    Args:
        plugin: The plugin, before it is made: its class or its module.
        name: Its name.
        needs: Says what its distribution needs of the core, such as `>=0.3`; used for the advice.

    Raises:
        PluginError: It needs a newer core, or one so old that the promise no longer covers it.

    """
    try:
        said = contract_of(plugin)
    except PluginError as error:
        message = f"plugin {name!r} cannot be used: {error.message}"
        raise PluginError(message, plugin=name) from None
    text = f"plugin {name!r} was written for contract {said}, and crystallize-core {version()} has {CONTRACT}"
    if _parts(said) > _parts(CONTRACT):
        bound = f">={CORES[said]}" if said in CORES else needs()
        wanted = f"'crystallize-core{bound}'" if bound else "crystallize-core"
        message = f"{text}: pip install -U {wanted}"
        raise PluginError(message, plugin=name)
    if _parts(said) < _parts(OLDEST):
        message = f"{text}, which works with {OLDEST} and newer: update the plugin"
        raise PluginError(message, plugin=name)


def _parts(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


# What is given up -------------------------------------------------------------------------------------

_told: set[tuple[str, str, str | None]] = set()
"""The plugins, hooks and arguments that this process has warned of; a stack is made for every run."""


def warn_of_deprecated(entry: ActivePlugin) -> None:
    """Warn once of each part of the contract that a plugin uses and that is given up."""
    given_up = {hook: deprecations_of(spec) for hook, spec in HOOKS.items() if deprecations_of(spec)}
    implemented = hooks_of(entry.plugin, entry.name) if given_up else {}
    for hook in (hook for hook in implemented if hook in given_up):
        for found in _used(given_up[hook], implemented[hook][0]):
            if (entry.name, hook, found.argument) not in _told:
                _told.add((entry.name, hook, found.argument))
                warn_caller(_warning(entry, hook, found), PluginDeprecationWarning)


def _used(deprecations: Iterable[Deprecation], function: Callable[..., Any]) -> list[Deprecation]:
    parameters = inspect.signature(function).parameters
    return [found for found in deprecations if found.argument is None or found.argument in parameters]


def _warning(entry: ActivePlugin, hook: str, found: Deprecation) -> str:
    what = f"hook {hook!r}" if found.argument is None else f"argument {found.argument!r} of hook {hook!r}"
    owner = f"{entry.distribution} {entry.version}" if entry.distribution else entry.origin
    return (
        f"plugin {entry.name!r} ({owner}) uses {what}, which is deprecated since contract {found.since} and will be gone "
        f"in {found.removal}; use {found.replacement} instead. It still works; look for an update of the plugin"
    )
