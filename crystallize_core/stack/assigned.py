"""Options that come as text: `CRYSTALLIZE_SEEDING__SEED=7` of the environment, `-o seeding.seed=7` of the command line.

Which plugin a text is for is known from its name, and what it means only when the class is there that declares the
option: until then it stays text.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from crystallize_core.errors import ConfigurationError, did_you_mean
from crystallize_core.stack.declared import SECRET, Option, options_of
from crystallize_core.stack.option_types import UNIONS, bare, is_table_class
from crystallize_core.stack.origins import Key, Origin, Trace
from crystallize_core.stack.texts import parse_text

__all__ = ["SETTINGS", "Assigned", "Assignments", "with_texts"]

PREFIX: Final = "CRYSTALLIZE_"
SETTINGS: Final = ("executor", "plugins", "disable", "allow")
"""What `-o` can set besides options of plugins."""


@attrs.frozen
class Assigned:
    """One option as text.

    Attributes:
        name: The name of the variable without the prefix, or of what `-o` sets.
        text: The value.
        origin: Where it came from.

    """

    name: str
    text: str = attrs.field(repr=False)  # it may be secret
    origin: Origin

    @property
    def of_environment(self) -> bool:
        """Whether it is a variable, whose name is in capitals and has underscores for dots."""
        return self.origin.kind == "environment"

    def path_in(self, plugin: str) -> Key | None:
        """The option of this plugin, and the keys below it; None if it is for another one."""
        start = f"{_capitals(plugin)}__" if self.of_environment else f"{plugin}."
        if not self.name.startswith(start) or len(self.name) == len(start):
            return None
        return tuple(self.name[len(start) :].split("__" if self.of_environment else "."))

    @property
    def guessed_plugin(self) -> str:
        """The plugin that it is for, as far as its name says so."""
        return self.name.partition("__")[0].lower() if self.of_environment else self.name.partition(".")[0]


class Assignments:
    """All options that came as text, the weakest first: those of the environment, those of the command line.

    Args:
        variables: The variables of the environment that name options.
        told: What `-o` was given.

    Attributes:
        settings: What `-o` sets besides options of plugins.
        problems: What is wrong with the texts as such.
        names: Plugins that there are; `acme.log.level` is for `acme.log` where there is one, and else for `acme`.

    """

    def __init__(self, variables: Mapping[str, str], told: Iterable[str]) -> None:
        self.settings: dict[str, str] = {}
        self.problems: list[str] = []
        self.names: frozenset[str] = frozenset()
        self._items: list[Assigned] = [
            Assigned(name.removeprefix(PREFIX), text, Origin("environment", f"environment variable {name}"))
            for name, text in variables.items()
        ]
        self._used: set[str] = set()
        seen: set[str] = set()
        for item in told:
            name, equals, text = (part.strip() for part in item.partition("="))
            if not equals or not ("." in name.strip(".") or name in SETTINGS):
                self.problems.append(_no_assignment(item, name, has_value=bool(equals)))
            elif name in seen:
                self.problems.append(f"-o {name}: it is set twice")
            elif name in SETTINGS:
                self.settings[name] = text
            else:
                self._items.append(Assigned(name, text, Origin("command line", f"-o {name}")))
            seen.add(name)

    def of(self, plugin: str) -> list[tuple[Key, Assigned]]:
        """Those for a plugin that is made now, with the options that they are for."""
        found = self.about(plugin)
        self._used |= {str(item.origin) for _, item in found}
        return found

    def about(self, plugin: str) -> list[tuple[Key, Assigned]]:
        """The same, where they have no effect."""
        longer = [name for name in self.names if len(name) > len(plugin)]
        return [
            (path, item)
            for item in self._items
            if (path := item.path_in(plugin)) is not None and not any(map(item.path_in, longer))
        ]

    def of_nobody(self, known: Iterable[str], listed: Iterable[str]) -> list[str]:
        """What is said about plugins that do not exist, each with a suggestion.

        Args:
            known: The names of plugins.
            listed: Names that the project uses, whether or not there are plugins of these names.

        """
        names = set(known)
        meant = names | set(listed)
        wrong = [item for item in self._items if not any(item.path_in(name) for name in meant)]
        return [
            f"{item.origin}: there is no plugin {item.guessed_plugin!r}; "
            f"{did_you_mean(item.guessed_plugin, names, listing='known')}"
            for item in wrong
        ]

    def idle(self, passed: Iterable[str], coming: str | None = None) -> list[str]:
        """What the command line says about plugins that were not made of options in this stack, in words.

        Args:
            passed: The names of plugins that were passed as objects.
            coming: The name of a plugin that will be in the stack that is run.

        """
        told = [item for item in self._items if not item.of_environment and str(item.origin) not in self._used]
        if coming is not None:
            told = [item for item in told if item.path_in(coming) is None]
        given = set(passed)
        return [f"{item.origin} has no effect: {_why_idle(item, given)}" for item in told]


def _why_idle(item: Assigned, passed: set[str]) -> str:
    name = next((name for name in passed if item.path_in(name)), None)
    if name is not None:
        return f"plugin {name!r} was passed as an object in Python, which counts more"
    return f"plugin {item.guessed_plugin!r} is not in the stack"


def _no_assignment(item: str, name: str, *, has_value: bool) -> str:
    what = f"-o {name if has_value else repr(item)}"
    hint = did_you_mean(name, SETTINGS, listing="else it sets one of")
    return f"{what}: expected plugin.option=value; {hint}"


def _capitals(name: str) -> str:
    return re.sub(r"[-.]", "_", name).upper()


# From text to values ----------------------------------------------------------------------------------


def with_texts(
    plugin_class: type, name: str, values: Mapping[str, Any], given: Iterable[tuple[Key, Assigned]], trace: Trace
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The options of a plugin with those that came as text.

    Args:
        plugin_class: The class that declares them.
        name: The name of the plugin.
        values: The options that files and stacks say.
        given: Those that came as text, the weakest first.
        trace: Gets to know what was said.

    Returns:
        The options, and what is wrong with texts, by option.

    """
    merged, problems = dict(values), dict[str, list[str]]()
    for path, item in given:
        keys: Key = path
        try:
            keys, value = _read(plugin_class, name, merged, path, item)
        except ConfigurationError as error:
            problems.setdefault(keys[0], []).append(error.message)
        else:
            trace.replace(("options", name, *keys), value, item.origin)
            _put(merged, keys, value)
    return merged, problems


