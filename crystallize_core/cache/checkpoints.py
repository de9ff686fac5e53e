"""What the steps of earlier runs of a pipeline came to, so that a run can go on where another ended.

Each run has a folder below `runs/<pipeline>/` in the folder of the cache, with entries like those of the
cache itself. They are kept for steps that are not cached as well.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from glob import glob
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final
from urllib.parse import quote

import attrs

from crystallize_core.cache.file_store import FileStore
from crystallize_core.cache.format import Damaged
from crystallize_core.errors import RunError, did_you_mean
from crystallize_core.fingerprint import content_digest
from crystallize_core.parameters import is_secret

__all__ = ["Checkpoints", "KeptRun", "kept_runs"]

_RECORD: Final = "run.json"
_GIVEN: Final = "given/run"
LONGEST_NAME: Final = 150
UNFINISHED_SECONDS: Final = 24 * 3600.0
"""A run that does not say that it has ended may still go on, and is left alone for so long."""


@attrs.frozen
class KeptRun:
    """The checkpoints of one run.

    Attributes:
        folder: Where they are.
        pipeline: The pipeline.
        state: `completed`, `failed` and so on; `running` where nothing says that it has ended.
        size: Bytes of their own: what is also an entry of the cache is not counted.
        written: When they were last written to, in seconds since 1970.
        has_ended: Whether the run has ended, or must have by now.

    """

    folder: Path
    pipeline: str
    state: str
    size: int
    written: float
    has_ended: bool


def kept_runs(folder: Path) -> list[KeptRun]:
    """The checkpoints below the folder of a cache, those of each pipeline from the oldest on."""
    found = []
    # Not `folder.glob`, which fails where another process removes a run meanwhile.
    for record in sorted(folder / name for name in glob(f"runs/*/*/{_RECORD}", root_dir=folder)):  # noqa: PTH207
        run = record.parent
        if any(path.is_symlink() for path in (record, run, run.parent, run.parent.parent)):
            continue
        with suppress(OSError):
            said = _record(run)
            if said.get("run_id") != run.name:
                continue  # it is not ours, or damaged
            size = sum(stat.st_size for stat in _stats(run) if stat.st_nlink < 2)  # noqa: PLR2004 - it has another name
            names = (str(said.get("pipeline", "")), str(said.get("state", "running")))
            found.append(KeptRun(run, *names, size, record.stat().st_mtime, _has_ended(run)))
    return found


def _stats(folder: Path) -> Iterator[os.stat_result]:
    for at, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                stat = Path(at, name).lstat()
                if S_ISREG(stat.st_mode):
                    yield stat


class Checkpoints:
    """The runs of one pipeline.

    Args:
        folder: The folder of the cache.
        pipeline: The name of the pipeline.

    """

    def __init__(self, folder: Path, pipeline: str) -> None:
        name = quote(pipeline, safe=" ").replace(".", "%2E")
        if len(name) > LONGEST_NAME:
            name = f"{name[: LONGEST_NAME - 17]}-{content_digest(pipeline)[:16]}"
        self.folder = folder / "runs" / name
        self._pipeline = pipeline

    def runs(self) -> list[str]:
        """The ids of the runs that are kept, the oldest first."""
        try:
            return sorted(entry.name for entry in self.folder.iterdir() if (entry / _RECORD).is_file())
        except OSError:
            return []

    def begin(self, store: FileStore, given: Mapping[str, Mapping[str, Any]], resumed: str | None = None) -> None:
        """Note that a run begins, and what it is given, but for secrets: these are never stored.

        Args:
            store: The store of the run.
            given: What it is given by name, by kind: its inputs and its context.
            resumed: The run that it takes over from.

        """
        self._note(store, {"state": "running", "resumed": resumed})
        kept = {kind: {k: v for k, v in values.items() if not is_secret(k)} for kind, values in given.items()}
        secrets = [name for values in given.values() for name in values if is_secret(name)]
        store.write(_GIVEN, {"output": {**kept, "secrets": secrets}}, step=self._pipeline, quiet=True)

    def end(self, store: FileStore, state: str, steps: Mapping[str, str]) -> None:
        """Note what a run came to, and what became of its steps."""
        self._note(store, {**_record(store.folder), "state": state, "steps": steps})

    def _note(self, store: FileStore, record: Mapping[str, Any]) -> None:
        text = json.dumps({"run_id": store.folder.name, "pipeline": self._pipeline, **record})
        store.write_text(_RECORD, text)

    def newest(self) -> str | None:
        """The id of the newest run; None if there is none."""
        return next(reversed(self.runs()), None)

    def stores(self, run_id: str) -> tuple[FileStore, ...]:
        """The store of a run, and those of the runs that it took over from, as far as it did not get.

        Raises:
            RunError: There is no run of that name.

        """
        known = self.runs()
        if run_id not in known:
            hint = did_you_mean(run_id, known, listing="its runs are")
            message = f"pipeline {self._pipeline!r} has no run {run_id!r}; {hint}"
            raise RunError(message)
        return tuple(FileStore(self.folder / found) for found in self._line(run_id))

    def _line(self, run_id: str) -> list[str]:
        """A run, and what it took over from: one that was completed has all of that itself."""
        found = [run_id]
        while (record := _record(self.folder / found[-1])).get("state") != "completed":
            before = record.get("resumed")
            if not isinstance(before, str) or before in found or not (self.folder / before / _RECORD).is_file():
                break
            found.append(before)
        return found

    def given(self, run_id: str) -> Mapping[str, Any]:
        """What a run was given: its `inputs` and its `context`, and the names of `secrets`, which are in neither.

        Raises:
            RunError: There is no such run, or what it was given could not be kept.

        """
        first, *_ = self.stores(run_id)
        found = first.read(_GIVEN)
        try:
            given: Mapping[str, Any] | None = None if found is None else found["output"].load()
        except Damaged:
            given = None
        if given is None:
            message = (
                f"what run {run_id!r} of pipeline {self._pipeline!r} was given is not kept, because it cannot be pickled "
                f"or written; give it again: run(inputs=..., context=..., resume={run_id!r})"
            )
            raise RunError(message)
        return given

    def older_than(self, moment: float) -> list[Path]:
        """The folders of runs that ended before a moment, but for those that a later one took over from."""
        runs = [self.folder / run_id for run_id in self.runs()]
        old = {run for run in runs if _has_ended(run) and (run / _RECORD).stat().st_mtime < moment}
        kept = {other for run in runs if run not in old for other in self._line(run.name)}
        return [run for run in runs if run in old and run.name not in kept]

    def prune(self, keep: int) -> None:
        """Remove all but the newest runs, and what these took over from; one that may still go on stays."""
        runs = self.runs()
        kept = {other for run_id in runs[-keep:] for other in self._line(run_id)}
        for run_id in runs:
            folder = self.folder / run_id
            if run_id not in kept and _has_ended(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _record(folder: Path) -> dict[str, Any]:
    """What is noted of a run; nothing where that is damaged."""
    try:
        found = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _has_ended(folder: Path) -> bool:
    try:
        age = time.time() - (folder / _RECORD).stat().st_mtime
    except OSError:
        return False
    return _record(folder).get("state", "running") != "running" or age > UNFINISHED_SECONDS
