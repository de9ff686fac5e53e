"""Every value of a stack with where it came from, for people and as plain values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import attrs

from crystallize_core.stack.attached import ActivePlugin, Skipped
from crystallize_core.stack.config import StackConfig
from crystallize_core.stack.declared import MASK, SECRET, Option, options_of
from crystallize_core.stack.options import plain, values_of
from crystallize_core.stack.origins import Key, Kind, Told

__all__ = ["PluginReport", "Setting", "Source", "StackReport", "report"]


@attrs.frozen
class Source:
    """Who said something, in words.

    Attributes:
        kind: The layer.
        text: Who.
        line: The line of the file, where it can be told.
        value: What was said.

    """

    kind: Kind
    text: str
    line: int | None = None
    value: Any = None

    def __str__(self) -> str:
        return self.text if self.line is None else f"{self.text}, line {self.line}"


@attrs.frozen
class Setting:
    """One value.

    Attributes:
        name: What it is the value of: `executor`, or `seeding.seed`.
        value: The value, secrets masked.
        sources: Who said it; several where lists count together.
        overridden: Who said something else that does not count, the strongest first.

    """

    name: str
    value: Any
    sources: tuple[Source, ...]
    overridden: tuple[Source, ...] = ()


@attrs.frozen
class PluginReport:
    """A plugin of the stack, and its options.

    Attributes:
        name, instance_of, distribution, version, origin: As of `ActivePlugin`.
        options: The options in the order of the class.

    """

    name: str
    instance_of: str | None
    distribution: str | None
    version: str | None
    origin: str
    options: tuple[Setting, ...]


@attrs.frozen
class StackReport:
    """All values.

    Attributes:
        configuration: Where the project is configured; None where it is not.
        problems: Why an experiment that is made here would be refused.
        settings: What is no option of a plugin.
        plugins: The plugins in their order, with their options.
        unused: Options of plugins that are not in the stack, or cannot be made.
        skipped: What is not used, and why.
        idle: What the environment and the command line say in vain.

    """

    configuration: str | None
    problems: tuple[str, ...]
    settings: tuple[Setting, ...]
    plugins: tuple[PluginReport, ...]
    unused: tuple[Setting, ...]
    skipped: tuple[Skipped, ...]
    idle: tuple[str, ...] = ()


def report(
    config: StackConfig,
    plugins: Sequence[ActivePlugin],
    skipped: Sequence[Skipped],
    problems: Sequence[str] = (),
    idle: Sequence[str] = (),
) -> StackReport:
    """All values of a stack.

    Args:
        config: What it was made by, with who said what.
        plugins: The plugins in their order.
        skipped: What is not used.
        problems: What is wrong.
        idle: What has no effect.

    """
    used = {plugin.name for plugin in plugins}
    unused = [
        _told_setting(config, key, ".".join(key[1:]), None, secret=any(map(SECRET.search, key[2:])))
        for key in config.trace.below("options")
        if key[1] not in used
    ]
    return StackReport(
        config.source,
        tuple(problems),
        tuple(_settings(config, plugins)),
        tuple(_plugin(config, plugin) for plugin in plugins),
        tuple(unused),
        tuple(skipped),
        tuple(idle),
    )


# What is no option ------------------------------------------------------------------------------------


def _settings(config: StackConfig, plugins: Sequence[ActivePlugin]) -> list[Setting]:
    everything = "default: everything that is installed" if config.plugins is None else "CRYSTALLIZE_AUTOLOAD is off"
    executor = next((plugin.name for plugin in plugins if plugin.is_executor), None)
    one_by_one = "default: one replicate after the other" if executor is None else "a plugin of the stack"
    passed = [plugin.name for plugin in plugins if plugin.origin == "argument" and not plugin.is_executor]
    listed = [plugin.name for plugin in plugins if not plugin.is_executor]
    names = _told_setting(config, ("plugins",), "plugins", listed, default=everything)
    if passed:
        source = Source("argument", f"in Python: {', '.join(passed)}")
        names = attrs.evolve(names, sources=(*names.sources, source))
    return [
        _told_setting(config, ("profile",), "profile", _last(config, ("profile",)), default="default"),
        _told_setting(config, ("extends",), "extends", list(config.extends), default="default"),
        names,
        _told_setting(config, ("disable",), "disable", list(config.disable), default="default"),
        _told_setting(config, ("executor",), "executor", executor or config.executor, default=one_by_one),
        _told_setting(config, ("allow",), "allow", _last(config, ("allow",)), default="default: every distribution"),
        *(_switch(name, default=default) for name, default in (("autoload", True), ("strict", False))),
    ]


def _last(config: StackConfig, key: Key) -> Any:
    told = config.trace.told(key)
    return told[-1].value if told else None


def _switch(name: str, *, default: bool) -> Setting:
    variable = f"CRYSTALLIZE_{name.upper()}"
    text = os.environ.get(variable, "").strip().lower()
    if not text:
        return Setting(name, default, (Source("default", "default"),))
    is_on = text in ("1", "true", "yes", "on")
    return Setting(name, is_on, (Source("environment", f"environment variable {variable}"),))


# Options ----------------------------------------------------------------------------------------------


def _plugin(config: StackConfig, plugin: ActivePlugin) -> PluginReport:
    values = values_of(plugin.plugin)
    declared = options_of(type(plugin.plugin)) if values else {}
    default = _default_of(config, plugin)
    options: list[Setting] = []
    for name, value in values.items():
        options += _option(config, plugin, declared[name], value, default)
    return PluginReport(
        plugin.name, plugin.instance_of, plugin.distribution, plugin.version, plugin.origin, tuple(options)
    )


def _option(config: StackConfig, plugin: ActivePlugin, option: Option, value: Any, default: Source) -> list[Setting]:
    """The option, and below it what was said of single keys of its table."""
    key = ("options", plugin.name, option.name)
    name = f"{plugin.name}.{option.name}"
    if plugin.origin == "argument":
        told = config.trace.told(key)
        lost = (*reversed(told), *config.trace.overridden(key))
        return [Setting(name, value, (default,), _sources(lost, secret=option.secret))]
    found = [_told_setting(config, key, name, value, secret=option.secret, default=default)]
    for below in config.trace.below(*key):
        if below != key:
            keys = below[len(key) :]
            found.append(
                _told_setting(
                    config,
                    below,
                    ".".join((name, *keys)),
                    None,
                    secret=option.secret or any(map(SECRET.search, keys)),
                )
            )
    return found


def _default_of(config: StackConfig, plugin: ActivePlugin) -> Source:
    """Where options come from that nobody said."""
    owner = f"{plugin.distribution} {plugin.version}" if plugin.distribution else plugin.origin
    if plugin.origin == "argument":
        return Source("argument", "an object that was passed in Python")
    made = config.trace.told(("made", plugin.name))
    return Source("default", f"{made[0].origin} of {owner}" if made else f"default of {owner}")


# From the trace ---------------------------------------------------------------------------------------


def _told_setting(
    config: StackConfig, key: Key, name: str, value: Any, *, secret: bool = False, default: str | Source = "default"
) -> Setting:
    """What was said about a key; the value that was said, where it is not known what it came to."""
    told = config.trace.told(key)
    if not told:
        return Setting(name, value, (Source("default", default) if isinstance(default, str) else default,))
    shown = (MASK if secret else plain(told[-1].value)) if value is None else value
    sources = [Source(one.origin.kind, str(one.origin), one.origin.line) for one in told]
    return Setting(name, shown, tuple(sources), _sources(config.trace.overridden(key), secret=secret))


def _sources(told: Sequence[Told], *, secret: bool) -> tuple[Source, ...]:
    return tuple(
        Source(one.origin.kind, str(one.origin), one.origin.line, MASK if secret else plain(one.value)) for one in told
    )
