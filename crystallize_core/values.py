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
import sys
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import Any

import attrs

from crystallize_core.errors import FingerprintError, safe_str
from crystallize_core.fingerprint import content_digest

__all__ = ["Opaque", "decode", "encode", "value_digest"]

LONGEST_TEXT = 2000
"""Characters of the text that stands for an opaque value."""


@attrs.frozen
class Opaque:
    """Stands for a value that JSON cannot hold: what it was, not the thing itself."""

    type: str
    text: str
    digest: str


def value_digest(value: Any) -> Any:
    """What stands for `value` in the digest of a result: itself where it is simple, else a digest.

    A value without stable content (a lock, a generator) counts by its type alone.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Opaque):
        return ("$", value.digest)
    try:
        return ("$", content_digest(value))
    except FingerprintError:
        return ("$", content_digest(("no content", _type_name(value))))


def encode(value: Any) -> Any:
    """The JSON form of any value; never fails."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is list:
        return [encode(item) for item in value]
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: encode(item) for key, item in value.items()}
        return {"$dict": [[encode(key), encode(item)] for key, item in value.items()]}
    tagged = _encode_tagged(value)
    return tagged if tagged is not None else _opaque(value)


def _encode_tagged(value: Any) -> dict[str, Any] | None:  # noqa: PLR0911 - one line per type
    match value:
        case tuple() if type(value) is tuple:
            return {"$tuple": [encode(item) for item in value]}
        case set() | frozenset() if type(value) in (set, frozenset):
            return {f"${type(value).__name__}": sorted((encode(item) for item in value), key=repr)}
        case bytes() if type(value) is bytes:
            return {"$bytes": base64.b64encode(value).decode()}
        case complex() if type(value) is complex:
            return {"$complex": [encode(value.real), encode(value.imag)]}
        case Decimal() | Fraction() if type(value) in (Decimal, Fraction):
            return {f"${type(value).__name__}": str(value)}
        case dt.datetime() | dt.date() | dt.time() if type(value) in (dt.datetime, dt.date, dt.time):
            return {f"${type(value).__name__}": value.isoformat()}
        case dt.timedelta():
            return {"$timedelta": [value.days, value.seconds, value.microseconds]}
        case Opaque():
            return {"$opaque": {"type": value.type, "text": value.text, "digest": value.digest}}
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(value) is numpy.ndarray and value.dtype.kind in "biufc":
        content = base64.b64encode(value.tobytes()).decode()
        return {"$ndarray": {"dtype": value.dtype.str, "shape": list(value.shape), "data": content}}
    return None


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


_DECODERS = {
    "$float": float,
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