def _put(table: dict[str, Any], keys: Key, value: Any) -> None:
    for key in keys[:-1]:
        found = table.get(key)
        table[key] = table = dict(found) if isinstance(found, Mapping) else {}
    table[keys[-1]] = value


def _read(plugin_class: type, name: str, values: Mapping[str, Any], path: Key, item: Assigned) -> tuple[Key, Any]:
    """The names of the option and the keys below it as they are declared, and the value.

    Raises:
        ConfigurationError: There is no such option, or the text is not of its type.

    """
    options = options_of(plugin_class)
    first = _match(path[0], options, item)
    if first is None:
        hint = did_you_mean(path[0].lower(), options, listing="its options are")
        message = f"{item.origin}: plugin {name!r} has no option {_shown(path[0], item)!r}; {hint}"
        raise ConfigurationError(message)
    option, keys, there = options[first], [first], values.get(first)
    for key in path[1:]:
        declared = _below(option, there)
        if declared is None or isinstance(declared, dict):
            found = None if declared is None else _match(key, declared, item)
            if found is None:
                raise ConfigurationError(_no_key(item, ".".join((name, *keys)), key, declared))
            option = declared[found] if declared else option
        else:
            there_names = there if isinstance(there, Mapping) else {}
            found, option = _match(key, there_names, item) or _shown(key, item), declared
        if SECRET.search(found):
            option = attrs.evolve(option, secret=True)
        keys.append(found)
        there = there.get(found) if isinstance(there, Mapping) else None
    return tuple(keys), parse_text(option, item.text, where=str(item.origin))


def _match(key: str, known: Iterable[str], item: Assigned) -> str | None:
    """The name that is meant; variables do not tell capitals from others, nor dashes from underscores."""
    return next((name for name in known if name == key or (item.of_environment and _capitals(name) == key)), None)


def _shown(key: str, item: Assigned) -> str:
    return key.lower() if item.of_environment else key


def _no_key(item: Assigned, where: str, key: str, declared: Mapping[str, Option] | None) -> str:
    if declared is None:
        return f"{item.origin}: {where} is no table, and has no {_shown(key, item)!r}"
    hint = did_you_mean(_shown(key, item), declared, listing="its keys are")
    return f"{item.origin}: {where} has no {_shown(key, item)!r}; {hint}"


def _below(option: Option, there: Any) -> dict[str, Option] | Option | None:
    """What is declared for the keys of a table: by key, or the same for all; None for what is no table."""
    kind = bare(option.type)
    if kind is Any:
        return Option("", secret=option.secret) if there is None or isinstance(there, Mapping) else None
    members = typing.get_args(kind) if typing.get_origin(kind) in UNIONS else (kind,)
    for member in map(bare, members):
        if is_table_class(member):
            return {key: attrs.evolve(o, secret=o.secret or option.secret) for key, o in options_of(member).items()}
        origin = typing.get_origin(member) or member
        if isinstance(origin, type) and issubclass(origin, Mapping):
            values = typing.get_args(member)[1:] or (Any,)
            return Option("", values[0], secret=option.secret)
    return None
