"""What is stored beside the data of an asset: its type, name, version and metadata, and how to read the data.

Everything here is JSON that any program can read. A type is kept as a name, and a name in a file is never imported:
`resolved` looks for it among the subclasses of `Asset` that this process has already. Whoever could change such a file
can therefore choose between classes that the reader has made known by importing them, and no more than that: no
constructor is called either.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from crystallize_artifacts.materializers.base import Materializer, UnsuitableError
from crystallize_artifacts.materializers.plain import decoded, encoded
from crystallize_artifacts.materializers.registry import format_version
from crystallize_core import Asset
from crystallize_core.errors import safe_str

__all__ = ["SUFFIX", "Sidecar", "asset_name", "metadata_text", "resolved", "type_name"]

SUFFIX: Final = ".asset.json"
"""The ending of the files that describe assets."""
FORMAT: Final = "crystallize-asset/1"
UNKNOWN_TYPE: Final = "asset_type"
"""The metadata of an asset that was loaded without its class, by which the name of the class is found."""

_LONGEST_REPR: Final = 2000
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


@attrs.frozen
class Sidecar:
    """One stored asset, but for its data.

    Attributes:
        type: The class, as `module:qualname`.
        name, version: Those of the asset.
        metadata: Its metadata, each value in the form of `encoded`, or its repr where it has none.
        extras: What a subclass keeps besides, in the same form.
        data_type: The class of the data.
        artifact: The name of the artifact that holds the data; None where it could not be stored.
        materializer, format_version: What wrote it, and in which version of its format.
        libraries: The versions of the libraries that wrote it.
        recorded: The metrics of the asset, as JSON numbers.
        problem: Why the data could not be stored; None where it was.

    """

    type: str
    name: str
    version: str | None
    metadata: Mapping[str, Any]
    extras: Mapping[str, Any]
    data_type: str
    artifact: str | None = None
    materializer: str | None = None
    format_version: int = 1
    libraries: Mapping[str, str] = attrs.field(factory=dict)
    recorded: Mapping[str, Any] = attrs.field(factory=dict)
    problem: str | None = None

    @classmethod
    def of(cls, asset: Asset, name: str) -> Sidecar:
        """What is to be said of an asset, before its data is stored.

        Raises:
            UnsuitableError: A subclass keeps something that has no plain form.

        """
        return cls(
            type=type_name(type(asset)),
            name=name,
            version=asset.version,
            metadata={key: metadata_text(value) for key, value in asset.metadata.items()},
            extras=dict(_extras(asset)),
            data_type=type_name(type(asset.data)),
            recorded={key: metadata_text(value) for key, value in asset.recorded().items()},
        )

    def stored(self, artifact: str, materializer: Materializer) -> Sidecar:
        """The same, with where its data is and how to read it."""
        return attrs.evolve(
            self,
            artifact=artifact,
            materializer=materializer.id,
            format_version=format_version(materializer),
            libraries=dict(_versions(materializer)),
        )

    def to_json(self) -> str:
        """The text of the file."""
        content = {"format": FORMAT, **attrs.asdict(self, recurse=False)}
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, content: bytes) -> Sidecar | None:
        """What `to_json` wrote; None for any other content."""
        try:
            found = json.loads(content)
            if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
                return None
            sidecar = cls(**found)
        except (TypeError, ValueError, RecursionError):
            return None
        return sidecar if sidecar._is_sound() else None

    def asset(self, data: Any) -> Asset:
        """The asset with this data; a plain `Asset` that says so where its class is not known here."""
        kind = resolved(self.type)
        metadata = {key: decoded(value) for key, value in self.metadata.items()}
        if kind is None:
            return Asset.restored(data, self.name, self.version, {**metadata, UNKNOWN_TYPE: self.type})
        extras = {key: decoded(value) for key, value in self.extras.items()}
        return kind.restored(data, self.name, self.version, metadata, extras)

    def _is_sound(self) -> bool:
        texts = (self.type, self.name, self.data_type)
        optional = (self.version, self.artifact, self.materializer, self.problem)
        tables = (self.metadata, self.extras, self.libraries, self.recorded)
        return (
            all(isinstance(text, str) for text in texts)
            and all(text is None or isinstance(text, str) for text in optional)
            and all(isinstance(table, dict) for table in tables)
            and type(self.format_version) is int
            and not any(name.startswith("__") for name in self.extras)
        )


def type_name(kind: type) -> str:
    """`module:qualname`; the script that was started has one name in all processes."""
    module = "__main__" if kind.__module__ == "__mp_main__" else kind.__module__
    return f"{module}:{kind.__qualname__}"


def resolved(name: str) -> type[Asset] | None:
    """The class of that name among those that this process knows; None if there is none."""
    found = None
    for kind in _subclasses(Asset):
        if type_name(kind) == name:
            found = kind  # the last one: a cell of a notebook that was run again defined it anew
    return found


def asset_name(artifact: str) -> str | None:
    """The name of the asset that an artifact of this name describes; None if it describes none."""
    return artifact.removesuffix(SUFFIX) if artifact.endswith(SUFFIX) else None


def metadata_text(value: object) -> Any:
    """The plain form of a value, or its repr where it has none, without the address in memory that it may name."""
    try:
        return encoded(value)
    except UnsuitableError:
        return _ADDRESS.sub("", _safe_repr(value))[:_LONGEST_REPR]


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"<{type(value).__qualname__}>"


def _subclasses(kind: type[Asset]) -> Iterator[type[Asset]]:
    yield kind
    for derived in kind.__subclasses__():
        yield from _subclasses(derived)


def _extras(asset: Asset) -> Iterator[tuple[str, Any]]:
    for name, value in asset.extras().items():
        try:
            yield name, encoded(value)
        except UnsuitableError as error:
            message = f"its attribute {name!r} cannot be stored: {error}"
            raise UnsuitableError(message) from error


def _versions(materializer: Materializer) -> Iterator[tuple[str, str]]:
    for name in getattr(materializer, "libraries", ()):
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            yield name, safe_str(version)
