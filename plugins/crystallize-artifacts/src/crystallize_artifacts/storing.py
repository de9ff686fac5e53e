"""How an asset becomes two artifacts of its step: one with its data, and one beside it that describes it."""

from __future__ import annotations

from typing import Any, Final, Literal

from crystallize_artifacts.materializers.base import UnsuitableError
from crystallize_artifacts.materializers.registry import executes_code, materialize
from crystallize_artifacts.sidecar import SUFFIX, Sidecar, type_name
from crystallize_core import ArtifactError, Asset
from crystallize_core.errors import describe
from crystallize_core.signing import sign

__all__ = ["POLICIES", "Policy", "signed_as", "store"]

Policy = Literal["fail", "warn", "ignore"]
POLICIES: Final = ("fail", "warn", "ignore")

EVENT: Final = "asset.not_stored"
"""What is emitted where an asset could not be stored and the run goes on."""
_RESERVED: Final = SUFFIX.removesuffix(".json")


def store(asset: Asset, ctx: Any, policy: Policy) -> str | None:
    """Write an asset as artifacts of the step that returned it.

    Args:
        asset: The asset, with its name.
        ctx: The view of the attempt, with which the artifacts are committed.
        policy: What happens to one whose data cannot be stored.

    Returns:
        The name of the artifact with the data; None where there is none.

    Raises:
        ArtifactError: The name cannot be that of an artifact, or was used in this step already; or the data cannot be
            stored and the policy is to fail.

    """
    name = asset.name or ctx.step_name or "asset"
    _check_free(name, ctx)
    try:
        sidecar = Sidecar.of(asset, name)
        materializer, content = materialize(asset.data)
        seal = sign(signed_as(materializer.id), content).hex() if executes_code(materializer) else None
        artifact = f"{name}{materializer.suffix}"
        text = sidecar.stored(artifact, materializer).to_json()
    except Exception as error:  # noqa: BLE001 - foreign data and foreign materializers may raise anything
        _not_stored(asset, name, ctx, policy, error)
        return None
    ctx.artifacts.add(artifact, content, signature=seal)
    ctx.artifacts.add(f"{name}{SUFFIX}", text)
    return artifact


def signed_as(materializer: str) -> str:
    """What content of this format is signed as; it cannot pass for that of another one."""
    return f"crystallize asset 1: {materializer}"


def _check_free(name: str, ctx: Any) -> None:
    if name.endswith(_RESERVED):
        message = f"the name of an asset must not end in {_RESERVED!r}, found {name!r}; files that describe assets do"
        raise ArtifactError(message, step=ctx.step_name)
    if any(record.name == f"{name}{SUFFIX}" and record.step == (ctx.step_name or "") for record in ctx.artifacts):
        message = f"two assets of this step are named {name!r}; give one of them another name="
        raise ArtifactError(message, step=ctx.step_name)


def _not_stored(asset: Asset, name: str, ctx: Any, policy: Policy, error: Exception) -> None:
    """Fail, or go on and say so."""
    if policy == "ignore":
        return
    kind = type(asset.data)
    reason = str(error) if isinstance(error, UnsuitableError) else describe(error)
    problem = f"its data, a {kind.__module__}.{kind.__qualname__}, cannot be stored: {reason}"
    if policy == "fail":
        message = (
            f"asset {name!r} ({type(asset).__qualname__}): {problem}; teach it with "
            f"register_materializer({kind.__qualname__}, ...), or set on_unstorable='warn' of the plugin 'artifacts'"
        )
        raise ArtifactError(message, step=ctx.step_name) from error
    about = Sidecar(type_name(type(asset)), name, asset.version, {}, {}, type_name(kind), problem=problem)
    ctx.artifacts.add(f"{name}{SUFFIX}", about.to_json())
    ctx.emit(EVENT, asset=name, problem=problem)
