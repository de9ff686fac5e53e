"""The folder that one run writes into, as every process of the run knows it.

The coordinator decides where it is and says so in plain values; any worker makes the same object of them.
The folder itself is made by whoever stores the first artifact, so that a run without any leaves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from crystallize_artifacts.files import exists, make_folders, refuse_other_spelling, write_whole
from crystallize_artifacts.layout import METADATA, artifact_path, component, folders, run_folder
from crystallize_artifacts.manifest import RUNNING, now, write_json

__all__ = ["Staging"]


@attrs.frozen
class Staging:
    """Where a run writes.

    Attributes:
        root: The root of all experiments, absolute and without links.
        experiment: The folder of the experiment, below the root.
        run: The id of the run.
        about: What `metadata.json` says from the start.
        folders: Condition -> the name of its folder.

    """

    root: Path
    experiment: Path
    run: str
    about: Mapping[str, Any]
    folders: Mapping[str, str]

    @classmethod
    def plan(cls, root: str, info: Any, **about: Any) -> Staging:
        """Decide where a run writes; nothing is made yet.

        Args:
            root: The root as the user gave it.
            info: The `RunInfo` of the run.
            about: What `metadata.json` says besides.

        """
        where = Path(root).expanduser().resolve()
        named = folders(info.conditions)
        known = {
            "experiment": info.experiment,
            "run": info.id,
            "created": now(),
            "replicates": info.replicates,
            "conditions": list(info.conditions),
            "folders": named,
            **about,
        }
        return cls(where, where / component(info.experiment), info.id, known, named)

    @classmethod
    def of(cls, shared: Mapping[str, Any]) -> Staging:
        """What `to_shared` was made of."""
        return cls(Path(shared["root"]), Path(shared["experiment"]), shared["run"], shared["about"], shared["folders"])

    def to_shared(self) -> dict[str, Any]:
        """Plain values for the workers."""
        return {
            "root": str(self.root),
            "experiment": str(self.experiment),
            "run": self.run,
            "about": dict(self.about),
            "folders": dict(self.folders),
        }

    @property
    def folder(self) -> Path:
        """The folder, which need not exist."""
        return self.experiment / run_folder(self.run)

    def parts(self, replicate: int, condition: str, step: str, name: str) -> Sequence[str]:
        """Where an artifact belongs, relative to the folder."""
        return artifact_path(replicate, self.folders.get(condition, component(condition)), step, name)

    def path(self, parts: Sequence[str]) -> Path:
        """Where a file is that belongs there."""
        return self.folder.joinpath(*parts)

    def begin(self) -> None:
        """Make the folder and say whose it is, before anything else is in it."""
        make_folders(self.root, self.folder)
        if not exists(self.folder / METADATA):
            write_json(self.folder / METADATA, {"status": RUNNING, **self.about})

    def write(self, parts: Sequence[str], content: bytes) -> Path:
        """Store a file and say where it is.

        A file that is there already was written by an earlier attempt of the same replicate, in a worker
        that died, and is replaced.

        Raises:
            OSError: It cannot be stored; no half of it remains.

        """
        self.begin()
        target = self.path(parts)
        make_folders(self.root, target.parent)
        if exists(target):
            refuse_other_spelling(self.folder, target)
        write_whole(target, content)
        return target
