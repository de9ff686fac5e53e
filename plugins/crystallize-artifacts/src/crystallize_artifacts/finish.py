"""What the coordinator does once all replicates are there: describe the run's folder and put it into place.

A run takes the place of an earlier one only if it came to its end and all that it wrote is stored.
Otherwise its folder stays beside, described in the same way, and the result says where it is.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from crystallize_artifacts.files import exists, files_below, is_plain, remove_leftovers, write_whole
from crystallize_artifacts.layout import METADATA, METRICS, RESULTS, run_of, version_folder
from crystallize_artifacts.manifest import (
    FINISHED,
    INCOMPLETE,
    INTERRUPTED,
    Entry,
    Manifest,
    now,
    plain,
    status_of,
    write_json,
)
from crystallize_artifacts.tracking import described, metrics_lines, problems
from crystallize_artifacts.versions import place, prune, unfinished, versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crystallize_artifacts.staging import Staging

__all__ = ["Retention", "finish"]


@attrs.frozen
class Retention:
    """What a user asked to be deleted.

    Attributes:
        keep: How many of the newest versions keep everything.
        limit_mb: Larger files are removed from older versions.

    """

    keep: int
    limit_mb: int


@attrs.define
class _Stored:
    """The artifacts of the result that are in the run's folder, and those that are not."""

    failed: set[tuple[str, int]]
    entries: list[tuple[Any, Entry]] = attrs.field(factory=list)
    missing: list[str] = attrs.field(factory=list)


def finish(staging: Staging, result: Any, retention: Retention | None) -> list[str]:
    """Describe what the run stored and put it into place.

    Never raises because of a file: what was computed is in the result, and must not be lost with it.

    Args:
        staging: The folder of the run.
        result: The result, whose artifacts learn where they are now.
        retention: What to prune afterwards; None to delete nothing.

    Returns:
        What the result should say.

    """
    said = unfinished(staging.experiment, staging.run)
    try:
        is_newest = _finish(staging, result, said)
    except OSError as error:
        said.append(
            f"the artifacts of run {staging.run} could not be put into place: {error}; what was stored is in "
            f"{staging.folder}, and earlier results are where they were"
        )
        return said
    if is_newest and retention is not None:
        try:
            said += prune(staging.experiment, staging.run, keep=retention.keep, limit_mb=retention.limit_mb)
        except OSError as error:
            said.append(f"big artifacts of old versions of {staging.experiment} could not all be removed: {error}")
    return said


def _finish(staging: Staging, result: Any, said: list[str]) -> bool:
    """Put the run into place if it may; returns whether it is a complete version now."""
    interrupted = result.run.interrupted
    if exists(staging.folder):
        remove_leftovers(staging.folder)
        _drop_unwanted(staging.folder, result.run.stopped_at)
    stored = _collect(staging, result, adopt=not interrupted)
    assets = described(result.artifacts)
    said += _about_missing(stored.missing) + problems(assets)
    if not exists(staging.folder):
        if interrupted or stored.missing or not versions(staging.experiment):
            return False
        staging.begin()  # without artifacts of its own, but what an earlier run left must not pass for its results
    status = INTERRUPTED if interrupted else INCOMPLETE if stored.missing else FINISHED
    versioned = bool(staging.about["versioned"])
    _describe(staging, result, stored, status, metrics_lines(assets, stored.failed))
    if interrupted:
        said.append(
            f"the run did not come to its end; what it had stored is in {staging.folder}, earlier results are untouched"
        )
        return False
    if status == INCOMPLETE and not versioned and exists(staging.experiment / version_folder(0)):
        said.append(f"earlier results were not replaced for that reason; what this run stored is in {staging.folder}")
        return False
    target, more = place(staging.experiment, staging.run, versioned=versioned)
    for artifact, entry in stored.entries:
        artifact.stored_at(str(target.joinpath(*entry.path.split("/"))))
    said += more
    return status == FINISHED


# --- what there is -------------------------------------------------------------------------------------


