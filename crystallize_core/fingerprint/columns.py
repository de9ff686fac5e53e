"""Encoders for the columns of tables: pandas, polars and Arrow.

Numbers, times, booleans and texts are read from flat memory: where values are missing, the values with something neutral
in their place, and for texts their lengths and all of them in one piece. How a column is divided into chunks, what lies
below a missing value, and which other libraries are there does not matter. Everything else is encoded value by value.
"""

from __future__ import annotations

import array
import importlib
import itertools
from typing import TYPE_CHECKING, Any, Final, Literal

from crystallize_core.fingerprint.encoding import Encoder, flat, head, text, type_name

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["COLUMNS"]


def _column(name: str, kind: str, *parts: bytes) -> bytes:
    return head(b"n", len(parts) + 2) + text(name) + text(kind) + b"".join(parts)


def _of_values(enc: Encoder, value: Any, values: Any) -> bytes:
    """For types without flat memory."""
    return _column(type_name(type(value)), str(value.dtype if hasattr(value, "dtype") else value.type), enc(values))


# --- arrow -----------------------------------------------------------------------------------------------------------


def _arrow_array(enc: Encoder, value: Any) -> bytes:
    # An array in one piece and one in chunks are different types, as a list and a tuple are.
    parts = _arrow_parts(value)
    if parts is None:
        return _of_values(enc, value, value.to_pylist())
    name = "pyarrow.lib.ChunkedArray" if hasattr(value, "num_chunks") else "pyarrow.lib.Array"
    return _column(name, str(value.type), *parts)


def _arrow_parts(value: Any) -> list[bytes] | None:
    """Where values are missing, and the values; None for a type that is not flat."""
    types = importlib.import_module("pyarrow.types")
    chunks = [chunk for chunk in (value.chunks if hasattr(value, "num_chunks") else [value]) if len(chunk)]
    missing = [flat(_numbers(chunk.is_null(), "uint8") for chunk in chunks)] if value.null_count else []
    if types.is_boolean(value.type):
        return [*missing, flat(_numbers(chunk, "uint8") for chunk in chunks)]
    if types.is_primitive(value.type) and value.type.bit_width in _INTEGERS:
        kind = _INTEGERS[value.type.bit_width]
        return [*missing, flat(_numbers(chunk.view(kind), kind) for chunk in chunks)]
    offsets = _offsets(types, value.type)
    return [*missing, *_arrow_texts(chunks, offsets)] if offsets else None


_INTEGERS: Final = {8: "int8", 16: "int16", 32: "int32", 64: "int64"}


def _offsets(types: Any, kind: Any) -> Literal["i", "q"] | None:
    """The format of the offsets of texts; None for other types."""
    if types.is_string(kind) or types.is_binary(kind):
        return "i"
    return "q" if types.is_large_string(kind) or types.is_large_binary(kind) else None


def _numbers(chunk: Any, kind: str) -> memoryview:
    """The memory of a chunk of numbers, with 0 where they are missing."""
    chunk = chunk.cast(kind) if str(chunk.type) == "bool" else chunk
    chunk = chunk.fill_null(0) if chunk.null_count else chunk
    width = chunk.type.bit_width // 8
    return memoryview(chunk.buffers()[1]).cast("B")[chunk.offset * width : (chunk.offset + len(chunk)) * width]


def _arrow_texts(chunks: list[Any], offsets: Literal["i", "q"]) -> tuple[bytes, bytes]:
    lengths, texts = [], []
    compute = importlib.import_module("pyarrow.compute")
    for chunk in chunks:
        filled = chunk.fill_null("" if "string" in str(chunk.type) else b"") if chunk.null_count else chunk
        length = compute.binary_length(filled)
        lengths.append(_numbers(length, str(length.type)))
        places = memoryview(filled.buffers()[1]).cast("B").cast(offsets)
        start, end = places[filled.offset], places[filled.offset + len(filled)]
        if end > start:
            texts.append(memoryview(filled.buffers()[2]).cast("B")[start:end])
    return flat(lengths), flat(texts)


# --- polars ----------------------------------------------------------------------------------------------------------

