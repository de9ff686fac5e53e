"""What the sidecars of a run say to the coordinator: metrics for `metrics.jsonl`, and what could not be stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from crystallize_artifacts.manifest import plain
from crystallize_artifacts.materializers.plain import decoded
from crystallize_artifacts.sidecar import Sidecar, asset_name
from crystallize_core import ArtifactError

__all__ = ["Described", "described", "metrics_lines", "problems"]


@attrs.frozen
class Described:
    """One asset of a run with its cell and step."""

    replicate: int
    condition: str
    step: str
    sidecar: Sidecar


def described(artifacts: Iterable[Any]) -> list[Described]:
    """The assets that are described among the artifacts of a result; what cannot be read is left out."""
    found = []
    for artifact in artifacts:
        if asset_name(artifact.name) is None:
            continue
        try:
            sidecar = Sidecar.from_json(artifact.read())
        except ArtifactError:
            continue  # that an artifact is missing is said elsewhere
        if sidecar is not None:
            found.append(Described(artifact.replicate, artifact.condition, artifact.step, sidecar))
    return sorted(found, key=lambda item: (item.replicate, item.condition, item.step, item.sidecar.name))


def metrics_lines(assets: Iterable[Described], failed: Iterable[tuple[str, int]]) -> str:
    """One line of JSON for each asset that records metrics; empty where none does.

    Args:
        assets: The assets in the order of the lines.
        failed: The cells that failed, as condition and replicate.

    """
    cells = set(failed)
    return "".join(_lines(assets, cells))


def problems(assets: Iterable[Described]) -> list[str]:
    """What the result should say of the assets that could not be stored."""
    found = [item for item in assets if item.sidecar.problem is not None]
    if not found:
        return []
    shown = "; ".join(
        f"asset {item.sidecar.name!r} of step {item.step!r}, condition {item.condition!r}, replicate {item.replicate}: "
        f"{item.sidecar.problem}"
        for item in found[:3]
    )
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""  # noqa: PLR2004 - one line
    return [f"{len(found)} assets are not stored: {shown}{more}"]


def _lines(assets: Iterable[Described], failed: set[tuple[str, int]]) -> Iterator[str]:
    for item in assets:
        sidecar = item.sidecar
        if sidecar.recorded:
            line = {
                "replicate": item.replicate,
                "condition": item.condition,
                "step": item.step,
                "name": sidecar.name,
                "version": sidecar.version,
                "failed": (item.condition, item.replicate) in failed,
                "metrics": {name: plain(decoded(value)) for name, value in sidecar.recorded.items()},
                "metadata": {name: plain(decoded(value)) for name, value in sidecar.metadata.items()},
            }
            yield json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"
