"""What a materializer is, and what the built-in ones share."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from crystallize_core import content_digest
from crystallize_core.errors import describe

__all__ = ["Materializer", "UnsuitableError", "check_exact", "is_exactly", "library"]


class UnsuitableError(TypeError):
    """A materializer that finds out on the way that it cannot keep a value exactly; the next one is asked."""


@runtime_checkable
class Materializer(Protocol):
    """Turns values of some types into bytes and back.

    Attributes:
        id: Names the format in what is stored, for ever: `numpy.npy`.
        suffix: The ending of the file: `.npy`.

    It may also have `format_version` (an int, default 1), which is stored and refused when it is newer than what is
    installed; `libraries`, the names of the packages whose versions are noted; and `executes_code`. A materializer that
    does not say `executes_code = False` is taken for one whose `load` can run code that is named in the file, as pickle
    does: what it writes is signed and read back only by the user who wrote it.

    """

    id: str
    suffix: str

    def handles(self, value: Any, /) -> bool:
        """Whether it is for this value, by its type alone; imports nothing."""
        ...

    def dump(self, value: Any, /) -> bytes:
        """The value as bytes, the same for equal values.

        Raises:
            UnsuitableError: This value cannot be kept exactly; the next materializer is asked.

        """
        ...

    def load(self, content: bytes, /) -> Any:
        """The value that `dump` was given."""
        ...


def is_exactly(value: object, module: str, *names: str) -> bool:
    """Whether the value is of one of these types, and of no subclass; the module is not imported for it."""
    found = sys.modules.get(module)
    kinds = (getattr(found, name, None) for name in names)  # it may be on its way of being imported
    return found is not None and any(type(value) is kind for kind in kinds)


def library(name: str, *, install: str | None = None) -> Any:
    """A module of another library.

    Args:
        name: The module.
        install: The name of its distribution, where that is another one.

    Raises:
        UnsuitableError: It is not installed.

    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = install or name.partition(".")[0]
        message = f"this needs {package}: pip install {package} ({error})"
        raise UnsuitableError(message) from error


def check_exact(value: object, load: Callable[[bytes], object], content: bytes) -> None:
    """Make sure that reading back gives the same content: types, order, names and all.

    Raises:
        UnsuitableError: It does not, or nobody can tell.

    """
    try:
        is_same = content_digest(load(content)) == content_digest(value)
    except Exception as error:
        message = f"it cannot be told whether this format keeps it exactly: {describe(error)}"
        raise UnsuitableError(message) from error
    if not is_same:
        message = f"this format does not keep a {type(value).__qualname__} of this content exactly"
        raise UnsuitableError(message)
