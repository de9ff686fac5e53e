"""The options of a plugin class: which there are, and how values become an instance.

Here lives what is known about plugin *classes*; what is known about types is in `convert.py`, which
also says why this is not a library: nothing is converted that a text format can express, and unknown
keys, wrong types and what converters and validators refuse are reported together, each with its path.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import inspect
import json
import re
import sys
import types
import typing
from collections import abc
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import attrs

from crystallize_core.errors import ConfigurationError, describe, did_you_mean
from crystallize_core.stack.convert import (
    CONTAINERS,
    UNIONS,
    Conversion,
    Problem,
    as_path,
    bare,
    choice_texts,
    is_table_class,
    scalar_from_text,
    shown,
    type_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "REQUIRED",
    "Option",
    "build",
    "check_value",
    "options_of",
    "parse_text",
    "problems",
    "type_name",
    "values_of",
]

T = TypeVar("T")

_SECRET = re.compile(r"password|secret|token|api_?key|credential", re.IGNORECASE)
_MASK = "***"
_FACTORY: type = type(attrs.Factory(list))


class _Required(enum.Enum):
    REQUIRED = "required"

    def __repr__(self) -> str:
        return self.name


REQUIRED: Final = _Required.REQUIRED


@attrs.frozen
class Option:
    """One option of a plugin.

    Args:
        name: The keyword of the constructor and the key in a configuration.
        type: The resolved annotation, joined with what its converter says that it takes; `Any` when
            there is none or it cannot be resolved.
        default: The default, an `attrs.Factory` of it, or `REQUIRED`.
        help: The field's `metadata["help"]`.
        secret: Whether its values are masked: its name or `metadata["secret"]` says so.

    """

    name: str
    type: Any = Any
    default: Any = REQUIRED
    help: str = ""
    secret: bool = False


def options_of(plugin_class: type) -> dict[str, Option]:
    """The options of a class in the order of its fields, or of its constructor's parameters."""
    return {option.name: option for option, _ in _declared(plugin_class)}


