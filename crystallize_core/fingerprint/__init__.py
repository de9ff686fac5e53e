"""Digests that say whether a value or a piece of code is still the same, in any process and on any machine."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from crystallize_core.fingerprint.content import content_digest, register_hasher

if TYPE_CHECKING:
    from crystallize_core.fingerprint.code import code_digest, code_parts

__all__ = ["code_digest", "code_parts", "content_digest", "register_hasher"]


def __getattr__(name: str) -> Any:
    # The walk over code needs the parser and the metadata of distributions; experiments without a cache do not.
    if name in ("code_digest", "code_parts"):
        return getattr(importlib.import_module("crystallize_core.fingerprint.code"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
