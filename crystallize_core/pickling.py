"""How things that live under a name of their module are pickled: by that name, or by value.

A decorated function cannot be pickled by its own name, because that name now means the decorated thing.
The decorated thing itself can, as long as the other process can import its module.
"""

from __future__ import annotations

import functools
import io
import sys
import types
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["MainByValue", "by_reference", "dumped_by_value"]

_main_by_value: Final[ContextVar[bool]] = ContextVar("main_by_value", default=False)
_registered: Final[ContextVar[frozenset[str]]] = ContextVar("registered", default=frozenset())
"""Modules and packages that the user has told cloudpickle to send by value, while it pickles."""


class MainByValue:
    """While this is open, what lives in `__main__` is pickled by value.

    For a process that cannot import our `__main__`: a script run under a pool that starts afresh, or a
    notebook. The pickler must be one that can send functions by value.
    """

    def __enter__(self) -> None:
        self._token = _main_by_value.set(True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        _main_by_value.reset(self._token)


def dumped_by_value(value: Any) -> bytes:
    """Pickled with whatever cannot be found by its name (lambdas, functions inside functions, notebooks) by value.

    So is what lives in a module that was given to `cloudpickle.register_pickle_by_value`.

    Raises:
        ImportError: cloudpickle is not installed.

    """
    import cloudpickle  # noqa: PLC0415 - comes with executors that need it; the core does without

    content = io.BytesIO()
    token = _registered.set(frozenset(cloudpickle.list_registry_pickle_by_value()))
    try:
        _pickler()(content).dump(value)
    finally:
        _registered.reset(token)
    return content.getvalue()


@functools.cache
def _pickler() -> Any:
    """The pickler of cloudpickle, but one that keeps the file names of functions.

    Since 3.1.3 it replaces them, so that the traceback of a function that failed in a worker has no lines, and its
    source cannot be found there.
    """
    import cloudpickle  # noqa: PLC0415 - comes with executors that need it; the core does without

    reduce_code = cloudpickle.Pickler.dispatch_table[types.CodeType]

    def with_file(code: types.CodeType) -> Any:
        make, arguments = reduce_code(code)
        return make, tuple(code.co_filename if argument == "<dynamic-code>" else argument for argument in arguments)

    table = {**cloudpickle.Pickler.dispatch_table, types.CodeType: with_file}
    return type("Pickler", (cloudpickle.Pickler,), {"dispatch_table": table})


def by_reference(item: Any) -> str | None:
    """The global name under which `item` is found again in its module; None if it is not there."""
    module_name = getattr(item, "__module__", None) or ""
    if module_name == "__main__" and _main_by_value.get():
        return None
    if any(f"{module_name}.".startswith(f"{registered}.") for registered in _registered.get()):
        return None
    name = getattr(item, "__qualname__", "")
    found: Any = sys.modules.get(module_name)
    for part in name.split("."):
        found = getattr(found, part, None)
    return name if found is item else None
