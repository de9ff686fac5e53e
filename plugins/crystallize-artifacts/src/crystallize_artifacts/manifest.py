"""What a version says about itself: `metadata.json`, `manifest.json` and the `results.json` of each condition.

These are the only files in a version that are not artifacts. They are what a reader goes by: nothing is
found by guessing at the names of folders.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from crystallize_artifacts.files import write_whole
from crystallize_artifacts.layout import MANIFEST, METADATA

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "FINISHED",
    "INCOMPLETE",
    "INTERRUPTED",
    "RUNNING",
    "Entry",
    "Manifest",
    "now",
    "read_json",
    "status_of",
    "write_json",
]

RUNNING: Final = "running"
FINISHED: Final = "finished"
INTERRUPTED: Final = "interrupted"
INCOMPLETE: Final = "incomplete"
"""A run that came to its end, but could not store everything that it wrote."""


@attrs.frozen
class Entry:
    """One artifact of a version.

    Attributes:
        name, step, condition, replicate: Which artifact it is.
        size: Bytes.
        digest: Digest of the content, as the run recorded it.
        path: Where it is, relative to the folder of the version, with `/`.
        failed: Whether a later step of its cell failed.
        pruned: The run that removed the file because its user asked for that; None while it is there.

    """

    name: str
    step: str
    condition: str
    replicate: int
    size: int
    digest: str
    path: str
    failed: bool = False
    pruned: str | None = None


@attrs.frozen
class Manifest:
    """The artifacts of a version.

    Attributes:
        entries: The artifacts, in the order of replicates, conditions and steps.
        unclaimed: Files that a worker wrote before it died, so that the result does not know of them.

    """

    entries: Sequence[Entry] = ()
    unclaimed: Sequence[str] = ()

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """The manifest in this folder; None if there is none that can be read."""
        found = read_json(folder / MANIFEST)
        try:
            return cls([Entry(**entry) for entry in found["artifacts"]], found["unclaimed"])
        except (KeyError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Write it into this folder."""
        entries = [attrs.asdict(entry) for entry in self.entries]
        write_json(folder / MANIFEST, {"artifacts": entries, "unclaimed": list(self.unclaimed)})


def read_json(path: Path) -> Mapping[str, Any]:
    """The table in a file; an empty one if there is no such file or it holds something else."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a table of plain values as a whole file."""
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def now() -> str:
    """The time as these files write it."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def status_of(folder: Path) -> Mapping[str, Any]:
    """The metadata of a folder; an empty table if it has none."""
    return read_json(folder / METADATA)