def _collect(staging: Staging, result: Any, *, adopt: bool) -> _Stored:
    """Match the artifacts of the result with the files of the run.

    Args:
        staging: The folder of the run.
        result: The result.
        adopt: Whether to bring in what an earlier run stored (resumed replicates) or nobody has yet.

    """
    conditions = result.metrics.conditions
    stored = _Stored({(name, replicate) for name, values in conditions.items() for replicate in values.failed})
    for artifact in result.artifacts:
        parts = tuple(staging.parts(artifact.replicate, artifact.condition, artifact.step, artifact.name))
        path = staging.path(parts)
        problem = None
        if artifact.uri is None or Path(artifact.uri) != path:
            if artifact.uri is not None and (not adopt or "://" in artifact.uri):
                continue  # it stays where an earlier run, or a store of somebody else, has it
            problem = _bring(staging, artifact, parts) if adopt else "its content was not stored"
        elif not is_plain(path) or path.stat().st_size != artifact.size:
            problem = f"{path} is not there, or not what was written; workers must see the same files"
        if problem is not None:
            stored.missing.append(_about(artifact, problem))
            continue
        entry = Entry(
            name=artifact.name,
            step=artifact.step,
            condition=artifact.condition,
            replicate=artifact.replicate,
            size=artifact.size,
            digest=artifact.digest,
            path="/".join(parts),
            failed=(artifact.condition, artifact.replicate) in stored.failed,
            signature=artifact.signature,
        )
        stored.entries.append((artifact, entry))
    return stored


def _bring(staging: Staging, artifact: Any, parts: Sequence[str]) -> str | None:
    """Store an artifact that is elsewhere; says why where that fails."""
    content = artifact.record.data
    if content is None:
        if artifact.uri is None:
            return "its content was not kept"
        source = _moved(staging, Path(artifact.uri))
        try:
            content = source.read_bytes()
        except OSError as error:
            return f"it cannot be read from {source}: {error.strerror or error}"
        if hashlib.blake2b(content, digest_size=32).hexdigest() != artifact.digest:
            return f"{source} is not what was written: its digest differs"
    try:
        path = staging.write(parts, content)
    except (OSError, ValueError) as error:
        return str(error)
    artifact.stored_at(str(path))
    return None


def _moved(staging: Staging, path: Path) -> Path:
    """Where a file is now that was in the folder of an earlier run when its place was noted."""
    if exists(path) or not path.is_relative_to(staging.experiment):
        return path
    top, *rest = path.relative_to(staging.experiment).parts
    about = run_of(top)
    if about is not None:
        for folder in versions(staging.experiment).values():
            if status_of(folder).get("run") == about[0]:
                return folder.joinpath(*rest)
    return path


def _drop_unwanted(folder: Path, last: int | None) -> None:
    """Remove what replicates stored that a plugin decided to leave out, so that timing leaves no trace."""
    if last is None:
        return
    for path in folder.glob("replicate_*"):
        if int(path.name.removeprefix("replicate_")) > last:
            shutil.rmtree(path)


# --- what is said ----------------------------------------------------------------------------------------


def _describe(staging: Staging, result: Any, stored: _Stored, status: str, lines: str) -> None:
    """Write the files by which the folder can be read."""
    folder = staging.folder
    entries = [entry for _, entry in stored.entries]
    known = {entry.path for entry in entries}
    relative = [path.relative_to(folder).as_posix() for path in files_below(folder)]
    unclaimed = [path for path in relative if path.startswith("replicate_") and path not in known]
    Manifest(entries, unclaimed).write(folder)
    if lines:
        write_whole(folder / METRICS, lines.encode())
    for condition, values in result.metrics.conditions.items():
        target = folder / staging.folders[condition] / RESULTS
        target.parent.mkdir(exist_ok=True)
        write_json(target, _results(condition, values))
    about = {"status": status, **staging.about, "finished": now(), "result_digest": result.digest}
    write_json(folder / METADATA, about)  # the last one: with it the folder is complete


def _results(condition: str, values: Any) -> dict[str, Any]:
    replicates = {name: list(values.column(name).replicates) for name in values.names}
    return {
        "condition": condition,
        "metrics": {name: [plain(value) for value in found] for name, found in values.metrics.items()},
        "replicates": replicates,
        "failed": list(values.failed),
    }


def _about(artifact: Any, problem: str) -> str:
    where = f"step {artifact.step!r}, condition {artifact.condition!r}, replicate {artifact.replicate}"
    return f"artifact {artifact.name!r} of {where}: {problem}"


def _about_missing(missing: Sequence[str]) -> list[str]:
    if not missing:
        return []
    shown = "; ".join(missing[:3]) + (f"; and {len(missing) - 3} more" if len(missing) > 3 else "")  # noqa: PLR2004 - one line
    return [f"{len(missing)} artifacts are not stored: {shown}"]
