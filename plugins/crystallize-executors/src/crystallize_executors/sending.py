"""The bytes of what goes to another process."""

from __future__ import annotations

import pickle
from typing import Any

from crystallize_core.pickling import dumped_by_value

__all__ = ["pickled"]


def pickled(item: Any) -> bytes:
    """Bytes of the standard pickle, or of cloudpickle for what was defined in a script or a function."""
    try:
        return pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 - whatever it was, cloudpickle decides
        return dumped_by_value(item)
