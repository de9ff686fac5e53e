"""From what a project says and what is installed to the stack of an experiment."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from crystallize_core.errors import ConfigurationError, PluginError, StackError, did_you_mean
from crystallize_core.plugin import BasePlugin
from crystallize_core.stack import discovery
from crystallize_core.stack.attached import ActivePlugin, Skipped, Stack
from crystallize_core.stack.checking import hooks_of, plugin_name
from crystallize_core.stack.config import Environment, StackConfig, find_config, from_environment, parse_config
from crystallize_core.stack.discovery import Installed, installed
from crystallize_core.stack.files import load_file
from crystallize_core.stack.options import build

__all__ = ["PluginWarning", "is_path", "resolve"]


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

    def stack(self, given: list[Any], executor: Any) -> Stack:
        config = self._extended()
        passed = self._passed(given if executor is None or isinstance(executor, str) else [*given, executor])
        taken = {plugin.name for plugin in passed}
        disabled = {*config.disable, *self.environment.disable}
        found = self._installed_or_named(config, taken, disabled)
        chosen = executor if isinstance(executor, str) else config.executor
        if isinstance(executor, str):
            passed = [plugin for plugin in passed if not plugin.is_executor]
        if chosen is not None and not any(plugin.is_executor for plugin in passed):
            found += self._executor(chosen, config)
        self._check_option_tables(config, {plugin.name for plugin in (*found, *passed)})
        if self.problems:
            where = config.source or "the stack"
            raise ConfigurationError(f"{where}:" + "".join(f"\n  {problem}" for problem in self.problems))
        self._report()
        return Stack([*found, *passed], self.skipped)

    # What the project says ----------------------------------------------------------------------

    def _extended(self) -> StackConfig:
        """The configuration with the stacks that it extends put under it."""
        config = self.config
        if not config.extends:
            return config
        plugins: list[str] = []
        options: dict[str, dict[str, Any]] = {}
        executor = None
        shipped = {item.name: item for item in installed(discovery.STACKS)}
        for name in config.extends:
            if name not in shipped:
                self.problems.append(f"extends: there is no stack {name!r}; {did_you_mean(name, shipped, listing='installed')}")
                continue
            base = parse_config(shipped[name].load(), f"stack {name!r} of {shipped[name].distribution}", config.folder)
            plugins += [plugin for plugin in base.plugins or () if plugin not in plugins]
            executor = base.executor or executor
            for plugin, values in base.options.items():
                options[plugin] = {**options.get(plugin, {}), **values}
        for plugin, values in config.options.items():
            options[plugin] = {**options.get(plugin, {}), **values}
        plugins += [plugin for plugin in config.plugins or () if plugin not in plugins]
        return attrs.evolve(config, plugins=tuple(plugins), options=options, executor=config.executor or executor)

    def _installed_or_named(self, config: StackConfig, taken: set[str], disabled: set[str]) -> list[ActivePlugin]:
        available: dict[str, list[Installed]] = {}
        for item in installed(discovery.PLUGINS):
            available.setdefault(item.name, []).append(item)
        everything = config.plugins is None
        found: list[ActivePlugin] = []
        for name in sorted(available) if config.plugins is None else config.plugins:
            if name in taken:
                continue
            if name in disabled:
                self.skipped.append(Skipped(name, _distribution(available.get(name)), "disabled"))
            elif is_path(name):
                found += self._local(config, name, taken)
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
                owners = " and ".join(f"{item.distribution} {item.version}" for item in candidates)
                message = f"plugin name {name!r} is shipped by {owners}; uninstall one, or disable = [{name!r}]"
                raise PluginError(message, plugin=name)  # noqa: TRY301 - it is treated like any other reason
            item = candidates[0]
            plugin = _made(item.load(), name, config.options.get(name), asked=not optional)
            hooks_of(plugin, name)
        except StackError as error:
            if not optional or self.environment.strict or isinstance(error, ConfigurationError):
                raise
            self.skipped.append(Skipped(name, _distribution(candidates), str(error), error))
            return []
        return [ActivePlugin(name, plugin, "entry point", item.distribution, item.version)]

    def _local(self, config: StackConfig, name: str, taken: set[str]) -> list[ActivePlugin]:
        path = config.folder / name
        module = load_file(path)
        plugins = _plugins_in(module, config.options)
        if not plugins:
            self.problems.append(f"{path} has no plugin: no @hookimpl function and no BasePlugin subclass")
        return [ActivePlugin(n, p, str(path)) for n, p in plugins if n not in taken]

    def _executor(self, name: str, config: StackConfig) -> list[ActivePlugin]:
        kind, _, address = name.partition("://")
        available: dict[str, list[Installed]] = {}
        for item in installed(discovery.EXECUTORS):
            available.setdefault(item.name, []).append(item)
        if kind not in available:
            hint = did_you_mean(kind, available, listing="installed")
            text = f"executor {kind!r} is not installed; {hint}"
            if not available:
                text = f"executor {kind!r} is not installed: pip install crystallize-executors"
            self.problems.append(text)
            return []
        options = dict(config.options.get(kind, {}))
        if address:
            options["address"] = name
        return self._entry_point(kind, available[kind], attrs.evolve(config, options={kind: options}), optional=False)

    # What was passed ----------------------------------------------------------------------------

    def _passed(self, given: list[Any]) -> list[ActivePlugin]:
        found: list[ActivePlugin] = []
        for plugin in given:
            if isinstance(plugin, str):
                message = f"plugins=[{plugin!r}]: pass plugin objects here; names belong in crystallize.toml"
                raise PluginError(message)
            name, own = plugin_name(plugin)
            hooks_of(plugin, name)
            names = {other.name for other in found}
            if own and name in names:
                message = f"two plugins named {name!r} were passed; a stack has one of each name"
                raise PluginError(message, plugin=name)
            if not own:
                name = _free(name, names)
            distribution, version = _owner(plugin)
            found.append(ActivePlugin(name, plugin, "argument", distribution, version))
        return found

    def _check_option_tables(self, config: StackConfig, active: set[str]) -> None:
        known = active | {item.name for group in (discovery.PLUGINS, discovery.EXECUTORS) for item in installed(group)}
        for name in config.options:
            if name not in known:
                self.problems.append(f"options.{name}: there is no plugin {name!r}; {did_you_mean(name, known, listing='known')}")

    def _report(self) -> None:
        for skipped in self.skipped:
            if skipped.error is not None:
                text = f"installed plugin {skipped.name!r} of {skipped.distribution} is skipped: {skipped.reason}"
                warnings.warn(text, PluginWarning, stacklevel=2)


def _made(loaded: Any, name: str, options: Mapping[str, Any] | None, *, asked: bool) -> Any:
    """The plugin object made of what an entry point refers to."""
    where = f"options.{name}"
    if isinstance(loaded, type):
        if not options and not asked and hasattr(loaded, "autoload"):
            try:
                return loaded.autoload()
            except Exception as error:
                message = f"plugin {name!r} cannot be made: {error}"
                raise PluginError(message, plugin=name) from error
        return build(loaded, options or {}, where=where)
    if options:
        message = f"{where}: plugin {name!r} takes no options, because it is no class"
        raise ConfigurationError(message)
    return loaded


def _plugins_in(module: ModuleType, options: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """The plugins of a local file: the module itself, and each class and instance that it defines."""
    found: list[tuple[str, Any]] = []
    for value in list(vars(module).values()):
        is_class = inspect.isclass(value) and issubclass(value, BasePlugin) and value.__module__ == module.__name__
        if is_class:
            name = value.plugin_name or plugin_name(object.__new__(value))[0]
            found.append((name, build(value, options.get(name, {}), where=f"options.{name}")))
        elif isinstance(value, BasePlugin) and type(value).__module__ == module.__name__:
            found = [(n, p) for n, p in found if type(p) is not type(value)]
            found.append((plugin_name(value)[0], value))
    if any(hasattr(value, "crystallize_impl") for value in vars(module).values()):
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


def _owner(plugin: Any) -> tuple[str | None, str | None]:
    """The distribution that a passed plugin was installed with, by its entry point's package."""
    module = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__
    top = module.partition(".")[0]
    for group in (discovery.PLUGINS, discovery.EXECUTORS):
        for item in installed(group):
            if item.value.partition(":")[0].partition(".")[0] == top:
                return item.distribution, item.version
    return None, None


