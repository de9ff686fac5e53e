"""The digest of a value, where it can be written down beside the value and believed later."""

from __future__ import annotations

import enum
from typing import Any

from crystallize_core.fingerprint.encoding import REGISTERED, Blocked, Encoder, hasher

__all__ = ["lasting_digest"]


def lasting_digest(value: Any) -> str | None:
    """The digest of the content of a value; None if it has none, or one that depends on more than the value.

    A function counts by its code, and an object may say itself what counts in it. A pickle keeps neither: when the
    value is read back, the code may be another, and so may be the digest.
    """
    whole = hasher()
    try:
        whole.update(Encoder(_NoCode())(value))
    except Exception:  # noqa: BLE001 - objects may raise anything when asked, and nobody has to know the digest
        return None
    return whole.hexdigest()


class _NoCode:
    """Refuses what does not count by what is in the value alone."""

    def refer(self, value: Any) -> str:
        raise Blocked(type(value), "it counts by its code")

    def note(self, kind: type) -> None:
        own = hasattr(kind, "__crystallize_digest__") or issubclass(kind, enum.Enum)
        if own or (REGISTERED and any(base in REGISTERED or _name(base) in REGISTERED for base in kind.__mro__)):
            raise Blocked(kind, "its author says what counts")


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
