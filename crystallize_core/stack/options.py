"""The options of a plugin class: which there are, and how values become an instance.

Here lives what is known about plugin *classes*; what is known about types is in `convert.py`, which
also says why this is not a library: nothing is converted that a text format can express, and unknown
keys, wrong types and what converters and validators refuse are reported together, each with its path.
"""

from __future__ import annotations

import types
import typing
from collections import abc
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from crystallize_core.errors import MOST_LISTED, ConfigurationError, describe, did_you_mean, listed
from crystallize_core.stack.convert import Conversion, Problem, as_path, shown
from crystallize_core.stack.option_types import is_table_class, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

from crystallize_core.stack.declared import FACTORY, MASK, REQUIRED, SECRET, attrs_fields, declared, options_of

__all__ = ["build", "check_value", "error_of", "nested", "plain", "problems", "values_of"]

T = TypeVar("T")


def build(
    plugin_class: type[T],
    values: Mapping[str, Any],
    *,
    where: str,
    places: Mapping[str, str] = types.MappingProxyType({}),
) -> T:
    """An instance made from a table of options.

    Args:
        plugin_class: The class.
        values: The options.
        where: The path of the table.
        places: By option, where else than below `where` it was said.

    Raises:
        ConfigurationError: It lists every problem, each with its path below `where`.

    """
    instance, found = _made(plugin_class, values, where, secret=False)
    found = _placed(found, where, places)
    if found:
        raise error_of(where, found) from next((p.cause for p in found if p.cause is not None), None)
    return typing.cast("T", instance)


def problems(
    plugin_class: type,
    values: Mapping[str, Any],
    *,
    where: str,
    places: Mapping[str, str] = types.MappingProxyType({}),
    known: Mapping[str, Any] = types.MappingProxyType({}),
) -> list[str]:
    """What `build` would find wrong, without running the constructor, so without what only that refuses.

    Import strings are imported and tables inside the options are made, as validators may look at them.

    Args:
        plugin_class, values, where, places: As for `build`.
        known: The options of which it is known that they are wrong.

    """
    given, found = _read(plugin_class, values, where, dry=False, secret=False)
    given = {name: value for name, value in given.items() if name not in known}
    found = {name: listed for name, listed in found.items() if name not in known}
    return [str(problem) for problem in _placed(_with_refusals(plugin_class, given, found, where), where, places)]


def _placed(found: list[Problem], where: str, places: Mapping[str, str]) -> list[Problem]:
    """The problems with the paths of the places where the values were said."""
    placed = []
    for problem in found:
        path = problem.path
        for name, place in places.items():
            start = as_path(where, name)
            if path == start or path.startswith((f"{start}.", f"{start}[")):
                path = place + path.removeprefix(start)
        placed.append(attrs.evolve(problem, path=path))
    return placed


def check_value(value: Any, annotation: Any, *, where: str) -> list[str]:
    """What is wrong with a value of a type, each with its path below `where`; empty if nothing is."""
    conversion = Conversion(nested, dry=True, secret=False)
    conversion.read(annotation, value, where)
    return [str(problem) for problem in conversion.found]


def values_of(plugin: object) -> dict[str, Any]:
    """The options of an instance as they are in effect, for records: secrets masked, nested objects as tables.

    An option that the instance keeps under no attribute of the same name is left out.
    """
    if isinstance(plugin, types.ModuleType):
        return {}
    values = {}
    for option, attribute in declared(type(plugin)):
        if attribute is not None and hasattr(plugin, attribute):
            values[option.name] = MASK if option.secret else plain(getattr(plugin, attribute))
    return values


