"""Reading stored artifacts back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import attrs

from crystallize_artifacts.files import is_plain, locked, names_in, reread
from crystallize_artifacts.layout import LOCK, component, original
from crystallize_artifacts.loading import StoredAsset, restored
from crystallize_artifacts.manifest import Entry, Manifest
from crystallize_artifacts.sidecar import Sidecar, asset_name
from crystallize_artifacts.versions import versions
from crystallize_core import BASELINE_CONDITION, ArtifactError, Asset
from crystallize_core.errors import did_you_mean

__all__ = ["ArtifactStore"]


@attrs.frozen
class ArtifactStore:
    """The stored artifacts of all experiments below one root; it reads and never writes.

    Args:
        root_dir: The `root_dir` of the `ArtifactPlugin` that wrote them.

    """

    root_dir: str = attrs.field(default="./data", converter=os.fspath)

    def experiments(self) -> list[str]:
        """The names of the experiments that have results here, as far as they fit into a path."""
        root = self._root()
        found = ((original(name), root / name) for name in names_in(root) if not name.startswith("."))
        return [
            name for name, folder in found if name is not None and is_plain(folder, folder=True) and versions(folder)
        ]

    def versions(self, experiment: str) -> list[int]:
        """The numbers of the versions of an experiment, the oldest first; empty if it has none."""
        with self._reading(experiment) as folder:
            return list(versions(folder))

    def latest(self, experiment: str) -> int:
        """The number of the newest version.

        Raises:
            ArtifactError: The experiment has none.

        """
        with self._reading(experiment) as folder:
            return self._chosen_version(experiment, folder, None)[0]

    def entries(self, experiment: str, *, version: int | None = None) -> list[Entry]:
        """All artifacts of a version, the newest one if none is named.

        Raises:
            ArtifactError: There is no such version.

        """
        with self._reading(experiment) as folder:
            _, chosen = self._chosen_version(experiment, folder, version)
            return list(_manifest(chosen, experiment).entries)

    def read(
        self,
        experiment: str,
        name: str,
        *,
        condition: str = BASELINE_CONDITION,
        replicate: int = 0,
        step: str | None = None,
        version: int | None = None,
    ) -> bytes:
        """The content of one artifact, checked against the digest that its run recorded.

        Args:
            experiment: The name of the experiment.
            name: The name of the artifact.
            condition: The condition that wrote it.
            replicate: The number of the replicate that wrote it.
            step: The step that wrote it; needed where several wrote one of this name.
            version: The number of the version; default the newest one.

        Raises:
            ArtifactError: It is not there, was pruned, or is not what the run wrote.

        """
        with self._reading(experiment) as folder:
            number, chosen = self._chosen_version(experiment, folder, version)
            entries = _manifest(chosen, experiment).entries
            entry = _chosen(entries, name, condition, replicate, step, where=f"version {number} of {experiment!r}")
            return _content(chosen, entry, experiment)

    def load(
        self,
        experiment: str,
        name: str,
        *,
        condition: str = BASELINE_CONDITION,
        replicate: int = 0,
        step: str | None = None,
        version: int | None = None,
    ) -> Asset:
        """An asset that a step returned, with its type, data, name, version and metadata.

        One whose class this process has not imported is a plain `Asset` that names the class in its metadata as
        `asset_type`. The arguments are those of `read`, with the name of the asset in place of that of an artifact.

        Raises:
            ArtifactError: It is not there, was not stored, is not what the run wrote, or is in a format that runs code
                and bears no signature of this user.

        """
        with self._reading(experiment) as folder:
            number, chosen = self._chosen_version(experiment, folder, version)
            entries = _manifest(chosen, experiment).entries
            assets = [attrs.evolve(e, name=known) for e in entries if (known := asset_name(e.name)) is not None]
            where = f"version {number} of {experiment!r}"
            found = _chosen(assets, name, condition, replicate, step, where=where, what="asset")
            address = {"experiment": experiment, "replicate": replicate, "condition": condition, "step": found.step}

            def content_of(artifact: str) -> tuple[bytes, str | None, str]:
                entry = _chosen(entries, artifact, condition, replicate, found.step, where=where)
                return _content(chosen, entry, experiment), entry.signature, str(chosen / entry.path)

            return restored(_content(chosen, found, experiment), str(chosen / found.path), content_of, address)

    def assets(self, experiment: str, *, version: int | None = None) -> list[StoredAsset]:
        """All assets of a version, the newest one if none is named, without their data.

        Raises:
            ArtifactError: There is no such version, or a file of it is not what the run wrote.

        """
        with self._reading(experiment) as folder:
            _, chosen = self._chosen_version(experiment, folder, version)
            entries = _manifest(chosen, experiment).entries
            named = [entry for entry in entries if asset_name(entry.name) is not None and entry.pruned is None]
            found = [(entry, Sidecar.from_json(_content(chosen, entry, experiment))) for entry in named]
        return [StoredAsset.of(entry, sidecar) for entry, sidecar in found if sidecar is not None]

    def _root(self) -> Path:
        return Path(self.root_dir).expanduser().resolve()

    @contextmanager
    def _reading(self, experiment: str) -> Iterator[Path]:
        """The folder of an experiment, in which no version is replaced meanwhile."""
        folder = self._root() / component(experiment)
        with locked(folder / LOCK, shared=True) if is_plain(folder / LOCK) else nullcontext():
            yield folder

    def _chosen_version(self, experiment: str, folder: Path, version: int | None) -> tuple[int, Path]:
        known = versions(folder)
        if not known:
            hint = did_you_mean(experiment, self.experiments(), listing="stored there")
            message = f"no results of experiment {experiment!r} are in {self._root()}; {hint}"
            raise ArtifactError(message, experiment=experiment)
        number = max(known) if version is None else version
        if number not in known:
            listed = ", ".join(map(str, known))
            message = f"experiment {experiment!r} has no version {version!r} in {self._root()}; it has: {listed}"
            raise ArtifactError(message, experiment=experiment)
        return number, known[number]


def _manifest(folder: Path, experiment: str) -> Manifest:
    manifest = Manifest.read(folder)
    if manifest is None:
        message = f"{folder} has no manifest that can be read; it was not written by ArtifactPlugin, or was damaged"
        raise ArtifactError(message, experiment=experiment)
    return manifest


def _chosen(
    entries: Sequence[Entry],
    name: str,
    condition: str,
    replicate: int,
    step: str | None,
    *,
    where: str,
    what: str = "artifact",
) -> Entry:
    """The one entry that is meant; otherwise an error that says which part of the question was wrong."""
    wanted: list[tuple[str, Any]] = [("condition", condition), ("replicate", replicate), ("name", name)]
    if step is not None:
        wanted.insert(2, ("step", step))
    asked = ""
    for field, value in wanted:
        matching = [entry for entry in entries if getattr(entry, field) == value]
        if not matching:
            known = {str(getattr(entry, field)) for entry in entries}
            hint = did_you_mean(str(value), known, listing="stored there")
            message = f"{where} has no {what if field == 'name' else field} {value!r}{asked}; {hint}"
            raise ArtifactError(message, condition=condition, replicate=replicate, step=step)
        entries = matching
        asked += f"{' of' if not asked else ','} {field} {value!r}"
    if len(entries) > 1:
        steps = ", ".join(repr(entry.step) for entry in entries)
        message = f"{where} has {len(entries)} {what}s {name!r}, written by the steps {steps}; say which with step=..."
        raise ArtifactError(message, condition=condition, replicate=replicate)
    return entries[0]


def _content(folder: Path, entry: Entry, experiment: str) -> bytes:
    address = {
        "experiment": experiment,
        "replicate": entry.replicate,
        "condition": entry.condition,
        "step": entry.step,
    }
    path = folder.joinpath(*entry.path.split("/"))
    try:
        if ".." in entry.path.split("/") or not path.is_relative_to(folder):
            raise OSError(0, "the manifest leads out of its folder")  # noqa: TRY301 - one message for all of these
        content = reread(folder, path)
    except OSError as error:
        if entry.pruned is not None:
            message = (
                f"artifact {entry.name!r} ({entry.size} bytes) was removed from {folder} by run {entry.pruned}, "
                f"which had artifact_retention or big_file_threshold_mb set; raise them to keep more"
            )
        else:
            message = f"artifact {entry.name!r} cannot be read from {path}: {error.strerror or error}"
        raise ArtifactError(message, **address) from error
    if hashlib.blake2b(content, digest_size=32).hexdigest() != entry.digest:
        message = f"artifact {entry.name!r} in {path} is not what the run wrote: its digest differs"
        raise ArtifactError(message, **address)
    return content
