"""Values as JSON and back, without losing what they were.

JSON has numbers, text, lists and tables. Everything else that people record (tuples, bytes, NaN, arrays,
dates) is written as a table with one key that starts with `$`, and read back as what it was. What has
no such form is kept as `Opaque`: its type, its text and its digest, so that a result that was read back
still has the digest that it was written with.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import Any, Final

import attrs

from crystallize_core.errors import FingerprintError, safe_str
from crystallize_core.fingerprint import content_digest
from crystallize_core.imported import imported

__all__ = ["Opaque", "decode", "encode", "value_digest"]

_SIMPLE: Final = (bool, int, float, str)
LONGEST_INT: Final = 8192
"""Bits; Python refuses to write much longer numbers in decimal digits."""
LONGEST_TEXT: Final = 2000
"""Characters of the text that stands for an opaque value."""


@attrs.frozen
class Opaque:
    """Stands for a value that JSON cannot hold: what it was, not the thing itself."""

    type: str
    text: str
    digest: str


def value_digest(value: Any) -> Any:
    """What stands for `value` in the digest of a result: itself where it is simple, else a digest.

    A value has the same digest before it is written as JSON and after it was read back. One without stable
    content (a lock, a generator) counts by its type alone.
    """
    try:
        kept = _as_read_back(value)
    except RecursionError:
        kept = Opaque("", "", _own_digest(value))
    if isinstance(kept, Opaque):
        return ("$", kept.digest)
    return kept if kept is None or type(kept) in _SIMPLE else ("$", _own_digest(kept))


def _as_read_back(value: Any) -> Any:
    """The value as JSON gives it back, with nothing but the digest of what JSON cannot hold."""
    kind = type(value)
    if value is None or kind in _SIMPLE:
        return value
    if kind in (list, tuple, set, frozenset):
        return kind(_as_read_back(item) for item in value)
    if kind is dict:
        return {_as_read_back(key): _as_read_back(item) for key, item in value.items()}
    if kind is Opaque:
        return Opaque("", "", value.digest)
    number = _as_number(value)
    if number is not None:
        return number
    return value if _has_form(value) else Opaque("", "", _own_digest(value))


def _own_digest(value: Any) -> str:
    try:
        return content_digest(value)
    except FingerprintError:
        return content_digest(("no content", _type_name(value)))


def encode(value: Any) -> Any:
    """The JSON form of any value; never fails."""
    try:
        return _encode(value)
    except RecursionError:  # it contains itself, or is nested more deeply than JSON can be
        return _opaque(value)


def _encode(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if kind is int:
        return value if value.bit_length() < LONGEST_INT else {"$int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is list:
        return [_encode(item) for item in value]
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: _encode(item) for key, item in value.items()}
        return {"$dict": [[_encode(key), _encode(item)] for key, item in value.items()]}
    number = _as_number(value)
    return _encode(number) if number is not None else _encode_tagged(value)


def _as_number(value: Any) -> Any:
    """The plain number that a scalar of numpy is; None for everything else."""
    numpy = imported("numpy")
    if numpy is None or not isinstance(value, numpy.generic):
        return None
    number = value.item()
    return number if type(number) in (bool, int, float, complex) else None


def _has_form(value: Any) -> bool:
    """Whether a value that is neither simple nor a container is read back as exactly what it was."""
    kind = type(value)
    if kind in (dt.datetime, dt.time):
        try:  # what is text afterwards has no named time zone and no fold
            return content_digest(kind.fromisoformat(value.isoformat())) == content_digest(value)
        except (FingerprintError, ValueError):
            return False
    numpy = imported("numpy")
    if numpy is not None and kind is numpy.ndarray:
        return value.dtype.kind in "biufc"
    return kind in (bytes, complex, Decimal, Fraction, dt.date, dt.timedelta)


def _encode_tagged(value: Any) -> dict[str, Any]:
    kind = type(value)
    if kind is tuple:
        return {"$tuple": [_encode(item) for item in value]}
    if kind in (set, frozenset):
        return {f"${kind.__name__}": sorted((_encode(item) for item in value), key=repr)}
    if kind is Opaque:
        return {"$opaque": {"type": value.type, "text": value.text, "digest": value.digest}}
    return {f"${kind.__name__}": _FORMS[kind.__name__](value)} if _has_form(value) else _opaque(value)


_FORMS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "bytes": lambda value: base64.b64encode(value).decode(),
    "complex": lambda value: [_encode(value.real), _encode(value.imag)],
    "Decimal": str,
    "Fraction": str,
    "datetime": lambda value: value.isoformat(),
    "date": lambda value: value.isoformat(),
    "time": lambda value: value.isoformat(),
    "timedelta": lambda value: [value.days, value.seconds, value.microseconds],
    "ndarray": lambda value: {
        "dtype": value.dtype.str,
        "shape": list(value.shape),
        "data": base64.b64encode(value.tobytes()).decode(),
    },
}


def _opaque(value: Any) -> dict[str, Any]:
    digest = value_digest(value)[1]
    text = str(value) if isinstance(value, PurePath) else safe_str(value)
    return {"$opaque": {"type": _type_name(value), "text": text[:LONGEST_TEXT], "digest": digest}}


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def decode(value: Any) -> Any:
    """The value that `encode` wrote."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1:
        ((tag, body),) = value.items()
        if tag in _DECODERS:
            return _DECODERS[tag](body)
    return {key: decode(item) for key, item in value.items()}


def _decode_array(body: Mapping[str, Any]) -> Any:
    try:
        import numpy as np  # noqa: PLC0415 - only for results that hold arrays
    except ImportError:
        return Opaque("numpy.ndarray", f"array of shape {tuple(body['shape'])}; pip install numpy to read it", "")
    content = base64.b64decode(body["data"])
    return np.frombuffer(content, dtype=np.dtype(body["dtype"])).reshape(body["shape"]).copy()


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "$float": float,
    "$int": lambda body: int(body, 16),
    "$dict": lambda body: {decode(key): decode(item) for key, item in body},
    "$tuple": lambda body: tuple(decode(item) for item in body),
    "$set": lambda body: {decode(item) for item in body},
    "$frozenset": lambda body: frozenset(decode(item) for item in body),
    "$bytes": base64.b64decode,
    "$complex": lambda body: complex(decode(body[0]), decode(body[1])),
    "$Decimal": Decimal,
    "$Fraction": Fraction,
    "$datetime": dt.datetime.fromisoformat,
    "$date": dt.date.fromisoformat,
    "$time": dt.time.fromisoformat,
    "$timedelta": lambda body: dt.timedelta(*body),
    "$opaque": lambda body: Opaque(body["type"], body["text"], body["digest"]),
    "$ndarray": _decode_array,
}
