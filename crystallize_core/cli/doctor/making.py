"""Whether a plugin that was imported can be made, implements hooks correctly, and can be sent to workers."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import crystallize_core.experiment  # noqa: F401 - what a plugin uses of the core is there before it is imported
from crystallize_core.errors import ConfigurationError, CrystallizeError, PluginError, StackMismatchError, describe
from crystallize_core.packing import dumped
from crystallize_core.stack.attached import ActivePlugin
from crystallize_core.stack.checking import hooks_of, is_executor
from crystallize_core.stack.declared import declared
from crystallize_core.stack.discovery import EXECUTORS, PLUGINS
from crystallize_core.stack.options import build, problems
from crystallize_core.stack.parity import Parity, refuse_other_options

__all__ = ["examined"]

_Line = dict[str, str]


def examined(group: str, name: str, loaded: Any, options: Mapping[str, Any] | None) -> Iterator[_Line]:
    """What is wrong with it, as lines with `code` and `text`.

    Args:
        group: The group of its entry point; only plugins and executors are made.
        name: Its name.
        loaded: What its entry point refers to.
        options: Its options in the project; None where there are none.

    """
    if group == "local":
        from crystallize_core.stack.resolve import _plugins_in  # noqa: PLC0415 - what a stack takes of a file

        for own, plugin in _plugins_in(loaded):
            yield from _of_plugin(own, plugin, None)
    elif group in (PLUGINS, EXECUTORS):
        yield from _of_plugin(name, loaded, options)
        if group == EXECUTORS and not isinstance(loaded, type) and not is_executor(loaded):
            yield _line("CZ201", "it is no executor: it does not implement the hook 'run_experiment_loop'")


def _of_plugin(name: str, loaded: Any, options: Mapping[str, Any] | None) -> Iterator[_Line]:
    try:
        hooks_of(object.__new__(loaded) if isinstance(loaded, type) else loaded, name)
    except PluginError as error:
        yield _line("CZ201", error.message)
        return
    except Exception as error:  # noqa: BLE001 - a class that cannot be made without its constructor is looked at below
        if not isinstance(loaded, type):
            yield _line("CZ201", describe(error))
            return
    if not isinstance(loaded, type):
        yield from _of_instance(name, loaded)
        return
    missing = _missing(loaded, name) if options is None else []
    if missing:
        yield _line("CZ202", "it cannot be made without options: " + "; ".join(missing))
        return
    try:
        plugin = _made(loaded, name, options)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a constructor may fail in any way
        said = error.message if isinstance(error, CrystallizeError) else describe(error)
        yield _line("CZ203", f"it cannot be made: {said}")
        return
    yield from _of_instance(name, plugin)


def _missing(loaded: type, name: str) -> list[str]:
    try:
        return problems(loaded, {}, where=f"options.{name}")
    except ConfigurationError as error:
        return [error.message]


def _made(loaded: Any, name: str, options: Mapping[str, Any] | None) -> Any:
    if options:
        return build(loaded, options, where=f"options.{name}")
    return loaded.autoload() if hasattr(loaded, "autoload") else loaded()


def _of_instance(name: str, plugin: Any) -> Iterator[_Line]:
    """Whether it and its options survive a way to another process."""
    if isinstance(plugin, ModuleType):  # it is imported there by its name
        return
    stuck = list(_stuck_options(plugin))
    yield from stuck
    if stuck:
        return
    entry = ActivePlugin(name, plugin, "entry point")
    try:
        copy = pickle.loads(dumped(plugin))  # noqa: S301 - our own bytes, made in the same line
    except Exception as error:  # noqa: BLE001 - a foreign __reduce__ may raise anything
        yield _line("CZ402", f"it cannot be sent to a worker: {describe(error)}")
        return
    if type(copy) is not type(plugin):
        yield _line("CZ403", f"after pickling it is {type(copy).__qualname__}, not {type(plugin).__qualname__}")
        return
    try:
        refuse_other_options(Parity.of([entry]), [ActivePlugin(name, copy, "entry point")])
    except StackMismatchError as error:
        lines = [line.strip().replace(" in the worker, ", " after pickling, ") for line in str(error).splitlines()]
        yield _line("CZ403", "; ".join(line.replace(" in the coordinator", " before") for line in lines[1:-1]))


def _stuck_options(plugin: Any) -> Iterator[_Line]:
    for option, attribute in declared(type(plugin)):
        if attribute is None or not hasattr(plugin, attribute):
            continue
        try:
            dumped(getattr(plugin, attribute))
        except Exception as error:  # noqa: BLE001 - as above
            yield _line("CZ401", f"option {option.name!r} cannot be sent to a worker: {describe(error)}")


def _line(code: str, text: str) -> _Line:
    return {"code": code, "text": text}