def build(plugin_class: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """An instance made from a table of options.

    Raises:
        ConfigurationError: It lists every problem, each with its path below `where`.

    """
    instance, found = _made(plugin_class, values, where, secret=False)
    if found:
        raise _error(where, found) from next((p.cause for p in found if p.cause is not None), None)
    return typing.cast("T", instance)


def problems(plugin_class: type, values: Mapping[str, Any], *, where: str) -> list[str]:
    """What `build` would find wrong, without running the constructor, so without what only that refuses.

    Import strings are imported and tables inside the options are made, as validators may look at them.
    """
    given, found = _read(plugin_class, values, where, dry=False, secret=False)
    return [str(problem) for problem in _with_refusals(plugin_class, given, found, where)]


def check_value(value: Any, annotation: Any, *, where: str) -> list[str]:
    """What is wrong with a value of a type, each with its path below `where`; empty if nothing is."""
    conversion = Conversion(_nested, dry=True, secret=False)
    conversion.read(annotation, value, where)
    return [str(problem) for problem in conversion.found]


def parse_text(option: Option, text: str, *, where: str = "") -> Any:
    """An option's value from a command line or the environment, where everything is text.

    Tables and import strings are checked and stay as they are, for `build` to use.

    Raises:
        ConfigurationError: The text is not of the option's type; `where` or the name is the path.

    """
    path = where or option.name
    attempts = []
    for member, raw in _readings(option.type, text):
        conversion = Conversion(_nested, dry=True, secret=option.secret)
        value = conversion.read(member, raw, path)
        if not conversion.found:
            return value
        attempts.append(conversion)
    meant = [attempt.found for attempt in attempts if not attempt.misses(path)]
    if meant:
        raise _error(path, meant[0])
    hints = [problem.hint for attempt in attempts for problem in attempt.found if problem.hint]
    found = f"text {_MASK if option.secret else repr(text)}"
    hint = hints[0] if hints else _TEXT_HINTS.get(_origin(option.type), "")
    raise _error(path, [Problem(path, f"expected {type_name(option.type)}, found {found}", hint=hint)])


def values_of(plugin: object) -> dict[str, Any]:
    """The options of an instance as they are in effect, for records: secrets masked, nested objects as tables.

    An option that the instance keeps under no attribute of the same name is left out.
    """
    if isinstance(plugin, types.ModuleType):
        return {}
    values = {}
    for option, attribute in _declared(type(plugin)):
        if attribute is not None and hasattr(plugin, attribute):
            values[option.name] = _MASK if option.secret else _plain(getattr(plugin, attribute))
    return values


def _plain(value: Any) -> Any:
    """Objects that are written as tables become tables, wherever they are in lists and tables."""
    if is_table_class(type(value)):
        return values_of(value)
    if type(value) is dict:
        masked = {key for key in value if isinstance(key, str) and _SECRET.search(key)}
        return {key: _MASK if key in masked else _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    if type(value) in (set, frozenset) and any(is_table_class(type(item)) for item in value):
        return [_plain(item) for item in value]  # tables cannot be in a set
    return value


# --- what a class declares ---------------------------------------------------------------------------


def _declared(plugin_class: type) -> Iterator[tuple[Option, str | None]]:
    """Each option with the attribute that holds its value; None when there is no such attribute."""
    fields = _attrs_fields(plugin_class)
    if fields is None:
        yield from _declared_by_signature(plugin_class)
        return
    for field in fields:
        if not field.init:
            continue
        owner = next((b for b in plugin_class.__mro__ if _own_attrs_field(b, field.name)), plugin_class)
        kind = Any if field.type is None else _resolved(field.type, vars(owner), _namespace(owner.__module__))
        default = REQUIRED if field.default is attrs.NOTHING else field.default
        alias = field.alias or field.name
        yield _option(alias, _with_input(kind, field.converter), default, field.metadata), field.name


def _constructor_owner(plugin_class: type) -> type:
    return next(base for base in plugin_class.__mro__ if "__init__" in vars(base))


def _attrs_fields(plugin_class: type) -> Sequence[attrs.Attribute[Any]] | None:
    """The fields that the constructor takes; None when attrs did not write the constructor."""
    owner = _constructor_owner(plugin_class)
    own = vars(owner)
    if "__attrs_attrs__" not in own or "__attrs_init__" in own:  # the latter is written beside a handmade one
        return None
    fields: Sequence[attrs.Attribute[Any]] = attrs.fields(owner)
    return fields


def _own_attrs_field(base: type, name: str) -> bool:
    return any(field.name == name and not field.inherited for field in vars(base).get("__attrs_attrs__", ()))


def _declared_by_signature(plugin_class: type) -> Iterator[tuple[Option, str | None]]:
    constructor = inspect.unwrap(vars(_constructor_owner(plugin_class))["__init__"])
    try:
        parameters = list(inspect.signature(constructor).parameters.values())[1:]
    except (ValueError, TypeError):  # written in C
        return
    dataclass_fields = getattr(plugin_class, "__dataclass_fields__", {})
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            continue
        field = dataclass_fields.get(parameter.name)
        if field is None or field.type != parameter.annotation:
            kind = _parameter_type(constructor, parameter)
            default = REQUIRED if parameter.default is parameter.empty else parameter.default
            yield _option(parameter.name, kind, default, {}), parameter.name
        else:
            is_kept = field in dataclasses.fields(plugin_class)  # an InitVar is not
            yield _dataclass_option(plugin_class, field), parameter.name if is_kept else None


def _dataclass_option(plugin_class: type, field: dataclasses.Field[Any]) -> Option:
    owners = [b for b in plugin_class.__mro__ if vars(b).get("__dataclass_fields__", {}).get(field.name) is field]
    kind = _resolved(field.type, vars(owners[-1]), _namespace(owners[-1].__module__))
    default: Any = REQUIRED if field.default is dataclasses.MISSING else field.default
    if field.default_factory is not dataclasses.MISSING:
        default = attrs.Factory(field.default_factory)
    return _option(field.name, kind, default, field.metadata)


def _option(name: str, kind: Any, default: Any, metadata: Mapping[Any, Any]) -> Option:
    secret = bool(metadata.get("secret", _SECRET.search(name)))
    return Option(name, kind, default, metadata.get("help", ""), secret)


def _namespace(module: str) -> dict[str, Any]:
    return vars(sys.modules[module]) if module in sys.modules else {}


def _parameter_type(function: Any, parameter: inspect.Parameter) -> Any:
    if parameter.annotation is parameter.empty:
        return Any
    return _resolved(parameter.annotation, {}, getattr(function, "__globals__", {}))


def _resolved(annotation: Any, outer: Mapping[str, Any], inner: Mapping[str, Any]) -> Any:
    """The annotation without forward references; `Any` when a name in it cannot be found.

    The module's names are the inner ones: a field `date: date | None` must not find itself in its class.
    """
    holder = type("Holder", (), {"__annotations__": {"option": annotation}})
    try:
        return typing.get_type_hints(holder, dict(outer), dict(inner), include_extras=True)["option"]
    except Exception:  # noqa: BLE001 - an annotation is code of others, and may fail in any way
        return Any


def _with_input(kind: Any, converter: Any) -> Any:
    """The type of a field, joined with what its converter takes when it is annotated with that."""
    function: Any = converter.converter if hasattr(converter, "takes_self") else converter
    if function is None:
        return kind
    try:
        parameter = next(iter(inspect.signature(function).parameters.values()))
    except (ValueError, TypeError, StopIteration):
        return kind
    if parameter.annotation is parameter.empty or parameter.kind is parameter.VAR_POSITIONAL:
        return kind
    taken = _parameter_type(function.__init__ if inspect.isclass(function) else function, parameter)
    return taken if kind is Any else typing.Union[kind, taken]  # noqa: UP007 - not every annotation has `|`


# --- from values to an instance ----------------------------------------------------------------------

_Found = dict[str, list[Problem]]


def _error(where: str, found: list[Problem]) -> ConfigurationError:
    lines = [str(problem) for problem in found]
    if len(lines) == 1:
        return ConfigurationError(lines[0])
    return ConfigurationError("\n  ".join([f"{where}: {len(lines)} problems", *lines]))


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


def _nested(conversion: Conversion, kind: type, table: Mapping[str, Any], path: str) -> Any:
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
        conversion = Conversion(_nested, dry=dry, secret=secret or option.secret)
        value = conversion.read(option.type, values[name], path)
        if conversion.found:
            found[name] = conversion.found
        else:
            given[name] = value
    for key in values:
        if key not in options:
            hint = did_you_mean(str(key), options) if options else f"{plugin_class.__name__} has no options"
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
    fields = [field for field in _attrs_fields(plugin_class) or () if field.init]
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
        if value is not attrs.NOTHING and not isinstance(value, _FACTORY):
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

_GREEDY = (str, bytes, abc.Callable)
_DATES = (dt.datetime, dt.date, dt.time)
_TEXT_HINTS: dict[Any, str] = {
    bool: "write true or false",
    **dict.fromkeys(_DATES, "write it as in TOML"),
    **dict.fromkeys(CONTAINERS, "write it as in TOML or JSON"),
}


def _origin(annotation: Any) -> Any:
    kind = bare(annotation)
    return typing.get_origin(kind) or kind


def _readings(annotation: Any, text: str) -> list[tuple[Any, Any]]:
    """What the text may mean, best first: pairs of a type and a value to check against it."""
    kind, origin = bare(annotation), _origin(annotation)
    if origin not in UNIONS:
        return [(kind, value) for value in _values(kind, origin, text)]
    members = typing.get_args(kind)
    ranked = sorted(members, key=lambda m: 0 if bare(m) is types.NoneType else 2 if _takes_any_text(m) else 1)
    return [reading for member in ranked for reading in _readings(member, text)]


def _takes_any_text(annotation: Any) -> bool:
    origin = _origin(annotation)
    return origin in _GREEDY or origin is Any or (isinstance(origin, type) and issubclass(origin, PurePath))


def _values(kind: Any, origin: Any, text: str) -> list[Any]:
    if origin is types.NoneType:
        return [None] if text.strip().lower() == "none" else []
    if origin in (bool, int, float, dt.timedelta):
        try:
            return [scalar_from_text(float if origin is dt.timedelta else origin, text)]
        except ValueError:
            return []
    if origin is Literal or (isinstance(origin, type) and issubclass(origin, enum.Enum)):
        return [choice_texts(typing.get_args(kind) or list(kind)).get(text, text)]
    if origin is not Any and _takes_any_text(origin):
        return [text]
    only_fragment = origin in _DATES or origin in CONTAINERS or is_table_class(origin)
    return _fragment(text) + ([] if only_fragment else [text])


def _fragment(text: str) -> list[Any]:
    """The value of a TOML or JSON fragment, in a list; an empty list when it is neither."""
    import tomllib  # noqa: PLC0415 - only where options come as text

    try:
        table = tomllib.loads(f"value = {text.strip()}")
    except ValueError:
        table = {}
    if table.keys() == {"value"}:
        return [table["value"]]
    try:
        return [json.loads(text)]
    except ValueError:
        return []
