"""The last resort: pickle, for what has no other form. Reading a pickle runs code, so that each one is signed."""

from __future__ import annotations

import pickle
from typing import Any

from crystallize_artifacts.materializers.base import UnsuitableError
from crystallize_core.errors import describe

__all__ = ["Pickled"]


class Pickled:
    """Any object that can be pickled."""

    id = "pickle"
    suffix = ".pkl"
    executes_code = True

    def handles(self, value: object) -> bool:  # noqa: ARG002 - that is what makes it the last one
        """Everything."""
        return True

    def dump(self, value: object) -> bytes:
        """The pickle."""
        try:
            return pickle.dumps(value, protocol=5)
        except Exception as error:  # foreign objects may raise anything when they are pickled
            message = f"it cannot be pickled ({describe(error)})"
            raise UnsuitableError(message) from error

    def load(self, content: bytes) -> Any:
        """The object. Only for content whose signature was checked."""
        return pickle.loads(content)  # noqa: S301 - its signature was checked: this user's own run wrote it
