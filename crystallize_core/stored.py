"""An output that is in the cache and was not needed so far."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

__all__ = ["Stored", "loaded", "parts_of"]

_NOT_LOADED: Final = object()


class Stored:
    """Stands for an output until somebody wants it.

    Args:
        load: Gives the output; called once.
        digest: The digest of its content; None where that is not known.

    """

    __slots__ = ("_load", "_lock", "_value", "digest")

    def __init__(self, load: Callable[[], Any], digest: str | None = None) -> None:
        self.digest = digest
        self._load: Callable[[], Any] | None = load
        self._value: Any = _NOT_LOADED
        self._lock = threading.RLock()

    def load(self) -> Any:
        """The output, the same object each time."""
        if self._value is _NOT_LOADED:
            with self._lock:
                if self._value is _NOT_LOADED and self._load is not None:
                    self._value = self._load()
                    self._load = None  # and whatever it needed
        return self._value

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[Any]]:
        return _itself, (self.load(),)  # elsewhere, the cache may be out of reach


def loaded(value: Any) -> Any:
    """A value, which may be in the cache still."""
    return value.load() if type(value) is Stored else value


def parts_of(
    whole: Any, split: Callable[[Any], Mapping[Any, Any]], digests: Mapping[Any, str | None] | None
) -> dict[Any, Any]:
    """What an output is split into by name: each loads all of it when it is wanted, and is known by its digest until then.

    Args:
        whole: The output, which may be in the cache still.
        split: Makes a mapping of it.
        digests: The names of the parts with their digests; where they are not known, all is loaded now.

    """
    if digests is None or type(whole) is not Stored:
        return dict(split(loaded(whole)))
    return {name: Stored(partial(_part, whole, split, name), digest) for name, digest in digests.items()}


def _part(whole: Stored, split: Callable[[Any], Mapping[Any, Any]], name: Any) -> Any:
    return split(whole.load())[name]


def _itself(value: Any) -> Any:
    return value
