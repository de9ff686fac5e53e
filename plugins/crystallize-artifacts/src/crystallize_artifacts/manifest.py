"""What a version says about itself: `metadata.json`, `manifest.json`, `metrics.jsonl` and each condition's `results.json`.

These are the only files in a version that are not artifacts. They are what a reader goes by: nothing is
found by guessing at the names of folders.
"""

from __future__ import annotations

import datetime as dt
import json
import math
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
    "plain",
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
        signature: Proof that this user's run wrote it, for formats that run code when they are read.

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
    signature: str | None = None


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
        entries = [_without(attrs.asdict(entry), "signature") for entry in self.entries]
        write_json(folder / MANIFEST, {"artifacts": entries, "unclaimed": list(self.unclaimed)})


def _without(table: dict[str, Any], name: str) -> dict[str, Any]:
    """The table, without that name where it stands for nothing."""
    return {key: value for key, value in table.items() if key != name or value is not None}


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


def plain(value: Any) -> Any:
    """The value as JSON can hold it; the result itself is what keeps values exactly."""
    if hasattr(value, "tolist"):  # arrays and the numbers of numpy
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return str(value)


def now() -> str:
    """The time as these files write it."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def status_of(folder: Path) -> Mapping[str, Any]:
    """The metadata of a folder; an empty table if it has none."""
    return read_json(folder / METADATA)
