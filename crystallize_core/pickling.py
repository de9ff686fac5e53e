"""How things that live under a name of their module are pickled: by that name, or by value.

A decorated function cannot be pickled by its own name, because that name now means the decorated thing.
The decorated thing itself can, as long as the other process can import its module.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["MainByValue", "by_reference"]

_main_by_value: Final[ContextVar[bool]] = ContextVar("main_by_value", default=False)


class MainByValue:
    """While this is open, what lives in `__main__` is pickled by value.

    For a process that cannot import our `__main__`: a script run under a pool that starts afresh, or a
    notebook. The pickler must be one that can send functions by value.
    """

    def __enter__(self) -> None:
        self._token = _main_by_value.set(True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        _main_by_value.reset(self._token)


def by_reference(item: Any) -> str | None:
    """The global name under which `item` is found again in its module; None if it is not there."""
    module_name = getattr(item, "__module__", None) or ""
    if module_name == "__main__" and _main_by_value.get():
        return None
    name = getattr(item, "__qualname__", "")
    found: Any = sys.modules.get(module_name)
    for part in name.split("."):
        found = getattr(found, part, None)
    return name if found is item else None
