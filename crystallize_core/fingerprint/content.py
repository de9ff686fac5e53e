"""The digest of a value by what it contains: builtin types, the standard library, and the two public functions.

Two values have the same digest if they are equal and of the same type, in whatever process, order of insertion or
memory. `1`, `1.0`, `True` and `"1"` differ, `0.0` and `-0.0` differ, and every NaN is the same. Text of the kind `repr`
gives is never used: it holds addresses, rounds numbers and shortens arrays.
"""

from __future__ import annotations

import datetime
import enum
import random
import struct
import types
import uuid
import weakref
from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.errors import FingerprintError
from crystallize_core.fingerprint.columns import COLUMNS
from crystallize_core.fingerprint.encoding import (
    BY_NAME,
    BY_TYPE,
    EXACT,
    LEAVES,
    REGISTERED,
    SHORT_FLAT,
    Blocked,
    Encoder,
    forget_dispatch,
    hashed,
    hasher,
    head,
    text,
)
from crystallize_core.fingerprint.foreign import HANDLERS
from crystallize_core.fingerprint.objects import CODE_TYPES, encode_object, sorted_for_labels

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["content_digest", "register_hasher"]


def content_digest(value: Any) -> str:
    """The digest of a value: 64 hexadecimal digits.

    Functions, classes and modules inside the value count by their code; other objects by the name of their class and
    their state, as pickle would save it. Numpy arrays and the like are read from their memory, at the speed of the hash.

    Raises:
        FingerprintError: Something inside the value (a lock, an open file, a generator) has no content to digest.

    """
    whole = hasher()
    try:
        whole.update(Encoder()(value))
    except Blocked as blocked:
        raise _refusal(blocked) from blocked.__cause__
    except RecursionError:
        raise FingerprintError(
            f"value of type {type(value).__qualname__!r} is nested too deeply for a digest: give a class in it a "
            "__crystallize_digest__() that does not follow the nesting, or raise sys.setrecursionlimit()"
        ) from None
    return whole.hexdigest()


def _refusal(blocked: Blocked) -> FingerprintError:
    where = "value" + "".join(reversed(blocked.path))
    kind = f"{blocked.kind.__module__}.{blocked.kind.__qualname__}"
    return FingerprintError(
        f"{where} of type {kind!r} has no stable digest: {blocked.reason}. "
        f"Say what counts with register_hasher({kind!r}, function) or with a method __crystallize_digest__() of the class"
    )


def register_hasher(kind: type | str, function: Callable[[Any, Callable[[Any], None]], None]) -> Callable[[], None]:
    """Decide what counts in the values of a type, and of the types derived from it.

    Args:
        kind: The type, or its name "module.Qualname" so that its module need not be imported.
        function: Called with the value and with `update`; every argument it gives to `update`, of any type that has a
            digest itself, becomes part of the digest, in that order.

    Returns:
        A function that takes the registration back.

    """

    def encode(enc: Encoder, value: Any) -> bytes:
        parts = [enc.kind(type(value))]
        function(value, lambda part: parts.append(enc(part)))
        return head(b"h", len(parts)) + b"".join(parts)

    before = REGISTERED.get(kind)
    REGISTERED[kind] = encode
    forget_dispatch()

    def undo() -> None:
        if REGISTERED.get(kind) is not encode:  # somebody else registered the type since
            return
        if before is None:
            del REGISTERED[kind]
        else:
            REGISTERED[kind] = before
        forget_dispatch()

    return undo


# --- scalars ---------------------------------------------------------------------------------------------------------

_INT: Final = struct.Struct(">cq").pack
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_FLOAT: Final = struct.Struct(">cd").pack
_NAN: Final = _FLOAT(b"f", float("nan"))


