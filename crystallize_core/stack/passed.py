"""Plugins that are passed as objects in Python: which they are, and under which names."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from crystallize_core.errors import PluginError
from crystallize_core.stack import discovery
from crystallize_core.stack.allowing import Shelf
from crystallize_core.stack.attached import ActivePlugin
from crystallize_core.stack.checking import hooks_of, plugin_name
from crystallize_core.stack.contract import check_contract

__all__ = ["passed_plugins"]


def passed_plugins(given: Iterable[Any], shelf: Shelf) -> list[ActivePlugin]:
    """The objects that were passed, with their names.

    Args:
        given: The objects.
        shelf: What is installed: an object of it has the name of its entry point, where it does not say another.

    Raises:
        PluginError: One of them is no plugin, or two have one name.

    """
    found: list[ActivePlugin] = []
    for plugin in given:
        if isinstance(plugin, str):
            message = f"plugins=[{plugin!r}]: pass plugin objects here; names belong in crystallize.toml"
            raise PluginError(message)
        name, own = plugin_name(plugin)
        entry, exact = _entry_of(plugin, shelf)
        if exact and not own:
            name = entry.name
        hooks_of(plugin, name)
        check_contract(plugin, name)
        names = {other.name for other in found}
        if own and name in names:
            message = f"two plugins named {name!r} were passed; a stack has one of each name"
            raise PluginError(message, plugin=name)
        if not own:
            name = _free(name, names)
        instance_of = entry.name if exact and name != entry.name else None
        distribution, version = (entry.distribution, entry.version) if entry else (None, None)
        found.append(ActivePlugin(name, plugin, "argument", distribution, version, instance_of))
    return found


def _entry_of(plugin: Any, shelf: Shelf) -> tuple[Any, bool]:
    """The entry point of a passed plugin, and True; else one of the same package, and False."""
    module = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__
    attribute = "" if isinstance(plugin, ModuleType) else type(plugin).__qualname__
    everything = [*shelf.everything(discovery.PLUGINS), *shelf.everything(discovery.EXECUTORS)]
    near = [item for item in everything if item.value.partition(":")[0].partition(".")[0] == module.partition(".")[0]]
    for item in near:
        if item.value == module if not attribute else item.value.partition(":")[2].strip() == attribute:
            return item, True
    return (near[0], False) if near else (None, False)


def _free(name: str, taken: set[str]) -> str:
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    return candidate
