"""Frames and series of pandas, as Parquet."""

from __future__ import annotations

import io
import json
from typing import Any, Final

from crystallize_artifacts.materializers.base import UnsuitableError, check_exact, is_exactly, library
from crystallize_artifacts.materializers.plain import decoded, encoded

__all__ = ["Frame", "Series"]

_NAME: Final = b"crystallize.name"
_AXES: Final = b"crystallize.axes"
_COLUMN: Final = "value"


class Frame:
    """A frame of pandas with its dtypes, index, names and attributes, as Parquet.

    What Parquet would change (mixed objects, columns of one name, exotic types) is left to the next materializer.
    """

    id = "pandas.parquet"
    suffix = ".parquet"
    executes_code = False
    libraries = ("pandas", "pyarrow")

    def handles(self, value: object) -> bool:
        """Plain frames; what derives from them knows more than Parquet keeps."""
        return is_exactly(value, "pandas", "DataFrame")

    def dump(self, value: Any) -> bytes:
        """The frame, if it is read back exactly."""
        content = _written(_table(value))
        check_exact(value, self.load, content)
        return content

    def load(self, content: bytes) -> Any:
        """The frame."""
        return _frame(_read(content))


class Series:
    """A series of pandas, as the only column of a Parquet file."""

    id = "pandas.series"
    suffix = ".parquet"
    executes_code = False
    libraries = ("pandas", "pyarrow")

    def handles(self, value: object) -> bool:
        """Plain series."""
        return is_exactly(value, "pandas", "Series")

    def dump(self, value: Any) -> bytes:
        """The series, if it is read back exactly; its name, which may be anything, beside it."""
        table = _table(value.to_frame(_COLUMN))
        name = json.dumps(encoded(value.name)).encode()
        content = _written(table.replace_schema_metadata({**table.schema.metadata, _NAME: name}))
        check_exact(value, self.load, content)
        return content

    def load(self, content: bytes) -> Any:
        """The series."""
        table = _read(content)
        series = _frame(table)[_COLUMN]
        series.name = decoded(json.loads(table.schema.metadata[_NAME]))
        return series


def _table(frame: Any) -> Any:
    arrow = library("pyarrow")
    if frame.columns.inferred_type.startswith("mixed"):  # Arrow would warn and then not keep them
        message = "its columns have names of several types"
        raise UnsuitableError(message)
    axes = {"columns": _as_range(frame.columns), "freq": getattr(frame.index, "freqstr", None)}
    try:
        # Parquet has only text for the names of columns; without this there would be a warning as well.
        table = arrow.Table.from_pandas(
            frame.set_axis(list(map(str, frame.columns)), axis=1) if axes["columns"] else frame
        )
    except Exception as error:
        message = f"Arrow cannot hold this {type(frame).__qualname__}: {error}"
        raise UnsuitableError(message) from error
    return table.replace_schema_metadata({**table.schema.metadata, _AXES: json.dumps(axes).encode()})


def _as_range(index: Any) -> list[int] | None:
    if not is_exactly(index, "pandas", "RangeIndex") or index.name is not None:
        return None
    return [index.start, index.stop, index.step]


def _frame(table: Any) -> Any:
    """The frame, with what Parquet does not know of its axes."""
    axes = json.loads(table.schema.metadata[_AXES])
    frame = table.to_pandas()
    if axes["columns"] is not None:
        frame.columns = library("pandas").RangeIndex(*axes["columns"])
    if axes["freq"] is not None and getattr(frame.index, "freqstr", None) is None:
        frame.index.freq = axes["freq"]
    return frame


def _written(table: Any) -> bytes:
    buffer = io.BytesIO()
    try:
        library("pyarrow.parquet").write_table(table, buffer)
    except Exception as error:
        message = f"Parquet cannot hold this table: {error}"
        raise UnsuitableError(message) from error
    return buffer.getvalue()


def _read(content: bytes) -> Any:
    return library("pyarrow.parquet").read_table(io.BytesIO(content))
