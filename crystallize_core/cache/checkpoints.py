"""What the steps of earlier runs of a pipeline came to, so that a run can go on where another ended.

Each run has a folder below `runs/<pipeline>/` in the folder of the cache, with entries like those of the
cache itself. They are kept for steps that are not cached as well.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from crystallize_core.cache.store import FileStore
from crystallize_core.errors import RunError, did_you_mean
from crystallize_core.fingerprint import content_digest

__all__ = ["Checkpoints"]

_RECORD: Final = "run.json"
_GIVEN: Final = "given/run"
LONGEST_NAME: Final = 150
UNFINISHED_SECONDS: Final = 24 * 3600.0
"""A run that does not say that it has ended may still go on, and is left alone for so long."""


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

    def begin(self, run_id: str, given: Mapping[str, Any]) -> FileStore:
        """The store of a new run, which remembers what the run was given."""
        store = FileStore(self.folder / run_id)
        store.write_text(_RECORD, json.dumps({"run_id": run_id, "pipeline": self._pipeline, "state": "running"}))
        store.write(_GIVEN, given, step=self._pipeline, quiet=True)
        return store

    def end(self, run_id: str, record: Mapping[str, Any]) -> None:
        """Note what a run came to."""
        FileStore(self.folder / run_id).write_text(_RECORD, json.dumps(record, allow_nan=False, default=str))

    def store(self, run_id: str | None = None) -> FileStore | None:
        """The store of a run; of the newest one, or None if there is none, where no run is named.

        Raises:
            RunError: There is no run of that name.

        """
        known = self.runs()
        if run_id is None:
            return FileStore(self.folder / known[-1]) if known else None
        if run_id not in known:
            hint = did_you_mean(run_id, known, listing="its runs are")
            message = f"pipeline {self._pipeline!r} has no run {run_id!r}; {hint}"
            raise RunError(message)
        return FileStore(self.folder / run_id)

    def given(self, run_id: str) -> Mapping[str, Any]:
        """What a run was given: its inputs and its context.

        Raises:
            RunError: There is no such run, or what it was given could not be kept.

        """
        store = self.store(run_id)
        found = None if store is None else store.read(_GIVEN)
        if found is None:
            message = f"what run {run_id!r} was given is not kept, because it cannot be pickled; run it with resume={run_id!r}"
            raise RunError(message)
        return found

    def prune(self, keep: int) -> None:
        """Remove all but the newest runs; one that may still go on stays."""
        for run_id in self.runs()[: -keep or None]:
            folder = self.folder / run_id
            if _has_ended(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _has_ended(folder: Path) -> bool:
    try:
        text = (folder / _RECORD).read_text(encoding="utf-8")
        age = time.time() - (folder / _RECORD).stat().st_mtime
        return json.loads(text).get("state") != "running" or age > UNFINISHED_SECONDS
    except (OSError, ValueError, AttributeError):
        return False
