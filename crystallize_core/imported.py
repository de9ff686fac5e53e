"""Libraries that count only where the program uses them anyway, so that nothing is imported for their sake."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

__all__ = ["imported"]

_complete: Final[set[str]] = set()
"""The modules that were found whole, so that it is not asked again."""


def imported(name: str) -> Any:
    """The module of this name if something has imported it, else None.

    A module is in `sys.modules` from the moment at which its import begins, long before it has its names. Where another thread
    is in the middle of that, this waits for it; what a module lacks cannot be told apart from what it never has.

    Args:
        name: The full name, as in `sys.modules`.

    """
    module = sys.modules.get(name)
    if module is None or name in _complete:
        return module
    try:
        module = importlib.import_module(name)
    except Exception:  # noqa: BLE001 - whoever was importing it hears of that
        return None
    _complete.add(name)
    return module
