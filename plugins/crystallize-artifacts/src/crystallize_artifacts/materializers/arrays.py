"""Arrays of numpy, one or several, in numpy's own formats without the pickles that these allow."""

from __future__ import annotations

import io
import json
import sys
from typing import Any, Final

from crystallize_artifacts.materializers.base import UnsuitableError, is_exactly, library
from crystallize_artifacts.materializers.packing import packed, unpacked

__all__ = ["Array", "Arrays", "dump_array", "is_array", "is_scalar", "load_array"]

_INDEX: Final = "index.json"
_KINDS: Final = {"dict": dict, "list": list, "tuple": tuple}


def is_array(value: object) -> bool:
    """Whether it is a plain array, and nothing derived from one."""
    return is_exactly(value, "numpy", "ndarray")


def is_scalar(value: object) -> bool:
    """Whether it is a single number, truth or date of numpy; its texts lose zeros at their end in arrays."""
    numpy = sys.modules.get("numpy")
    is_any = numpy is not None and isinstance(value, getattr(numpy, "generic", ()))
    return is_any and value.dtype.kind in "biufcmM"  # type: ignore[attr-defined]  # it has one


def dump_array(value: Any) -> bytes:
    """An array, or a scalar, in the format `.npy`.

    Raises:
        UnsuitableError: It holds objects, which that format keeps as pickles.

    """
    numpy = library("numpy")
    array = numpy.asarray(value)
    if array.dtype.hasobject:
        message = f"an array of dtype {array.dtype} holds Python objects"
        raise UnsuitableError(message)
    try:
        content = _written(numpy, array)
        if array.dtype.names is not None:  # reading refuses the longest of their headers
            load_array(content)
    except (ValueError, TypeError) as error:
        message = f"an array of dtype {array.dtype} cannot be written: {error}"
        raise UnsuitableError(message) from error
    return content


def load_array(content: bytes) -> Any:
    """The array that `dump_array` wrote."""
    return library("numpy").lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def _written(numpy: Any, array: Any) -> bytes:
    # The oldest version that can hold it; numpy would choose the same, and warn of the others.
    try:
        return _in_version(numpy, array, (1, 0))
    except ValueError:
        return _in_version(numpy, array, (3, 0))


def _in_version(numpy: Any, array: Any, version: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    numpy.lib.format.write_array(buffer, array, version=version, allow_pickle=False)
    return buffer.getvalue()


class Array:
    """One array of numbers, dates or text of numpy, as `.npy`."""

    id = "numpy.npy"
    suffix = ".npy"
    executes_code = False
    libraries = ("numpy",)

    def handles(self, value: object) -> bool:
        """Plain arrays."""
        return is_array(value)

    def dump(self, value: Any) -> bytes:
        """The array with its dtype, shape and order in memory."""
        return dump_array(value)

    def load(self, content: bytes) -> Any:
        """The array."""
        return load_array(content)


class Arrays:
    """Several arrays by name or by position, as `.npz`; `numpy.load` reads it too."""

    id = "numpy.npz"
    suffix = ".npz"
    executes_code = False
    libraries = ("numpy",)

    def handles(self, value: object) -> bool:
        """A dict, list or tuple of nothing but arrays, at least one."""
        if type(value) is dict:
            return bool(value) and all(type(key) is str and is_array(item) for key, item in value.items())
        return type(value) in (list, tuple) and bool(value) and all(map(is_array, value))  # type: ignore[call-overload]  # it is one of these

    def dump(self, value: Any) -> bytes:
        """The arrays under numbers, because their names need not be those of files, and an index."""
        arrays = list(value.values()) if type(value) is dict else list(value)
        index = {"kind": type(value).__name__, "keys": list(value) if type(value) is dict else None}
        parts = {f"{number}.npy": dump_array(array) for number, array in enumerate(arrays)}
        return packed({_INDEX: json.dumps(index).encode(), **parts})

    def load(self, content: bytes) -> Any:
        """The dict, list or tuple."""
        parts = unpacked(content)
        index = json.loads(parts.pop(_INDEX))
        arrays = [load_array(parts[f"{number}.npy"]) for number in range(len(parts))]
        if index["kind"] == "dict":
            return dict(zip(index["keys"], arrays, strict=True))
        return _KINDS[index["kind"]](arrays)
