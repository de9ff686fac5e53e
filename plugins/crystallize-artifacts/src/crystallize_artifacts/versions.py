"""The versions of one experiment: putting a run into place, repairing what a kill interrupted, pruning.

A run writes into a folder of its own, so that putting it into place is renaming a folder. Where it takes
the place of an earlier run two renames are needed, and a process can be killed between them::

    .run-7   v0            the run has finished, the earlier results are still there
    .run-7         .old-7  the earlier results are set aside
             v0    .old-7  the run is in place
             v0            what it replaced is deleted

Each line is a state from which the next process can go on, because both folders carry the run in their
names. Readers do not wait for that: `versions` shows the second line as what it is about to become.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from crystallize_artifacts.files import exists, files_below, is_plain, locked, names_in, sync
from crystallize_artifacts.layout import (
    LOCK,
    MANIFEST,
    METADATA,
    METRICS,
    RESULTS,
    replaced_folder,
    run_folder,
    run_of,
    version_folder,
    version_of,
)
from crystallize_artifacts.manifest import FINISHED, RUNNING, Manifest, now, status_of, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["owner", "place", "prune", "recover", "unfinished", "versions"]

_MB = 1024 * 1024


def versions(experiment: Path) -> dict[int, Path]:
    """The folders of the versions by number, the oldest first; no link counts as one."""
    found = {}
    for name in names_in(experiment):
        number = version_of(name)
        if number is not None and is_plain(experiment / name, folder=True):
            found[number] = experiment / name
    if 0 not in found:
        for aside in _set_aside(experiment)[-1:]:
            found[0] = _successor(aside) or aside
    return dict(sorted(found.items()))


def place(experiment: Path, run: str, *, versioned: bool) -> tuple[Path, list[str]]:
    """Make the folder of a finished run a version.

    Args:
        experiment: The folder of the experiment.
        run: The id of the run.
        versioned: Whether it becomes the next version; otherwise it replaces version 0 if that
            was written by a run that was not versioned either.

    Returns:
        The folder of the version, and what the result should say about it.

    Raises:
        OSError: It cannot be moved; everything is where it was.

    """
    staging = experiment / run_folder(run)
    with locked(experiment / LOCK):
        said = recover(experiment, lock=False)
        current = experiment / version_folder(0)
        if not versioned and _is_replaceable(current):
            said += _replace(current, staging, experiment / replaced_folder(run))
            return current, said
        target = _next_free(experiment, staging)
        if not versioned:
            said.append(
                f"{current} was not written by an unversioned run, so it was left as it is, and this run was stored "
                f"in {target}; use versioned=True to have that without a warning, or another root_dir"
            )
        return target, said


def recover(experiment: Path, *, lock: bool = True) -> list[str]:
    """Finish what a process that was killed in `place` had begun; says what could not be deleted.

    Args:
        experiment: The folder of the experiment, which need not exist.
        lock: Whether the lock still has to be taken.

    """
    if not _set_aside(experiment):
        return []
    with locked(experiment / LOCK) if lock else contextlib.nullcontext():
        said = []
        for aside in _set_aside(experiment):  # again, because the lock was waited for
            current = experiment / version_folder(0)
            if exists(current):
                said += _remove_own(aside)
            elif (successor := _successor(aside)) is not None:
                successor.rename(current)
                said += _remove_own(aside)
            else:
                aside.rename(current)
            sync(experiment)
        return said


def prune(experiment: Path, run: str, *, keep: int, limit_mb: int) -> list[str]:
    """Remove the large artifacts of all but the newest versions; says what was removed.

    Args:
        experiment: The folder of the experiment.
        run: The run whose user asked for it.
        keep: How many versions keep everything.
        limit_mb: Files of more than this stay only in those versions.

    """
    said = []
    with locked(experiment / LOCK):
        for folder in list(versions(experiment).values())[:-keep]:
            removed = _prune_version(folder, run, limit_mb * _MB)
            if removed:
                shown = ", ".join(removed[:5]) + (f" and {len(removed) - 5} more" if len(removed) > 5 else "")  # noqa: PLR2004 - one line
                said.append(
                    f"removed {len(removed)} artifacts of more than {limit_mb} MB from {folder}, as it is not one of "
                    f"the newest {keep} versions (artifact_retention={keep}, big_file_threshold_mb={limit_mb}): {shown}"
                )
    return said


def unfinished(experiment: Path, run: str) -> list[str]:
    """What the result of this run should say about runs that never came to their end."""
    said = []
    for name in names_in(experiment):
        folder = experiment / name
        about = run_of(name)
        if about is None or about[1] or about[0] == run or not is_plain(folder, folder=True):
            continue
        known = status_of(folder)
        under_way = known.get("status") in (RUNNING, FINISHED) and _is_alive(known.get("owner"))
        if known and not under_way:
            said.append(
                f"run {known.get('run')} of {known.get('created')} did not finish; what it stored is still in {folder}; "
                f"remove that folder when you do not need it"
            )
    return said


def owner() -> dict[str, Any]:
    """This process, as other processes can recognise it."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())}


