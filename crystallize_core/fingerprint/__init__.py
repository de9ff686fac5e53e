"""Digests that say whether a value or a piece of code is still the same, in any process and on any machine."""

from __future__ import annotations

from crystallize_core.fingerprint.code import code_digest, code_parts
from crystallize_core.fingerprint.content import content_digest, register_hasher

__all__ = ["code_digest", "code_parts", "content_digest", "register_hasher"]
