"""Encoders for the data types of other libraries, found by the name of the type so that nothing is imported here.

Arrays are hashed from their own memory, without a copy where it is contiguous. What has no simple memory (strings,
objects, extension types) is encoded element by element. The columns of tables are in `columns.py`.
"""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.fingerprint.encoding import Blocked, Encoder, hashed, head, text, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["HANDLERS"]

# Arrays that are not contiguous are copied in pieces of about this many bytes.
_PIECE: Final = 1 << 22

# dtype.kind of objects and of strings of variable length, whose memory holds pointers.
_POINTERS: Final = frozenset("OT")
_LONG_DOUBLES: Final = frozenset("gG")


def _fields(enc: Encoder, value: Any, *fields: Any) -> bytes:
    return head(b"n", len(fields) + 1) + enc.kind(type(value)) + b"".join(enc(field) for field in fields)


# --- numpy -----------------------------------------------------------------------------------------------------------


def _dtype_fields(dtype: Any) -> Any:
    """Names and types without the gaps between them: these say nothing about the values."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [_dtype_fields(base), shape]
    if dtype.names is not None:
        return [(name, _dtype_fields(dtype.fields[name][0])) for name in dtype.names]
    return dtype.str


def _dtype(enc: Encoder, value: Any) -> bytes:
    return head(b"n", 2) + text("numpy.dtype") + enc(_dtype_fields(value))


def _array(enc: Encoder, value: Any) -> bytes:
    # A memory-mapped array is the same value as the array itself.
    name = "numpy.ndarray" if type(value).__qualname__ in {"ndarray", "memmap"} else type_name(type(value))
    start = head(b"A", 3) + text(name) + _dtype(enc, value.dtype) + enc(tuple(value.shape))
    if value.dtype.names is not None:  # field by field: the bytes between the fields are arbitrary
        return start + b"".join(enc(value[field]) for field in value.dtype.names)
    if value.dtype.kind in _POINTERS:
        return start + enc.sequence(b"l", value.reshape(-1).tolist(), value.size, ".flat[{}]")
    return hashed(itertools.chain([start], _memory(value)), value.nbytes)


def _memory(value: Any) -> Iterator[Any]:
    """The bytes in C order: the memory itself if it lies so, else copies of a few rows at a time."""
    if value.nbytes == 0:
        return
    if value.dtype.char in _LONG_DOUBLES:
        yield _without_padding(value)
        return
    if value.flags.c_contiguous:
        yield value.reshape(-1).view("u1")
        return
    rows = max(1, _PIECE * len(value) // value.nbytes)
    for row in range(0, len(value), rows):
        yield value[row : row + rows].tobytes()


def _without_padding(value: Any) -> bytes:
    """The bytes of long doubles: of the extended format of x86 the first ten, since the others are arbitrary."""
    numpy = sys.modules["numpy"]
    plain = numpy.ascontiguousarray(value, value.dtype.newbyteorder("=")).reshape(-1)
    used = 10 if numpy.finfo(numpy.longdouble).nmant == 63 else None  # noqa: PLR2004 - bits of its mantissa
    data: bytes = plain.view("u1").reshape(-1, numpy.dtype("g").itemsize)[:, :used].tobytes()
    return data


def _masked_array(enc: Encoder, value: Any) -> bytes:
    mask = sys.modules["numpy"].ma.getmaskarray(value)  # of the full shape also where none was set
    return _fields(enc, value, value.filled(value.dtype.type()), mask, value.fill_value)


def _numpy_scalar(enc: Encoder, value: Any) -> bytes:
    if value.dtype.names is not None:
        return _fields(enc, value, value.dtype, *(value[field] for field in value.dtype.names))
    if value.dtype.kind == "O":
        raise Blocked(type(value), "it holds an object")
    if value != value:  # noqa: PLR0124 - only NaN
        return _fields(enc, value, value.dtype, b"NaN")
    data = _without_padding(value) if value.dtype.char in _LONG_DOUBLES else value.tobytes()
    return _fields(enc, value, value.dtype, data)


def _generator(enc: Encoder, value: Any) -> bytes:
    return _fields(enc, value, value.bit_generator)


def _bit_generator(enc: Encoder, value: Any) -> bytes:
    seeds = getattr(value, "seed_seq", None)  # the children that are spawned later depend on it
    return _fields(enc, value, value.state, getattr(seeds, "state", None))


def _random_state(enc: Encoder, value: Any) -> bytes:
    return _fields(enc, value, value.get_state(legacy=False))


# --- pandas ----------------------------------------------------------------------------------------------------------


def _frame(enc: Encoder, value: Any) -> bytes:
    columns = [value.iloc[:, place].array for place in range(value.shape[1])]
    return _fields(enc, value, value.columns, value.index, columns, value.attrs)


def _series(enc: Encoder, value: Any) -> bytes:
    return _fields(enc, value, value.name, value.index, value.array, value.attrs)


def _index(enc: Encoder, value: Any) -> bytes:
    levels = getattr(value, "levels", None)
    if levels is not None:  # how the values are divided into levels and codes does not matter
        return _fields(enc, value, list(value.names), [value.get_level_values(i).array for i in range(len(levels))])
    return _fields(enc, value, value.name, getattr(value, "freqstr", None), value.array)


def _range_index(enc: Encoder, value: Any) -> bytes:
    return _fields(enc, value, value.name, range(value.start, value.stop, value.step))


def _extension_array(enc: Encoder, value: Any) -> bytes:
    kind = str(value.dtype)
    if hasattr(value, "codes") and hasattr(value, "categories"):
        return _fields(enc, value, kind, value.ordered, value.categories, value.codes)
    if hasattr(value, "asi8"):  # times and periods are integers below
        return _fields(enc, value, kind, value.asi8)
    return _fields(enc, value, kind, value.astype(object))


def _numpy_extension_array(enc: Encoder, value: Any) -> bytes:
    return _fields(enc, value, value.to_numpy())


# --- polars, arrow, scipy, torch, numba ------------------------------------------------------------------------------


def _polars_frame(enc: Encoder, value: Any) -> bytes:
    return _fields(enc, value, list(value.columns), value.height, value.get_columns())


def _arrow_table(enc: Encoder, value: Any) -> bytes:
    return _fields(enc, value, value.schema, value.num_rows, list(value.columns))


def _arrow_schema(enc: Encoder, value: Any) -> bytes:
    fields = [(field.name, str(field.type), field.nullable, field.metadata) for field in value]
    return _fields(enc, value, fields, value.metadata)


def _sparse(enc: Encoder, value: Any) -> bytes:
    kind = value.format
    if kind in {"dok", "lil"}:
        value = value.tocsr()
    names = ("data", "indices", "indptr", "row", "col", "coords", "offsets")
    parts = {name: getattr(value, name) for name in names if hasattr(value, name)}
    return _fields(enc, value, kind, tuple(value.shape), parts)


def _tensor(enc: Encoder, value: Any) -> bytes:
    kind = (str(value.dtype), tuple(value.shape), value.requires_grad)
    plain = value.detach().cpu()
    if str(plain.layout) == "torch.sparse_coo":
        plain = plain.coalesce()
        return _fields(enc, value, kind, plain.indices(), plain.values())
    if str(plain.layout) != "torch.strided" or plain.is_quantized:
        raise Blocked(type(value), f"tensors of layout {plain.layout} are not known here")
    plain = plain.resolve_conj().resolve_neg().contiguous().flatten()
    data = plain.view(sys.modules["torch"].uint8).numpy()
    return hashed([_fields(enc, value, kind), data], data.nbytes)


def _torch_generator(enc: Encoder, value: Any) -> bytes:
    return _fields(enc, value, str(value.device), value.get_state())


def _numba_dispatcher(enc: Encoder, value: Any) -> bytes:
    return _fields(enc, value, value.py_func, value.targetoptions)


HANDLERS: Final[dict[str, Callable[[Encoder, Any], bytes]]] = {
    "numpy.ndarray": _array,
    "numpy.dtype": _dtype,
    "numpy.generic": _numpy_scalar,
    "numpy.ma.MaskedArray": _masked_array,
    "numpy.ma.core.MaskedArray": _masked_array,
    "numpy.random._generator.Generator": _generator,
    "numpy.random.bit_generator.BitGenerator": _bit_generator,
    "numpy.random.mtrand.RandomState": _random_state,
    "pandas.DataFrame": _frame,
    "pandas.core.frame.DataFrame": _frame,
    "pandas.Series": _series,
    "pandas.core.series.Series": _series,
    "pandas.Index": _index,
    "pandas.core.indexes.base.Index": _index,
    "pandas.RangeIndex": _range_index,
    "pandas.core.indexes.range.RangeIndex": _range_index,
    "pandas.api.extensions.ExtensionArray": _extension_array,
    "pandas.core.arrays.base.ExtensionArray": _extension_array,
    "pandas.arrays.NumpyExtensionArray": _numpy_extension_array,
    "pandas.core.arrays.numpy_.NumpyExtensionArray": _numpy_extension_array,
    "pandas.core.arrays.numpy_.PandasArray": _numpy_extension_array,
    "polars.dataframe.frame.DataFrame": _polars_frame,
    "pyarrow.lib.Table": _arrow_table,
    "pyarrow.lib.RecordBatch": _arrow_table,
    "pyarrow.lib.Schema": _arrow_schema,
    "scipy.sparse._base._spbase": _sparse,
    "scipy.sparse._base.spmatrix": _sparse,
    "torch.Tensor": _tensor,
    "torch._C.Generator": _torch_generator,
    "numba.core.dispatcher.Dispatcher": _numba_dispatcher,
}
