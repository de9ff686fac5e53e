"""What the steps of a graph have made so far in one cell."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from crystallize_core.errors import FingerprintError
from crystallize_core.fingerprint import content_digest
from crystallize_core.stored import Stored, loaded

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

    def put(self, key: Hashable, value: Any) -> None:
        """Add what a step made, which may be in the cache still: then it is loaded when somebody takes it."""
        if type(value) is Stored:
            self.__class__ = _WithStored  # before the value is there, because steps may run in other threads
            if value.digest is not None:
                self._digests[key] = value.digest
        self[key] = value

    def kept(self, key: Hashable) -> Any:
        """A value as it is: what is in the cache is not loaded."""
        return dict.__getitem__(self, key)


class _WithStored(Assets):
    """Assets some of which are in the cache. A class of its own, so that whoever caches nothing takes values from a dict."""

    __slots__ = ()

    def __getitem__(self, key: Hashable) -> Any:
        return loaded(super().__getitem__(key))

    def get(self, key: Hashable, default: Any = None) -> Any:
        return loaded(super().get(key, default))

    def __iter__(self) -> Iterator[Hashable]:  # with this, also `dict(assets)` asks for each value
        return super().__iter__()

    def values(self) -> Any:
        return {key: self[key] for key in self}.values()

    def items(self) -> Any:
        return {key: self[key] for key in self}.items()