_POLARS_NUMBERS: Final = {
    "Int8": "b", "Int16": "h", "Int32": "i", "Int64": "q", "UInt8": "B", "UInt16": "H", "UInt32": "I", "UInt64": "Q",
    "Float32": "f", "Float64": "d",
}  # fmt: skip
_POLARS_TIMES: Final = frozenset({"Date", "Datetime", "Duration", "Time"})


def _polars_series(enc: Encoder, value: Any) -> bytes:
    kind = str(value.dtype)
    parts = _polars_parts(value, kind.partition("(")[0])
    values = [enc(value.to_list())] if parts is None else parts
    return _column("polars.Series", kind, enc(value.name), *values)


def _polars_parts(value: Any, kind: str) -> list[bytes] | None:
    polars = importlib.import_module("polars")
    missing = [_polars_numbers(value.is_null().cast(polars.UInt8))] if value.null_count() else []
    if kind in {"String", "Categorical", "Enum"}:  # the numbers of categories depend on what was made before
        texts = value.cast(polars.String).fill_null("")
        return [*missing, _polars_numbers(texts.str.len_bytes()), flat([texts.str.join("").item().encode()])]
    if kind in _POLARS_TIMES:
        value = value.to_physical()
    elif kind == "Boolean":
        value = value.cast(polars.UInt8)
    if str(value.dtype) not in _POLARS_NUMBERS:
        return None
    return [*missing, _polars_numbers(value.fill_null(0) if missing else value)]


def _polars_numbers(value: Any) -> bytes:
    try:
        importlib.import_module("numpy")  # asked first, because polars panics instead of raising
    except ImportError:  # the same bytes, but slowly
        numbers: Any = array.array(_POLARS_NUMBERS[str(value.dtype)], value.to_list())
    else:
        numbers = value.to_numpy()
    return flat([memoryview(numbers).cast("B")] if len(numbers) else [])


# --- pandas ----------------------------------------------------------------------------------------------------------


def _pandas_masked(enc: Encoder, value: Any) -> bytes:
    kind = value.dtype.numpy_dtype
    return _column(
        "pandas.masked", str(value.dtype), enc(value.isna()), enc(value.to_numpy(kind, na_value=kind.type(0)))
    )


def _pandas_arrow(enc: Encoder, value: Any) -> bytes:
    return _column("pandas.arrow", str(value.dtype), enc(value.__arrow_array__()))


def _pandas_texts(_enc: Encoder, value: Any) -> bytes:
    """In the same way for those that pandas keeps itself and those that it leaves to Arrow."""
    if "Arrow" in type(value).__qualname__:
        parts = _arrow_parts(value.__arrow_array__().cast("large_string"))
        if parts is not None:
            missing = [] if len(parts) == 2 else parts[:1]  # noqa: PLR2004 - lengths and texts
            return _column("pandas.texts", str(value.dtype), *missing, *parts[-2:])
    missing = value.isna()
    given = itertools.repeat("", len(value)) if missing.all() else value.fillna("")
    texts = [str(item).encode("utf-8", "surrogatepass") for item in given]
    parts = [flat([missing.view("u1")])] if missing.any() else []
    lengths = memoryview(array.array("q", map(len, texts))).cast("B")
    return _column("pandas.texts", str(value.dtype), *parts, flat([lengths]), flat([b"".join(texts)]))


COLUMNS: Final[dict[str, Callable[[Encoder, Any], bytes]]] = {
    "pyarrow.lib.Array": _arrow_array,
    "pyarrow.lib.ChunkedArray": _arrow_array,
    "polars.series.series.Series": _polars_series,
    "pandas.core.arrays.masked.BaseMaskedArray": _pandas_masked,
    "pandas.arrays.ArrowExtensionArray": _pandas_arrow,
    "pandas.core.arrays.arrow.array.ArrowExtensionArray": _pandas_arrow,
    "pandas.arrays.ArrowStringArray": _pandas_texts,
    "pandas.core.arrays.string_arrow.ArrowStringArray": _pandas_texts,
    "pandas.core.arrays.string_.BaseStringArray": _pandas_texts,
    "pandas.core.arrays.string_.StringArray": _pandas_texts,
}
