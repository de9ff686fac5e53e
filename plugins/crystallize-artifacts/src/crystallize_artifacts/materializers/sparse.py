"""Sparse arrays and matrices of scipy."""

from __future__ import annotations

import io
from typing import Any, Final

from crystallize_artifacts.materializers.base import UnsuitableError, check_exact, library
from crystallize_artifacts.materializers.packing import packed, unpacked

__all__ = ["Sparse"]

_FORMATS: Final = frozenset({"bsr", "coo", "csc", "csr", "dia"})


class Sparse:
    """A sparse array or matrix in one of the formats that scipy writes: bsr, coo, csc, csr, dia."""

    id = "scipy.sparse"
    suffix = ".npz"
    executes_code = False
    libraries = ("scipy", "numpy")

    def handles(self, value: object) -> bool:
        """Scipy's own classes of these formats."""
        kind = type(value)
        return kind.__module__.startswith("scipy.sparse.") and kind.__name__.partition("_")[0] in _FORMATS

    def dump(self, value: Any) -> bytes:
        """The arrays that it is made of, if it is read back exactly."""
        buffer = io.BytesIO()
        try:
            library("scipy.sparse").save_npz(buffer, value, compressed=False)
        except (ValueError, NotImplementedError) as error:
            message = f"scipy cannot write this {type(value).__qualname__}: {error}"
            raise UnsuitableError(message) from error
        content = packed(unpacked(buffer.getvalue()))
        check_exact(value, self.load, content)
        return content

    def load(self, content: bytes) -> Any:
        """The array or matrix."""
        return library("scipy.sparse").load_npz(io.BytesIO(content))