# --- putting into place ------------------------------------------------------------------------------


def _replace(current: Path, staging: Path, aside: Path) -> list[str]:
    if not exists(current):
        staging.rename(current)
        sync(current.parent)
        return []
    current.rename(aside)
    try:
        staging.rename(current)
    except OSError:
        aside.rename(current)
        raise
    sync(current.parent)
    return _remove_own(aside)


def _next_free(experiment: Path, staging: Path) -> Path:
    number = max(versions(experiment), default=-1) + 1
    while True:
        target = experiment / version_folder(number)
        if not exists(target):
            try:
                staging.rename(target)
            except OSError:
                if not exists(target):
                    raise
            else:
                sync(experiment)
                return target
        number += 1  # a file of that name, a link, or where locks do nothing another run


def _is_replaceable(current: Path) -> bool:
    if not exists(current):
        return True
    return is_plain(current, folder=True) and status_of(current).get("versioned") is False


def _set_aside(experiment: Path) -> list[Path]:
    """The folders that hold what some run was replacing."""
    paths = [experiment / name for name in names_in(experiment)]
    return [path for path in paths if _replaced_by(path) is not None]


def _replaced_by(path: Path) -> str | None:
    """The run that was taking the place of what is in this folder."""
    about = run_of(path.name)
    return about[0] if about is not None and about[1] and is_plain(path, folder=True) else None


def _successor(aside: Path) -> Path | None:
    """The complete folder of the run that replaces this one, where it has not been moved yet."""
    staging = aside.with_name(run_folder(_replaced_by(aside) or ""))
    return staging if status_of(staging).get("status") == FINISHED else None


# --- deleting ------------------------------------------------------------------------------------------


def _remove_own(folder: Path) -> list[str]:
    """Delete the files that a run wrote into its version; whatever else was put there is kept."""
    manifest = Manifest.read(folder) or Manifest()
    own = {entry.path for entry in manifest.entries}.union(manifest.unclaimed, (MANIFEST, METADATA, METRICS))
    own.update(f"{name}/{RESULTS}" for name in status_of(folder).get("folders", {}).values())
    kept = False
    last = [MANIFEST, METADATA]  # as long as they are there, an interrupted deletion can be taken up again
    for path in files_below(folder):
        relative = path.relative_to(folder).as_posix()
        if relative in last:
            continue
        if relative in own:
            path.unlink(missing_ok=True)
        else:
            kept = True
    if kept:
        aside = _free_name(folder.with_name(folder.name.replace(".old-", "replaced-by-", 1)))
        folder.rename(aside)
        return [f"files that no run had written were kept in {aside} when {version_folder(0)} was replaced"]
    for name in last:
        (folder / name).unlink(missing_ok=True)
    for parent, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            Path(parent).rmdir()
    return []


def _free_name(path: Path) -> Path:
    number = 1
    candidate = path
    while exists(candidate):
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def _prune_version(folder: Path, run: str, limit: int) -> list[str]:
    manifest = Manifest.read(folder)
    if manifest is None:
        return []
    plain = {path.relative_to(folder).as_posix(): path for path in files_below(folder) if is_plain(path)}
    large = {
        e.path: plain[e.path] for e in manifest.entries if e.path in plain and plain[e.path].stat().st_size > limit
    }
    if not large:
        return []
    # Said before it is done: a kill in between leaves files too many, never an entry without its file.
    entries = [attrs.evolve(e, pruned=run) if e.path in large else e for e in manifest.entries]
    attrs.evolve(manifest, entries=entries).write(folder)
    metadata = dict(status_of(folder))
    metadata["pruned"] = [*metadata.get("pruned", []), {"by": run, "at": now(), "paths": list(large)}]
    write_json(folder / METADATA, metadata)
    for path in large.values():
        path.unlink(missing_ok=True)
    return list(large)


# --- who is still there ----------------------------------------------------------------------------------


def _is_alive(process: Mapping[str, Any] | None) -> bool:
    """Whether the process that `owner` described still runs, as far as can be told from here."""
    if not process or process.get("host") != socket.gethostname() or os.name == "nt":
        return False
    try:
        os.kill(process["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and somebody else's
    return bool(_born(process["pid"]) == process.get("born"))


def _born(pid: int) -> str | None:
    """When a process was started, so that another one with the same number is not taken for it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None  # this system does not say
    return fields[19]
