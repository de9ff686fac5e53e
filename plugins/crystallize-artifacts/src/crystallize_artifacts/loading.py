"""Assets back from what was stored: from a result in hand, or from the folder of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from crystallize_artifacts.materializers.registry import by_id, executes_code
from crystallize_artifacts.sidecar import SUFFIX, Sidecar, asset_name
from crystallize_artifacts.storing import signed_as
from crystallize_core import BASELINE_CONDITION, ArtifactError, Asset
from crystallize_core.errors import describe, did_you_mean
from crystallize_core.signing import is_signed

__all__ = ["StoredAsset", "load_asset", "restored"]


@attrs.frozen
class StoredAsset:
    """One asset of a version, without its data.

    Attributes:
        name, type, version: Those of the asset; `type` is its class as `module:qualname`.
        replicate, condition, step: Where it was returned.
        data_type: The class of its data.
        artifact: The name of the artifact with its data; None where it could not be stored.

    """

    name: str
    type: str
    version: str | None
    replicate: int
    condition: str
    step: str
    data_type: str
    artifact: str | None

    @classmethod
    def of(cls, place: Any, sidecar: Sidecar) -> StoredAsset:
        """What the sidecar of that cell and step says."""
        about = (sidecar.name, sidecar.type, sidecar.version)
        return cls(*about, place.replicate, place.condition, place.step, sidecar.data_type, sidecar.artifact)


def load_asset(
    source: Any, name: str, *, condition: str = BASELINE_CONDITION, replicate: int = 0, step: str | None = None
) -> Asset:
    """An asset that a step of this run returned.

    Args:
        source: A `Result`, or its `artifacts`.
        name: The name of the asset.
        condition: The condition that returned it.
        replicate: The number of the replicate that returned it.
        step: The step that returned it; needed where several returned one of this name.

    Raises:
        ArtifactError: It is not there, was not stored, or is not what the run wrote.

    """
    artifacts = getattr(source, "artifacts", source)
    cell = [a for a in _listed(artifacts) if (a.condition, a.replicate) == (condition, replicate)]
    address = {"replicate": replicate, "condition": condition, "step": step}
    described = [a for a in cell if a.name == f"{name}{SUFFIX}" and step in (None, a.step)]
    if not described:
        known = [known for a in cell if (known := asset_name(a.name)) is not None and step in (None, a.step)]
        message = f"no asset {name!r} was stored; {did_you_mean(name, known, listing='stored there')}"
        raise ArtifactError(message, **address)
    if len(described) > 1:
        steps = ", ".join(repr(a.step) for a in described)
        message = f"{len(described)} assets {name!r} were returned, by the steps {steps}; say which with step=..."
        raise ArtifactError(message, **address)
    (found,) = described
    address["step"] = found.step

    def content_of(artifact: str) -> tuple[bytes, str | None, str]:
        for other in cell:
            if (other.step, other.name) == (found.step, artifact):
                return other.read(), other.signature, other.uri or artifact
        message = f"asset {name!r} has its data in the artifact {artifact!r}, which is not there"
        raise ArtifactError(message, **address)

    return restored(found.read(), found.uri or found.name, content_of, address)


def restored(
    description: bytes, where: str, content_of: Callable[[str], tuple[bytes, str | None, str]], address: dict[str, Any]
) -> Asset:
    """The asset that a sidecar describes.

    Args:
        description: The content of the sidecar.
        where: Where that is, for messages.
        content_of: Gives the content of an artifact of the same step, its signature, and where it is.
        address: Which cell and step it is, for messages.

    Raises:
        ArtifactError: It is no sidecar, or its data cannot be read, or must not be.

    """
    sidecar = Sidecar.from_json(description)
    if sidecar is None:
        message = f"{where} does not describe an asset in a form that this version reads"
        raise ArtifactError(message, **address)
    if sidecar.artifact is None or sidecar.materializer is None:
        message = f"asset {sidecar.name!r} was not stored: {sidecar.problem or 'it says no reason'}"
        raise ArtifactError(message, **address)
    content, signature, place = content_of(sidecar.artifact)
    try:
        data = _loaded(sidecar, content, signature)
        return sidecar.asset(data)
    except ArtifactError as error:
        message = f"asset {sidecar.name!r} cannot be loaded from {place}: {error.message}"
        raise ArtifactError(message, **address) from error
    except Exception as error:
        message = (
            f"asset {sidecar.name!r} cannot be loaded from {place} by the materializer {sidecar.materializer!r}: "
            f"{describe(error)}{_written_with(sidecar)}"
        )
        raise ArtifactError(message, **address) from error


def _loaded(sidecar: Sidecar, content: bytes, signature: str | None) -> Any:
    materializer = by_id(sidecar.materializer or "", sidecar.format_version)
    if executes_code(materializer):
        _check_own(signed_as(materializer.id), content, signature)
    return materializer.load(content)


def _check_own(what: str, content: bytes, signature: str | None) -> None:
    """Make sure that this user's own run wrote the content, before code that it names can run.

    Raises:
        ArtifactError: It bears no signature of this user.

    """
    advice = (
        "reading this format runs code that is named in the file, so that only the user whose run wrote it may; run the "
        "experiment yourself, or have its step return the data in a type with a format of its own"
    )
    if signature is None:
        message = f"it bears no signature; {advice}"
        raise ArtifactError(message)
    try:
        is_own = is_signed(what, content, bytes.fromhex(signature))
    except (OSError, ValueError) as error:
        message = f"its signature cannot be checked: {error}; {advice}"
        raise ArtifactError(message) from error
    if not is_own:
        message = f"it bears the signature of somebody else, or was changed since; {advice}"
        raise ArtifactError(message)


def _written_with(sidecar: Sidecar) -> str:
    if not sidecar.libraries:
        return ""
    return f" (it was written with {', '.join(f'{name} {version}' for name, version in sidecar.libraries.items())})"


def _listed(artifacts: Any) -> Iterable[Any]:
    items = list(artifacts) if isinstance(artifacts, Iterable) else None
    if items is None or not all(hasattr(item, "condition") and hasattr(item, "read") for item in items):
        message = f"load_asset() takes a Result or its artifacts, found {type(artifacts).__qualname__}"
        raise ArtifactError(message)
    return items
