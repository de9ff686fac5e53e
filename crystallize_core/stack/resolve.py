"""From what a project says and what is installed to the stack of an experiment."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from crystallize_core.errors import ConfigurationError, PluginError, StackError, describe, did_you_mean, warn_caller
from crystallize_core.hookspecs import PROJECT
from crystallize_core.plugin import BasePlugin
from crystallize_core.stack import discovery
from crystallize_core.stack.attached import ActivePlugin, Skipped, Stack
from crystallize_core.stack.checking import hooks_of, is_executor, plugin_name
from crystallize_core.stack.config import Environment, StackConfig, find_config, from_environment, parse_config
from crystallize_core.stack.discovery import Installed, installed
from crystallize_core.stack.files import load_file
from crystallize_core.stack.options import build, problems

__all__ = ["PluginWarning", "is_path", "resolve"]

STANDARD_EXECUTORS = ("async", "parallel", "process", "serial", "thread")
"""What crystallize-executors ships, for the message of those who lack it."""


class PluginWarning(UserWarning):
    """An installed plugin could not be used and was skipped; the message says which and why."""


def resolve(
    given: Sequence[Any] = (),
    *,
    autoload: bool = True,
    executor: Any = None,
    config: StackConfig | None = None,
    environment: Environment | None = None,
) -> Stack:
    """The stack of an experiment.

    Args:
        given: Plugin objects that were passed in Python; each replaces the installed one of its name.
        autoload: Whether the project's configuration and what is installed count at all.
        executor: The executor to use, by name or as an object, instead of the configured one.
        config: Default: what `find_config` finds.
        environment: Default: the environment variables of this process.

    Raises:
        StackError: Something that was asked for by name cannot be used. What is merely installed and
            cannot be used is skipped with a `PluginWarning`, unless `CRYSTALLIZE_STRICT` is on.

    """
    environment = environment or from_environment()
    if not (autoload and environment.autoload):
        config = StackConfig(plugins=(), folder=Path.cwd())
    resolver = _Resolver(config or find_config(), environment)
    return resolver.stack(list(given), executor)


@attrs.define
class _Resolver:
    config: StackConfig
    environment: Environment
    skipped: list[Skipped] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)
    refused: ConfigurationError | None = None
    named: set[str] = attrs.field(factory=set)
    _read: dict[str, list[Installed]] = attrs.field(factory=dict)

    def stack(self, given: list[Any], executor: Any) -> Stack:
        config = self._extended(self.config)
        if executor is not None and not isinstance(executor, str):
            _check_executor(executor, plugin_name(executor)[0])
            given = [*given, executor]
        passed = self._passed(given)
        taken = {plugin.name for plugin in passed}
        disabled = {*config.disable, *self.environment.disable}
        found = self._installed_or_named(config, taken, disabled)
        if executor is not None:  # it takes the place of whatever the project has
            found = [plugin for plugin in found if not plugin.is_executor]
        chosen = executor if isinstance(executor, str) else config.executor
        if isinstance(executor, str):
            passed = [plugin for plugin in passed if not plugin.is_executor]
        if chosen is not None and not any(plugin.is_executor for plugin in passed):
            found += self._executor(chosen, config)
        self._check_option_tables(config, {plugin.name for plugin in (*found, *passed)})
        if self.problems:
            where = config.source or "the stack"
            message = f"{where}:" + "".join(f"\n  {problem}" for problem in self.problems)
            raise ConfigurationError(message) from (self.refused and self.refused.__cause__)
        self._report()
        return Stack([*found, *passed], self.skipped, disabled)

    def _installed(self, group: str) -> list[Installed]:
        """What is installed, read once."""
        if group not in self._read:
            self._read[group] = installed(group)
        return self._read[group]

    def _by_name(self, group: str) -> dict[str, list[Installed]]:
        found: dict[str, list[Installed]] = {}
        for item in self._installed(group):
            found.setdefault(item.name, []).append(item)
        return found

    # What the project says ----------------------------------------------------------------------

    def _extended(self, config: StackConfig, above: tuple[str, ...] = ()) -> StackConfig:
        """The configuration with the stacks that it extends put under it, and those that they extend."""
        layers = [self._shipped(name, config, above) for name in config.extends]
        if not layers:
            return config
        layers.append(config)
        options: dict[str, dict[str, Any]] = {}
        for layer in layers:
            for plugin, values in layer.options.items():
                options[plugin] = {**options.get(plugin, {}), **values}
        lists = [layer.plugins for layer in layers if layer.plugins is not None]
        return attrs.evolve(
            config,
            plugins=tuple(dict.fromkeys(name for names in lists for name in names)) if lists else None,
            disable=tuple(dict.fromkeys(name for layer in layers for name in layer.disable)),
            options=options,
            executor=next((layer.executor for layer in reversed(layers) if layer.executor is not None), None),
        )

    def _shipped(self, name: str, config: StackConfig, above: tuple[str, ...]) -> StackConfig:
        """The stack of that name that a distribution ships."""
        shipped = self._by_name(discovery.STACKS)
        if name in above:
            self.problems.append(f"extends: stack {name!r} extends itself: {' -> '.join((*above, name))}")
        elif name not in shipped:
            self.problems.append(
                f"extends: there is no stack {name!r}; {did_you_mean(name, shipped, listing='installed')}"
            )
        elif len(shipped[name]) > 1:
            self.problems.append(f"extends: stack {name!r} is shipped by {_distribution(shipped[name])}; uninstall one")
        else:
            item = shipped[name][0]
            base = parse_config(item.load(), f"stack {name!r} of {item.distribution} {item.version}", config.folder)
            return self._extended(base, (*above, name))
        return StackConfig(folder=config.folder)

    def _installed_or_named(self, config: StackConfig, taken: set[str], disabled: set[str]) -> list[ActivePlugin]:
        available = self._by_name(discovery.PLUGINS)
        everything = config.plugins is None
        found: list[ActivePlugin] = []
        for name in sorted(available) if config.plugins is None else config.plugins:
            if name in taken:
                continue
            if name in disabled:
                self.skipped.append(Skipped(name, _distribution(available.get(name)), "disabled"))
            elif is_path(name):
                found += [plugin for plugin in self._local(config, name, taken) if not self._left_out(plugin, disabled)]
            elif name not in available:
                self.problems.append(_not_installed(name, available))
            else:
                found += self._entry_point(name, available[name], config, optional=everything)
        return found

    def _entry_point(
        self, name: str, candidates: list[Installed], config: StackConfig, *, optional: bool
    ) -> list[ActivePlugin]:
        """The plugin of that name; where it cannot be used, the reason is kept or raised."""
        try:
            if len(candidates) > 1:
                owners = _distribution(candidates)
                message = f"plugin name {name!r} is shipped by {owners}; uninstall one, or disable = [{name!r}]"
                raise PluginError(message, plugin=name)
            item = candidates[0]
            plugin = _made(item.load(), name, config.options.get(name), asked=not optional)
            hooks_of(plugin, name)
        except ConfigurationError as error:
            self._refuse(error)
            return []
        except StackError as error:
            if len(candidates) == 1:
                error.address = {"distribution": _distribution(candidates), **error.address}
            if not optional or self.environment.strict:
                raise
            self.skipped.append(Skipped(name, _distribution(candidates), str(error), error))
            return []
        return [ActivePlugin(name, plugin, "entry point", item.distribution, item.version)]

    def _refuse(self, error: ConfigurationError) -> None:
        """Keep what is wrong with the options of one plugin, to be told together with the rest."""
        self.refused = self.refused or error
        self.problems.append(error.message)

    def _local(self, config: StackConfig, name: str, taken: set[str]) -> list[ActivePlugin]:
        path = config.folder / name
        module = load_file(path)
        plugins = _plugins_in(module)
        if not plugins:
            self.problems.append(f"{path} has no plugin: no @hookimpl function and no BasePlugin subclass")
        found = []
        for own, plugin in plugins:
            if own in taken:
                continue
            self.named.add(own)
            try:
                made = _made(plugin, own, config.options.get(own), asked=True)
                hooks_of(made, own)
            except ConfigurationError as error:
                self._refuse(error)
            except StackError as error:
                error.address = {"file": str(path), **error.address}
                raise
            else:
                found.append(ActivePlugin(own, made, str(path)))
        return found

    def _left_out(self, plugin: ActivePlugin, disabled: set[str]) -> bool:
        if plugin.name in disabled:
            self.skipped.append(Skipped(plugin.name, None, "disabled"))
        return plugin.name in disabled

    def _executor(self, name: str, config: StackConfig) -> list[ActivePlugin]:
        kind, _, address = name.partition("://")
        available = self._by_name(discovery.EXECUTORS)
        if kind not in available:
            self.problems.append(_no_executor(kind, available))
            return []
        options = dict(config.options.get(kind, {}))
        if address:
            options["address"] = name
        found = self._entry_point(kind, available[kind], attrs.evolve(config, options={kind: options}), optional=False)
        for plugin in found:
            _check_executor(plugin.plugin, kind, _distribution(available[kind]))
        return found

    # What was passed ----------------------------------------------------------------------------

    def _passed(self, given: list[Any]) -> list[ActivePlugin]:
        found: list[ActivePlugin] = []
        for plugin in given:
            if isinstance(plugin, str):
                message = f"plugins=[{plugin!r}]: pass plugin objects here; names belong in crystallize.toml"
                raise PluginError(message)
            name, own = plugin_name(plugin)
            entry, exact = self._entry_of(plugin)
            if exact and not own:
                name = entry.name
            hooks_of(plugin, name)
            names = {other.name for other in found}
            if own and name in names:
                message = f"two plugins named {name!r} were passed; a stack has one of each name"
                raise PluginError(message, plugin=name)
            if not own:
                name = _free(name, names)
            found.append(ActivePlugin(name, plugin, "argument", entry and entry.distribution, entry and entry.version))
        return found

    def _entry_of(self, plugin: Any) -> tuple[Any, bool]:
        """The entry point of a passed plugin, and True; else one of the same package, and False."""
        module = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__
        attribute = "" if isinstance(plugin, ModuleType) else type(plugin).__qualname__
        everything = [*self._installed(discovery.PLUGINS), *self._installed(discovery.EXECUTORS)]
        near = [
            item for item in everything if item.value.partition(":")[0].partition(".")[0] == module.partition(".")[0]
        ]
        for item in near:
            if item.value == module if not attribute else item.value.partition(":")[2].strip() == attribute:
                return item, True
        return (near[0], False) if near else (None, False)

    def _check_option_tables(self, config: StackConfig, active: set[str]) -> None:
        known = {*active, *self.named, *self._by_name(discovery.PLUGINS), *self._by_name(discovery.EXECUTORS)}
        for name in config.options:
            if name not in known:
                self.problems.append(
                    f"options.{name}: there is no plugin {name!r}; {did_you_mean(name, known, listing='known')}"
                )

    def _report(self) -> None:
        for skipped in self.skipped:
            if skipped.error is not None:
                text = f"installed plugin {skipped.name!r} of {skipped.distribution} is skipped: {skipped.reason}"
                warn_caller(text, PluginWarning)


def _made(loaded: Any, name: str, options: Mapping[str, Any] | None, *, asked: bool) -> Any:
    """The plugin object made of what an entry point refers to."""
    where = f"options.{name}"
    if not isinstance(loaded, type):
        if options:
            message = f"{where}: plugin {name!r} takes no options, because it is no class"
            raise ConfigurationError(message)
        return loaded
    if options or (asked and problems(loaded, {}, where=where)):
        return build(loaded, options or {}, where=where)
    try:
        return loaded.autoload() if not asked and hasattr(loaded, "autoload") else loaded()
    except (Exception, SystemExit) as error:
        message = f"plugin {name!r} cannot be made: {describe(error)}"
        raise PluginError(message, plugin=name) from error


def _check_executor(executor: Any, name: str, distribution: str | None = None) -> None:
    hooks_of(executor, name)
    if not is_executor(executor):
        message = f"plugin {name!r} is no executor: it does not implement the hook 'run_experiment_loop'"
        raise PluginError(message, distribution=distribution, plugin=name)


def _plugins_in(module: ModuleType) -> list[tuple[str, Any]]:
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


def is_path(name: str) -> bool:
    """Whether a name in a list of plugins is the path of a local file."""
    return name.endswith(".py") or "/" in name or name.startswith(".")


def _free(name: str, taken: set[str]) -> str:
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    return candidate


def _distribution(candidates: list[Installed] | None) -> str | None:
    return " and ".join(f"{item.distribution} {item.version}" for item in candidates) if candidates else None


def _not_installed(name: str, available: Mapping[str, Any]) -> str:
    hint = did_you_mean(name, available, listing="installed")
    if hint.startswith("did you mean"):
        return f"plugins: {name!r} is not installed; {hint}"
    return f"plugins: {name!r} is not installed: pip install crystallize-{name} ({hint})"


def _no_executor(name: str, available: Mapping[str, Any]) -> str:
    hint = did_you_mean(name, available, listing="installed")
    if hint.startswith("did you mean") and name not in STANDARD_EXECUTORS:
        return f"executor {name!r} is not installed; {hint}"
    distribution = "crystallize-executors" if name in STANDARD_EXECUTORS else f"crystallize-{name}"
    return f"executor {name!r} is not installed: pip install {distribution} ({hint})"
