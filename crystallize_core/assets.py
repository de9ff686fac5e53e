"""What the steps of a graph have made so far in one cell."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from crystallize_core.errors import FingerprintError
from crystallize_core.fingerprint import content_digest

__all__ = ["Assets"]


class Assets(dict[Hashable, Any]):
    """Values by the names of assets, in the order in which they were made; each is hashed at most once."""

    __slots__ = ("_digests",)

    def __init__(self, values: Iterable[tuple[Hashable, Any]] | dict[Any, Any] = ()) -> None:
        super().__init__(values)
        self._digests: dict[Hashable, str | FingerprintError] = {}

    def digest(self, key: Hashable) -> str:
        """The digest of the content of a value.

        Raises:
            FingerprintError: It has no stable digest.
            KeyError: There is no such value.

        """
        found = self._digests.get(key)
        if found is None:
            try:
                found = content_digest(self[key])
            except FingerprintError as error:
                found = error
            self._digests[key] = found
        if isinstance(found, FingerprintError):
            raise found
        return found
