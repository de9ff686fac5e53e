"""Plain Python values as JSON that gives back exactly what was there.

JSON has numbers, text, lists and tables. Everything else is written as a table with one key that starts with `$`, and
read back by the table of forms below: no name in a file is ever looked up, and so no code can be run by one.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import pathlib
import uuid
import zoneinfo
from collections import OrderedDict
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from crystallize_artifacts.materializers.arrays import dump_array, is_array, is_scalar, load_array
from crystallize_artifacts.materializers.base import UnsuitableError

__all__ = ["Plain", "decoded", "encoded"]

MOST_VALUES: Final = 20_000_000
"""Values that share parts can be endless when they are written out, a list that contains itself for one."""
_LONGEST_INT: Final = 8192
"""Bits; Python refuses to write much longer numbers in decimal digits."""


class Plain:
    """None, numbers, text, dates, paths and containers of these, as tagged JSON."""

    id = "plain.json"
    suffix = ".json"
    executes_code = False

    def handles(self, value: object) -> bool:
        """The types of the forms below; what is inside is found out on the way."""
        kind = type(value)
        return kind in _JSON or kind in _FORMS or is_scalar(value)

    def dump(self, value: object) -> bytes:
        """The value as JSON."""
        return (json.dumps(encoded(value), separators=(",", ":"), allow_nan=False) + "\n").encode()

    def load(self, content: bytes) -> Any:
        """The value."""
        return decoded(json.loads(content))


def encoded(value: object) -> Any:
    """What stands for a plain value in JSON.

    Raises:
        UnsuitableError: It is, or contains, something of another type; it contains itself; or it is too large.

    """
    try:
        return _Encoder()(value)
    except RecursionError as error:
        message = "it contains itself, or is nested more deeply than JSON can be"
        raise UnsuitableError(message) from error


def decoded(value: Any) -> Any:
    """The plain value that `encoded` wrote.

    Raises:
        ValueError: It wrote something else.

    """
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((tag, body),) = value.items()
        if tag.startswith("$"):
            if tag not in _READERS:
                message = f"{tag[:40]!r} is no form of a plain value"
                raise ValueError(message)
            return _READERS[tag](body)
    return {key: decoded(item) for key, item in value.items()}


class _Encoder:
    """Encodes one value, and counts what it has seen."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, value: Any) -> Any:
        self._count += 1
        if self._count > MOST_VALUES:
            message = f"it has more than {MOST_VALUES} parts"
            raise UnsuitableError(message)
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is int:
            return value if value.bit_length() < _LONGEST_INT else {"$int": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if kind is list:
            return [self(item) for item in value]
        if kind is dict and all(type(key) is str and not key.startswith("$") for key in value):
            return {key: self(item) for key, item in value.items()}
        if is_array(value) or is_scalar(value):
            tag = "$array" if is_array(value) else "$scalar"
            return {tag: base64.b64encode(dump_array(value)).decode()}
        if kind not in _FORMS:
            message = f"a {kind.__module__}.{kind.__qualname__} is no plain value"
            raise UnsuitableError(message)
        return {f"${kind.__name__}": _FORMS[kind](self, value)}


# --- forms -------------------------------------------------------------------------------------------------------


def _pairs(encode: _Encoder, value: Mapping[Any, Any]) -> list[Any]:
    return [[encode(key), encode(item)] for key, item in value.items()]


def _members(encode: _Encoder, value: Any) -> list[Any]:
    # Sets have no order of their own, and the order in which they happen to come differs between processes.
    return sorted((encode(item) for item in value), key=json.dumps)


def _moment(encode: _Encoder, value: Any) -> list[Any]:
    return [value.replace(tzinfo=None).isoformat(), value.fold, _zone(encode, value.tzinfo)]


def _zone(encode: _Encoder, zone: dt.tzinfo | None) -> Any:
    if zone is None:
        return None
    if type(zone) is dt.timezone:
        offset = encode(zone.utcoffset(None))
        named = zone.tzname(None) != dt.timezone(zone.utcoffset(None)).tzname(None)
        return [offset, zone.tzname(None)] if named else [offset]
    if type(zone) is zoneinfo.ZoneInfo and zone.key is not None:
        return zone.key
    message = f"a time zone of type {type(zone).__qualname__} cannot be written"
    raise UnsuitableError(message)


def _float_text(value: float) -> str:
    return value.hex() if math.isfinite(value) else repr(value)


def _float_of(text: str) -> float:
    return float.fromhex(text)


def _zone_of(body: Any) -> dt.tzinfo | None:
    if body is None:
        return None
    if isinstance(body, str):
        return zoneinfo.ZoneInfo(body)
    return dt.timezone(decoded(body[0]), *body[1:])


def _path_text(_encode: _Encoder, value: pathlib.PurePath) -> str:
    return str(value)


_JSON: Final = frozenset({type(None), bool, int, float, str, list, dict})

_FORMS: Final[dict[type, Callable[[_Encoder, Any], Any]]] = {
    dict: _pairs,
    OrderedDict: _pairs,
    tuple: lambda encode, value: [encode(item) for item in value],
    set: _members,
    frozenset: _members,
    complex: lambda _, value: [_float_text(value.real), _float_text(value.imag)],
    bytes: lambda _, value: base64.b64encode(value).decode(),
    bytearray: lambda _, value: base64.b64encode(value).decode(),
    range: lambda encode, value: [encode(value.start), encode(value.stop), encode(value.step)],
    slice: lambda encode, value: [encode(value.start), encode(value.stop), encode(value.step)],
    Decimal: lambda _, value: str(value),
    Fraction: lambda encode, value: [encode(value.numerator), encode(value.denominator)],
    uuid.UUID: lambda _, value: value.hex,
    dt.datetime: _moment,
    dt.time: _moment,
    dt.date: lambda _, value: value.isoformat(),
    dt.timedelta: lambda _, value: [value.days, value.seconds, value.microseconds],
    pathlib.PurePosixPath: _path_text,
    pathlib.PureWindowsPath: _path_text,
    pathlib.PosixPath: _path_text,
    pathlib.WindowsPath: _path_text,
    type(Ellipsis): lambda _encode, _value: None,
}

_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "$int": lambda body: int(body, 16),
    "$float": float,
    "$dict": lambda body: {decoded(key): decoded(item) for key, item in body},
    "$OrderedDict": lambda body: OrderedDict((decoded(key), decoded(item)) for key, item in body),
    "$tuple": lambda body: tuple(decoded(item) for item in body),
    "$set": lambda body: {decoded(item) for item in body},
    "$frozenset": lambda body: frozenset(decoded(item) for item in body),
    "$complex": lambda body: complex(_float_of(body[0]), _float_of(body[1])),
    "$bytes": lambda body: base64.b64decode(body, validate=True),
    "$bytearray": lambda body: bytearray(base64.b64decode(body, validate=True)),
    "$range": lambda body: range(*map(decoded, body)),
    "$slice": lambda body: slice(*map(decoded, body)),
    "$Decimal": Decimal,
    "$Fraction": lambda body: Fraction(*map(decoded, body)),
    "$UUID": lambda body: uuid.UUID(hex=body),
    "$datetime": lambda body: dt.datetime.fromisoformat(body[0]).replace(fold=body[1], tzinfo=_zone_of(body[2])),
    "$time": lambda body: dt.time.fromisoformat(body[0]).replace(fold=body[1], tzinfo=_zone_of(body[2])),
    "$date": dt.date.fromisoformat,
    "$timedelta": lambda body: dt.timedelta(*body),
    "$PurePosixPath": pathlib.PurePosixPath,
    "$PureWindowsPath": pathlib.PureWindowsPath,
    # Of a path that another system wrote the text is what matters.
    "$PosixPath": pathlib.Path,
    "$WindowsPath": pathlib.Path,
    "$ellipsis": lambda _: ...,
    "$array": lambda body: load_array(base64.b64decode(body, validate=True)),
    "$scalar": lambda body: load_array(base64.b64decode(body, validate=True))[()],
}
