"""`Asset`: a value with a name, a version and metadata, whose type says what becomes of it.

A step that returns one hands it to the plugins of the stack, which decide by its type where it is stored.
The value itself flows on to the next step as any other would.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Mapping, Sized
from typing import Any, Final, Self

from crystallize_core.errors import DefinitionError, FingerprintError
from crystallize_core.fingerprint import content_digest

__all__ = ["Asset"]

_LONGEST_TEXT: Final = 40
"""Characters of a value that a repr shows."""
_FIELDS: Final = ("_data", "_name", "_version", "_metadata")
"""What every asset has, whatever a subclass adds."""
_LONGEST_INT: Final = 128
"""Bits of a number that a repr shows."""


class Asset:
    """A value with a name, a version and metadata; subclass it for a type of your own.

    It cannot be changed, and two are equal if they are of the same class and hold the same content.

    Args:
        data: The value itself: a model, a table, anything.
        name: What it is stored under; default the name of the step's output.
        version: What its author calls this state of it.
        metadata: What else is to be known about it.
        extra: The same, as keywords.

    Raises:
        DefinitionError: A name, version or metadata of the wrong type; all that is wrong is listed.

    """

    # The defaults of a subclass whose own constructor does not call this one.
    _data: Any = None
    _name: str | None = None
    _version: str | None = None
    _metadata: Mapping[str, Any] = types.MappingProxyType({})

    def __init__(
        self,
        data: Any = None,
        name: str | None = None,
        version: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **extra: Any,
    ) -> None:
        problems = [*_wrong_text("name", name), *_wrong_text("version", version), *_wrong_metadata(metadata, extra)]
        if problems:
            message = f"{type(self).__qualname__}: {'; '.join(problems)}"
            raise DefinitionError(message)
        self._data, self._name, self._version = data, name, version
        self._metadata = {**(metadata or {}), **extra}

    @classmethod
    def create(cls, **fields: Any) -> Self:
        """The same as the constructor, with everything said by its name: `Model.create(data=fitted, name="clf")`."""
        return cls(**fields)

    @property
    def data(self) -> Any:
        """The value itself."""
        return self._data

    @property
    def name(self) -> str | None:
        """What it is stored under; None until somebody has named it."""
        return self._name

    @property
    def version(self) -> str | None:
        """What its author calls this state of it."""
        return self._version

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What else is known about it; read-only."""
        return types.MappingProxyType(self._metadata)

    def recorded(self) -> Mapping[str, Any]:
        """The metrics that are recorded when a step returns it; none, unless a subclass says so."""
        return {}

    def named(self, name: str) -> Self:
        """Itself if it has a name, else a copy with this one, which shares the data."""
        if self._name is not None:
            return self
        wrong = _wrong_text("name", name)
        if wrong:
            message = f"{type(self).__qualname__}: {wrong[0]}"
            raise DefinitionError(message)
        other = copy.copy(self)
        vars(other)["_name"] = name
        return other

    def extras(self) -> dict[str, Any]:
        """What a subclass keeps beside data, name, version and metadata; for plugins that store assets."""
        state = object.__getstate__(self)
        dictionary, slots = state if isinstance(state, tuple) else (state, None)
        return {name: item for name, item in {**(dictionary or {}), **(slots or {})}.items() if name not in _FIELDS}

    @classmethod
    def restored(
        cls,
        data: Any,
        name: str | None,
        version: str | None,
        metadata: Mapping[str, Any],
        extras: Mapping[str, Any] | None = None,
    ) -> Self:
        """An asset as it was when it was stored, without a call of its constructor; for plugins that load assets."""
        asset = cls.__new__(cls)
        fields = dict(zip(_FIELDS, (data, name, version, dict(metadata)), strict=True))
        for attribute, value in {**(extras or {}), **fields}.items():
            object.__setattr__(asset, attribute, value)
        return asset

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is not type(self):
            return NotImplemented
        try:
            return content_digest(self) == content_digest(other)
        except FingerprintError:  # what has no content that could be compared equals itself only
            return False

    def __hash__(self) -> int:
        return hash((type(self), self._name, self._version))

    def __repr__(self) -> str:
        parts = [_shown(self._data)]
        parts += [
            f"{word}={_shown(value)}" for word in ("name", "version") if (value := getattr(self, word)) is not None
        ]
        if self._metadata:
            parts.append(f"metadata={_shown(dict(self._metadata))}")
        return f"{type(self).__qualname__}({', '.join(parts)})"


def _wrong_text(field: str, value: object) -> list[str]:
    if value is None or (isinstance(value, str) and value):
        return []
    return [f"{field} must be a non-empty str, found {type(value).__qualname__} {_shown(value)}"]


def _wrong_metadata(metadata: object, extra: Mapping[str, Any]) -> list[str]:
    if metadata is None:
        return []
    if not isinstance(metadata, Mapping):
        return [
            f"metadata must be a mapping of names to values, found {type(metadata).__qualname__} {_shown(metadata)}"
        ]
    wrong = [f"metadata key {_shown(key)} must be a str" for key in metadata if not isinstance(key, str)]
    return wrong + [
        f"metadata {key!r} is said twice, in metadata= and as a keyword" for key in extra if key in metadata
    ]


def _shown(value: object) -> str:
    """A short text for any value; the `__repr__` of a stranger, which may be long or raise, is not asked."""
    kind = type(value)
    if value is None or kind in (bool, float):
        return repr(value)
    if kind is int and value.bit_length() <= _LONGEST_INT:  # type: ignore[attr-defined]  # it is an int
        return repr(value)
    if isinstance(value, (str, bytes)) and kind in (str, bytes):
        return repr(value) if len(value) <= _LONGEST_TEXT else f"{value[:_LONGEST_TEXT]!r}… ({len(value)})"
    try:
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple) and all(type(side) is int for side in shape):
            return f"<{kind.__qualname__} of shape {shape}>"
        return f"<{kind.__qualname__} of {len(value)}>" if isinstance(value, Sized) else f"<{kind.__qualname__}>"
    except Exception:  # noqa: BLE001 - a stranger's __len__ or __getattr__ may raise anything
        return f"<{kind.__qualname__}>"
