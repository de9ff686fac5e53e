"""From what was loaded to a plugin object: its class with the options that were given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

import attrs

from crystallize_core.errors import ConfigurationError, PluginError, describe, listed
from crystallize_core.hookspecs import PROJECT
from crystallize_core.plugin import BasePlugin
from crystallize_core.stack.assigned import Assigned, with_texts
from crystallize_core.stack.checking import hooks_of, is_executor, plugin_name
from crystallize_core.stack.contract import check_contract
from crystallize_core.stack.instances import give_name
from crystallize_core.stack.options import build, problems
from crystallize_core.stack.origins import Key, Origin, Trace

_OF_OPTIONS: Final = 3
"""So long are the keys of options; those of what is inside a table are longer."""

__all__ = ["Order", "check_executor", "plugins_in"]


@attrs.frozen
class Order:
    """What a plugin is to be made of.

    Attributes:
        name: Its name in the stack.
        options: Its options, as files and stacks say.
        texts: Those that came as text.
        trace: Who said what.
        asked: Whether somebody named it, and it is not merely installed.
        alias: Whether the name is not its own.
        needs: Says what its distribution needs of the core, such as `>=0.3`, for a message.

    """

    name: str
    options: Mapping[str, Any]
    texts: list[tuple[Key, Assigned]]
    trace: Trace
    asked: bool = True
    alias: bool = False
    needs: Callable[[], str] = str

    def made(self, loaded: Any) -> Any:
        """The plugin object made of what an entry point refers to, or of what a local file has.

        Raises:
            ConfigurationError: Its options are wrong; all that is wrong with them is listed.
            PluginError: It is none, or was written for another core.

        """
        check_contract(loaded, self.name, self.needs)
        if not isinstance(loaded, type):
            self._refuse_class_matters(loaded)
            self._made_by_others("an object")
            made = loaded
        else:
            made = self._instance(loaded)
            if self.alias:
                give_name(made, self.name)
        hooks_of(made, self.name)
        return made

    def _refuse_class_matters(self, loaded: Any) -> None:
        where = f"options.{self.name}"
        if self.alias:
            what = "a module" if isinstance(loaded, ModuleType) else "an object that is made already"
            message = f"plugins: {self.name!r} would be one more instance of {what}; only a class has several"
            raise ConfigurationError(message)
        told = [where] if self.options else [str(item.origin) for _, item in self.texts]
        if told:
            message = f"{told[0]}: plugin {self.name!r} takes no options, because it is no class"
            raise ConfigurationError(message)

    def _instance(self, loaded: type) -> Any:
        where = f"options.{self.name}"
        options, wrong = with_texts(loaded, self.name, self.options, self.texts, self.trace)
        places = self._places()
        if wrong:
            lines = [line for found in wrong.values() for line in found]
            lines += problems(loaded, options, where=where, places=places, known=wrong)
            raise ConfigurationError(
                "\n  ".join([f"{where}: {len(lines)} problems"] * (len(lines) > 1) + listed(lines))
            )
        if options or (self.asked and problems(loaded, {}, where=where)):
            return build(loaded, options, where=where, places=places)
        try:
            autoload = None if self.asked else getattr(loaded, "autoload", None)
            if autoload is None:
                return loaded()
            if getattr(autoload, "__func__", None) is not BasePlugin.autoload.__func__:  # type: ignore[attr-defined]
                self._made_by_others(f"{loaded.__qualname__}.autoload()")
            return autoload()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            message = f"plugin {self.name!r} cannot be made: {describe(error)}"
            raise PluginError(message, plugin=self.name) from error

    def _made_by_others(self, how: str) -> None:
        """Note that the options of the plugin are neither told nor defaults."""
        self.trace.replace(("made", self.name), None, Origin("default", how))

    def _places(self) -> dict[str, str]:
        """Where options stand, for messages, as far as it is not where the project has them."""
        found = {}
        for key in self.trace.below("options", self.name):
            told = self.trace.told(key)
            if len(key) == _OF_OPTIONS and told[0].origin.kind not in ("file", "profile"):
                found[key[2]] = str(told[0].origin)
        return found


def check_executor(executor: Any, name: str, distribution: str | None = None) -> None:
    """Refuse what runs no replicates.

    Raises:
        PluginError: It is no executor.

    """
    hooks_of(executor, name)
    if not is_executor(executor):
        message = f"plugin {name!r} is no executor: it does not implement the hook 'run_experiment_loop'"
        raise PluginError(message, distribution=distribution, plugin=name)


def plugins_in(module: ModuleType) -> list[tuple[str, Any]]:
    """The plugins of a local file: itself, the instances in it, and the classes of which it has no instance.

    A class that is only there to be derived from has a name that starts with an underscore.
    """
    values = {id(value): (name, value) for name, value in vars(module).items()}.values()
    instances = [value for _, value in values if isinstance(value, BasePlugin)]
    classes = [
        value
        for name, value in values
        if inspect.isclass(value)
        and issubclass(value, BasePlugin)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and not any(type(instance) is value for instance in instances)
    ]
    found: list[tuple[str, Any]] = [(plugin_name(plugin)[0], plugin) for plugin in (*classes, *instances)]
    if any(inspect.isfunction(value) and hasattr(value, f"{PROJECT}_impl") for _, value in values):
        found.insert(0, (module.__name__.rpartition("_")[0], module))
    return found