def plain(value: Any) -> Any:
    """A value for records: objects that are written as tables become tables, wherever they are, and secrets are masked."""
    if is_table_class(type(value)):
        return values_of(value)
    if type(value) is dict:
        masked = {key for key in value if isinstance(key, str) and SECRET.search(key)}
        return {key: MASK if key in masked else plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    if type(value) in (set, frozenset) and any(is_table_class(type(item)) for item in value):
        return [plain(item) for item in value]  # tables cannot be in a set
    return value


_Found = dict[str, list[Problem]]


def error_of(where: str, found: list[Problem]) -> ConfigurationError:
    """One error that says everything that was found."""
    lines = [str(problem) for problem in found]
    if len(lines) == 1:
        return ConfigurationError(lines[0])
    return ConfigurationError("\n  ".join([f"{where}: {len(lines)} problems", *listed(lines)]))


def _made(plugin_class: type, values: Any, where: str, *, secret: bool) -> tuple[object, list[Problem]]:
    given, found = _read(plugin_class, values, where, dry=False, secret=secret)
    if found:
        return None, _with_refusals(plugin_class, given, found, where, secret=secret)
    try:
        return plugin_class(**given), []
    except Exception as error:  # noqa: BLE001 - a constructor may refuse in any way
        refused = _with_refusals(plugin_class, given, found, where, secret=secret)
        options = options_of(plugin_class)
        hidden = secret or any(options[name].secret for name in given)
        text = f"{plugin_class.__name__} refuses these options: {_said(error, hidden=hidden)}"
        return None, refused or [Problem(where, text, None if hidden else error)]


def nested(conversion: Conversion, kind: type, table: Mapping[str, Any], path: str) -> Any:
    """A table inside the options; `Conversion` calls it where an attrs class or dataclass is declared."""
    if conversion.dry:
        _, found = _read(kind, table, path, dry=True, secret=conversion.secret)
        conversion.found += [problem for listed in found.values() for problem in listed]
        return table
    instance, refused = _made(kind, table, path, secret=conversion.secret)
    conversion.found += refused
    return instance


def _read(plugin_class: type, values: Any, where: str, *, dry: bool, secret: bool) -> tuple[dict[str, Any], _Found]:
    """The values of the right types, and what is wrong with the others, both by name."""
    if not isinstance(values, abc.Mapping):
        return {}, {"": [Problem(where, f"expected a table, found {shown(values, secret=secret)}")]}
    options = options_of(plugin_class)
    given: dict[str, Any] = {}
    found: _Found = {}
    for name, option in options.items():
        path = as_path(where, name)
        if name not in values:
            if option.default is REQUIRED:
                found[name] = [Problem(path, f"missing; expected {type_name(option.type)}")]
            continue
        conversion = Conversion(nested, dry=dry, secret=secret or option.secret)
        value = conversion.read(option.type, values[name], path)
        if conversion.found:
            found[name] = conversion.found
        else:
            given[name] = value
    unknown = [key for key in values if key not in options]
    for place, key in enumerate(unknown):
        hint = "" if options else f"{plugin_class.__name__} has no options"
        if options and place < MOST_LISTED:  # looking for what is alike takes long
            hint = did_you_mean(str(key), options)
        found.setdefault(str(key), []).append(Problem(as_path(where, key), "unknown option", hint=hint))
    return given, found


def _with_refusals(
    plugin_class: type, given: dict[str, Any], found: _Found, where: str, *, secret: bool = False
) -> list[Problem]:
    """All problems in the order of the options: those found, and what converters and validators refuse."""
    options = options_of(plugin_class)
    everything = dict(found)
    for name, error in _refusals(plugin_class, given).items():
        hidden = secret or options[name].secret
        problem = Problem(as_path(where, name), _said(error, hidden=hidden), None if hidden else error)
        everything[name] = [problem]
    return [problem for name in {**options, **everything} for problem in everything.get(name, [])]


def _said(error: Exception, *, hidden: bool) -> str:
    """What an exception says; only its type when it could quote a secret."""
    if hidden:
        return f"{type(error).__qualname__} (its text is not shown, it may hold a secret)"
    if any(isinstance(argument, attrs.Attribute) for argument in error.args):
        return str(error.args[0])  # attrs puts the field and the value behind the message
    return str(error) if isinstance(error, (ValueError, TypeError)) and str(error) else describe(error)


def _refusals(plugin_class: type, given: Mapping[str, Any]) -> dict[str, Exception]:
    """What each field's converter or validator raises, tried alone on an object that is thrown away."""
    fields = [field for field in attrs_fields(plugin_class) or () if field.init]
    if hasattr(plugin_class, "__del__"):
        return {}
    try:
        probe: object = object.__new__(plugin_class)
    except TypeError:  # abstract, or derived from a builtin class
        return {}
    refused: dict[str, Exception | None] = {}
    stored = []
    for field in fields:
        value = given.get(field.alias or field.name, field.default)
        if value is not attrs.NOTHING and not isinstance(value, FACTORY):
            refused[field.alias or field.name] = error = _attempt(probe, partial(_store, probe, field, value))
            stored += [field] * (error is None)
    for field in stored:
        if field.validator is not None and not attrs.validators.get_disabled():
            check = partial(field.validator, probe, field, getattr(probe, field.name))
            refused[field.alias or field.name] = _attempt(probe, check)
    return {name: error for name, error in refused.items() if error is not None}


def _store(probe: object, field: attrs.Attribute[Any], value: Any) -> None:
    """Set a field as the constructor would, with its converter."""
    converter: Any = field.converter
    if hasattr(converter, "takes_self"):
        extra = [probe] * converter.takes_self + [field] * converter.takes_field
        value = converter.converter(value, *extra)
    elif converter is not None:
        value = converter(value)
    object.__setattr__(probe, field.name, value)


def _attempt(probe: object, call: Callable[[], object]) -> Exception | None:
    """What `call` raises, unless it is that it looked at a field which the probe does not have."""
    try:
        call()
    except AttributeError as error:
        return None if error.obj is probe else error
    except Exception as error:  # noqa: BLE001 - a validator may refuse in any way
        return error
    return None


# --- from text to values -----------------------------------------------------------------------------
