"""Which options a class declares: its attrs fields, or the parameters of its constructor.

Annotations are resolved as far as they can be; what cannot be resolved accepts anything.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import sys
import typing
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["FACTORY", "MASK", "REQUIRED", "SECRET", "Option", "attrs_fields", "declared", "options_of"]

SECRET = re.compile(r"password|secret|token|api_?key|credential", re.IGNORECASE)
MASK = "***"
FACTORY: type = type(attrs.Factory(list))


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
    return {option.name: option for option, _ in declared(plugin_class)}


def declared(plugin_class: type) -> Iterator[tuple[Option, str | None]]:
    """Each option with the attribute that holds its value; None when there is no such attribute."""
    fields = attrs_fields(plugin_class)
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


def attrs_fields(plugin_class: type) -> Sequence[attrs.Attribute[Any]] | None:
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
    secret = bool(metadata.get("secret", SECRET.search(name)))
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
