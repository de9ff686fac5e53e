"""Whether a plugin that was imported can be made, implements hooks correctly, and can be sent to workers."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

import crystallize_core.experiment  # noqa: F401 - what a plugin uses of the core is there before it is imported
from crystallize_core.deprecation import PluginDeprecationWarning
from crystallize_core.errors import ConfigurationError, PluginError, StackMismatchError, describe
from crystallize_core.packing import dumped
from crystallize_core.stack.allowing import Allowance, Shelf
from crystallize_core.stack.assigned import Assignments
from crystallize_core.stack.attached import ActivePlugin
from crystallize_core.stack.checking import hooks_of
from crystallize_core.stack.config import StackConfig, from_environment, look_for_config
from crystallize_core.stack.contract import check_contract, warn_of_deprecated
from crystallize_core.stack.declared import declared
from crystallize_core.stack.discovery import EXECUTORS, PLUGINS
from crystallize_core.stack.layers import effective
from crystallize_core.stack.making import Order, plugins_in
from crystallize_core.stack.options import problems
from crystallize_core.stack.overrides import overrides
from crystallize_core.stack.parity import Parity, refuse_other_options

__all__ = ["Settings", "examined"]

_Line = dict[str, str]


@attrs.frozen
class Settings:
    """What is said about the options of plugins here.

    Attributes:
        config: The configuration, with the stacks that it extends.
        texts: What came as text, from the environment and the command line.

    """

    config: StackConfig
    texts: Assignments

    @classmethod
    def of(cls, project: str) -> Settings:
        """That of a folder; nothing where it cannot be read, which is found elsewhere."""
        try:
            environment = from_environment()
            config, problems = look_for_config(Path(project))
            texts = Assignments(environment.options, overrides().options)
            shelf = Shelf(Allowance.of(config, environment, texts.settings.get("allow")))
            return cls(effective(config, environment, texts.settings, shelf, problems), texts)
        except Exception:  # noqa: BLE001 - a stack of a stranger may fail in any way
            return cls(StackConfig(), Assignments({}, ()))

    def order(self, name: str) -> Order:
        """What a plugin is to be made of."""
        options, texts = self.config.options.get(name, {}), self.texts.of(name)
        return Order(name, options, texts, self.config.trace.copy(), asked=bool(options or texts))


def examined(group: str, name: str, loaded: Any, settings: Settings) -> Iterator[_Line]:
    """What is wrong with it, as lines with `code` and `text`.

    Args:
        group: The group of its entry point; only plugins and executors are made.
        name: Its name.
        loaded: What its entry point refers to.
        settings: What is said about options here.

    """
    if group == "local":
        for own, plugin in plugins_in(loaded):
            yield from _of_plugin(own, plugin, settings)
    elif group in (PLUGINS, EXECUTORS):
        yield from _of_plugin(name, loaded, settings)


def _of_plugin(name: str, loaded: Any, settings: Settings) -> Iterator[_Line]:
    try:
        check_contract(loaded, name)
    except PluginError as error:
        yield _line("CZ204", error.message)
        return
    wrong = _wrong_hooks(name, loaded)
    if wrong is not None:
        yield _line("CZ201", wrong)
        return
    order = settings.order(name)
    if isinstance(loaded, type) and not order.asked:
        missing = problems(loaded, {}, where=f"options.{name}")
        if missing:
            yield _line("CZ202", "it cannot be made without options: " + "; ".join(missing))
            return
    try:
        plugin = order.made(loaded)
    except ConfigurationError as error:
        yield _line("CZ203", error.message)
    except PluginError as error:
        why = error.message if error.__cause__ is None else describe(error.__cause__)
        yield _line("CZ203", f"it cannot be made: {why}")
    else:
        yield from _deprecated(name, plugin)
        yield from _of_instance(name, plugin)


def _wrong_hooks(name: str, loaded: Any) -> str | None:
    """What is wrong with its hooks; a class that cannot be made without its constructor is looked at when it is made."""
    try:
        hooks_of(object.__new__(loaded) if isinstance(loaded, type) else loaded, name)
    except PluginError as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        return None if isinstance(loaded, type) else describe(error)
    return None


def _deprecated(name: str, plugin: Any) -> Iterator[_Line]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warn_of_deprecated(ActivePlugin(name, plugin, "entry point"))
    for warning in told:
        if issubclass(warning.category, PluginDeprecationWarning):
            yield _line("CZ205", str(warning.message))


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
