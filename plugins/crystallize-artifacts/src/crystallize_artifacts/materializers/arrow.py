"""Tables of Arrow, and frames and series of polars, in the format of Arrow files."""

from __future__ import annotations

import io
from typing import Any

from crystallize_artifacts.materializers.base import UnsuitableError, check_exact, is_exactly, library

__all__ = ["ArrowTable", "PolarsFrame", "PolarsSeries"]


class ArrowTable:
    """A table of Arrow with its schema, metadata and chunks."""

    id = "arrow.ipc"
    suffix = ".arrow"
    executes_code = False
    libraries = ("pyarrow",)

    def handles(self, value: object) -> bool:
        """Tables; a single batch of rows is another type and left to others."""
        return is_exactly(value, "pyarrow", "Table")

    def dump(self, value: Any) -> bytes:
        """The table."""
        arrow = library("pyarrow")
        sink = arrow.BufferOutputStream()
        with arrow.ipc.new_file(sink, value.schema) as writer:
            writer.write_table(value)
        content: bytes = sink.getvalue().to_pybytes()
        return content

    def load(self, content: bytes) -> Any:
        """The table."""
        return library("pyarrow").ipc.open_file(content).read_all()


class PolarsFrame:
    """A frame of polars."""

    id = "polars.ipc"
    suffix = ".arrow"
    executes_code = False
    libraries = ("polars",)

    def handles(self, value: object) -> bool:
        """Frames; a lazy one is a plan, which polars cannot store without running it."""
        return is_exactly(value, "polars", "DataFrame")

    def dump(self, value: Any) -> bytes:
        """The frame, if it is read back exactly."""
        content = _written(value)
        check_exact(value, self.load, content)
        return content

    def load(self, content: bytes) -> Any:
        """The frame."""
        return library("polars").read_ipc(io.BytesIO(content))


class PolarsSeries:
    """A series of polars, as the only column of a frame."""

    id = "polars.series"
    suffix = ".arrow"
    executes_code = False
    libraries = ("polars",)

    def handles(self, value: object) -> bool:
        """Series."""
        return is_exactly(value, "polars", "Series")

    def dump(self, value: Any) -> bytes:
        """The series, if it is read back exactly."""
        content = _written(value.to_frame())
        check_exact(value, self.load, content)
        return content

    def load(self, content: bytes) -> Any:
        """The series."""
        return library("polars").read_ipc(io.BytesIO(content)).to_series()


def _written(frame: Any) -> bytes:
    buffer = io.BytesIO()
    try:
        frame.write_ipc(buffer)
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # polars' own is no Exception
            raise
        message = f"Arrow cannot hold this {type(frame).__qualname__}: {error}"
        raise UnsuitableError(message) from error
    return buffer.getvalue()