def _int(value: int) -> bytes:
    if _LEAST <= value <= _MOST:
        return _INT(b"i", value)
    return _long(b"I", value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _float(value: float) -> bytes:
    return _FLOAT(b"f", value) if value == value else _NAN  # noqa: PLR0124 - only NaN differs from itself


def _long(tag: bytes, data: bytes | bytearray | memoryview) -> bytes:
    start, size = head(tag, len(data)), len(data)
    return start + data if size <= SHORT_FLAT else hashed([start, data], size)


def _named(name: str, *fields: bytes) -> bytes:
    return head(b"n", len(fields) + 1) + text(name) + b"".join(fields)


def _timedelta(value: datetime.timedelta) -> bytes:
    return _named("timedelta", _int(value.days), _int(value.seconds), _int(value.microseconds))


def _decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    return _named("Decimal", _int(sign), text("".join(map(str, digits))), text(str(exponent)))


LEAVES.update(
    {
        type(None): lambda _: b"N",
        bool: lambda value: b"T" if value else b"F",
        int: _int,
        float: _float,
        complex: lambda value: head(b"c", 2) + _float(value.real) + _float(value.imag),
        str: text,
        bytes: lambda value: _long(b"b", value),
        bytearray: lambda value: _long(b"a", value),
        types.EllipsisType: lambda _: b"E",
        types.NotImplementedType: lambda _: b"X",
        Decimal: _decimal,
        Fraction: lambda value: _named("Fraction", _int(value.numerator), _int(value.denominator)),
        uuid.UUID: lambda value: _named("UUID", _int(value.int)),
        datetime.date: lambda value: _named("date", text(value.isoformat())),
        datetime.timedelta: _timedelta,
    }
)


# --- containers and objects ------------------------------------------------------------------------------------------


def _datetime(enc: Encoder, value: datetime.datetime | datetime.time) -> bytes:
    name = "datetime" if isinstance(value, datetime.datetime) else "time"
    return _named(name, text(value.replace(tzinfo=None).isoformat()), _int(value.fold), enc(value.tzinfo))


def _memoryview(enc: Encoder, value: memoryview) -> bytes:
    shape = enc.sequence(b"t", value.shape or (), len(value.shape or ()))
    data = value.cast("B") if value.c_contiguous and value.nbytes else value.tobytes()
    return _named("memoryview", text(value.format), shape, _long(b"b", data))


def _range(enc: Encoder, value: range) -> bytes:
    # Ranges are equal if they give the same numbers, whatever their ends.
    start, step = (value.start if value else None), (value.step if len(value) > 1 else None)
    return _named("range", _int(len(value)), enc(start), enc(step))


def _slice(enc: Encoder, value: slice) -> bytes:
    return _named("slice", enc(value.start), enc(value.stop), enc(value.step))


def _set(enc: Encoder, value: Any, tag: bytes = b"S") -> bytes:
    encoded = []
    try:
        for item in sorted_for_labels(value, enc):
            encoded.append(enc(item))  # noqa: PERF401 - the error inside must be told where it happened
    except Blocked as blocked:
        blocked.within("{...}")
        raise
    return head(tag, len(encoded)) + b"".join(sorted(encoded))


def _set_subclass(enc: Encoder, value: Any) -> bytes:
    # Not by the general rule for objects: sets are pickled in the order of their hashes.
    state = getattr(value, "__dict__", {})
    return head(b"U", 3) + enc.kind(type(value)) + _set(enc, value) + enc.mapping(b"d", state.items(), ".{}")


def _enum(enc: Encoder, value: enum.Enum) -> bytes:
    return head(b"e", 3) + enc.kind(type(value)) + enc(value.name) + enc(value.value)


def _exception(enc: Encoder, value: BaseException) -> bytes:
    state = {name: item for name, item in vars(value).items() if name != "__notes__"}
    return head(b"x", 3) + enc.kind(type(value)) + enc(value.args) + enc.mapping(b"d", state.items(), ".{}")


def _random(enc: Encoder, value: random.Random) -> bytes:
    try:
        state = value.getstate()
    except NotImplementedError as error:
        raise Blocked(type(value), "it draws from the operating system and has no state") from error
    return head(b"R", 2) + enc.kind(type(value)) + enc(state)


def _code(enc: Encoder, value: Any) -> bytes:
    if enc.walk is not None:
        return head(b"C", 1) + text(enc.walk.refer(value))
    from crystallize_core.fingerprint.code import code_digest  # noqa: PLC0415 - the walk itself needs this module

    return head(b"C", 1) + text(code_digest(value))


def _weak(_enc: Encoder, value: Any) -> bytes:
    raise Blocked(type(value), "what it holds may vanish at any time")


EXACT.update(
    {
        list: lambda enc, value: enc.sequence(b"l", value, len(value)),
        tuple: lambda enc, value: enc.sequence(b"t", value, len(value)),
        dict: lambda enc, value: enc.mapping(b"d", value.items()),
        set: _set,
        frozenset: lambda enc, value: _set(enc, value, b"Z"),
        OrderedDict: lambda enc, value: enc.sequence(b"o", value.items(), len(value)),
        types.MappingProxyType: lambda enc, value: _named("mappingproxy", enc.mapping(b"d", value.items())),
        types.SimpleNamespace: lambda enc, value: _named("namespace", enc.mapping(b"d", vars(value).items(), ".{}")),
        type({}.keys()): lambda enc, value: _named("dict_keys", _set(enc, value)),
        type({}.values()): lambda enc, value: _named("dict_values", enc.sequence(b"l", value, len(value))),
        type({}.items()): lambda enc, value: _named("dict_items", enc.mapping(b"d", value)),
        memoryview: _memoryview,
        range: _range,
        slice: _slice,
        datetime.datetime: _datetime,
        datetime.time: _datetime,
    }
)
BY_TYPE.update(
    {
        PurePath: lambda _, value: _named("path", text(str(value))),
        enum.Enum: _enum,
        BaseException: _exception,
        random.Random: _random,
        set: _set_subclass,
        frozenset: _set_subclass,
        object: encode_object,
        weakref.WeakKeyDictionary: _weak,
        weakref.WeakValueDictionary: _weak,
        weakref.WeakSet: _weak,
    }
)
BY_TYPE.update(dict.fromkeys(CODE_TYPES, _code))
BY_NAME.update(HANDLERS)
BY_NAME.update(COLUMNS)
forget_dispatch()
