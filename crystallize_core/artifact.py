"""Artifacts: named bytes that a step leaves behind, before anyone has decided where they go."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import attrs

from crystallize_core.errors import ArtifactError, did_you_mean

__all__ = ["Artifact", "ArtifactList", "ArtifactLog", "ArtifactRecord", "CellArtifact", "check_artifact_name"]

LONGEST_NAME = 240
"""Bytes; file systems allow 255 for one part of a path, and stores add endings of their own."""


def check_artifact_name(name: object) -> str:
    """The name itself, if it is a relative path that cannot leave the folder it is put into.

    Raises:
        ArtifactError: It is empty, absolute, contains `..`, backslashes or control characters, or is too long.

    """
    if not isinstance(name, str):
        message = f"the name of an artifact must be a str, found {type(name).__qualname__} {name!r}"
        raise ArtifactError(message)
    parts = name.split("/")
    problem = None
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        problem = "is absolute"
    elif any(part in {"", ".", ".."} for part in parts):
        problem = "has an empty part, '.' or '..'"
    elif "\\" in name or any(ord(char) < 32 or ord(char) == 127 for char in name):  # noqa: PLR2004 - control characters
        problem = "has a backslash or a control character"
    elif any(len(part.encode("utf-8", "surrogatepass")) > LONGEST_NAME for part in parts):
        problem = f"has a part of more than {LONGEST_NAME} bytes"
    if problem:
        message = f"artifact name {name!r} {problem}; use a relative name such as 'plots/curve.png'"
        raise ArtifactError(message)
    return name


@attrs.define
class ArtifactRecord:
    """One artifact of one step.

    Attributes:
        name: Relative name, unique within the step.
        step: The step that wrote it.
        digest: Digest of the content, 64 hexadecimal digits.
        size: Bytes.
        data: The content, until a plugin has stored it somewhere.
        uri: Where it was stored; None while it is only in memory.
        signature: Proof that this user's run wrote the content, for formats that can run code when they are
            read; hexadecimal digits. It differs between users, so that it is no part of any digest.

    """

    name: str
    step: str
    digest: str
    size: int
    data: bytes | None = attrs.field(default=None, repr=False)
    uri: str | None = None
    signature: str | None = attrs.field(default=None, repr=False)

    def stored_at(self, uri: str) -> None:
        """Note where the content is now and let go of the bytes; for plugins that store artifacts."""
        self.uri = uri
        self.data = None

    def read(self) -> bytes:
        """The content, from memory or from the file that it was stored in.

        Raises:
            ArtifactError: It is neither in memory nor in a readable file.

        """
        if self.data is not None:
            return self.data
        if self.uri is None:
            message = f"artifact {self.name!r} was not kept: no plugin stored it"
            raise ArtifactError(message, step=self.step)
        try:
            content = Path(self.uri).read_bytes()
        except OSError as error:
            message = f"artifact {self.name!r} cannot be read from {self.uri}: {error}"
            raise ArtifactError(message, step=self.step) from error
        if hashlib.blake2b(content, digest_size=32).hexdigest() != self.digest:
            message = f"artifact {self.name!r} in {self.uri} is not what the run wrote: its digest differs"
            raise ArtifactError(message, step=self.step)
        return content


class ArtifactLog:
    """`ctx.artifacts`: the artifacts of this step, and the way to write more."""

    __slots__ = ("_committed", "_open", "_staged", "_step")

    def __init__(
        self,
        committed: Sequence[ArtifactRecord],
        staged: Sequence[ArtifactRecord],
        step: str | None,
        open_stage: Callable[[], Any],
    ) -> None:
        self._committed, self._staged, self._step, self._open = committed, staged, step, open_stage

    def add(self, name: str, data: bytes | bytearray | memoryview | str, *, signature: str | None = None) -> None:
        """Write an artifact; text is encoded as UTF-8.

        Args:
            name: Relative name of the file.
            data: The content.
            signature: For plugins that write formats which run code when they are read: what
                `crystallize_core.signing` made of the content, in hexadecimal digits. It is kept beside the content.

        Raises:
            ArtifactError: The name could leave its folder, was used in this step already, or the
                data is neither bytes nor text.

        """
        check_artifact_name(name)
        step = self._step or ""
        if any(item.name == name and item.step == step for item in self):
            message = f"artifact {name!r} was written already in this step; names are written once"
            raise ArtifactError(message, step=self._step)
        content = data.encode() if isinstance(data, str) else data
        if not isinstance(content, (bytes, bytearray, memoryview)):
            message = (
                f"artifact {name!r} must be bytes or str, found {type(data).__qualname__}; give Artifact a writer="
            )
            raise ArtifactError(message, step=self._step)
        content = bytes(content)
        digest = hashlib.blake2b(content, digest_size=32).hexdigest()
        items = self._open().artifacts
        items.append(ArtifactRecord(name, step, digest, len(content), content, signature=signature))
        if items is not self._committed:
            self._staged = items

    def __iter__(self) -> Iterator[ArtifactRecord]:
        found = self._committed if self._step is None else [item for item in self._committed if item.step == self._step]
        return iter([*found, *self._staged])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> ArtifactRecord:
        for item in self:
            if item.name == name:
                return item
        message = f"no artifact {name!r} was written here"
        raise ArtifactError(message, step=self._step)


@attrs.frozen
class CellArtifact:
    """An artifact with the cell that it belongs to.

    Attributes:
        replicate, condition: The cell.
        record: The artifact as its step wrote it.

    """

    replicate: int
    condition: str
    record: ArtifactRecord

    @property
    def name(self) -> str:
        """The name of the artifact."""
        return self.record.name

    @property
    def step(self) -> str:
        """The step that wrote it."""
        return self.record.step

    @property
    def digest(self) -> str:
        """Digest of the content, 64 hexadecimal digits."""
        return self.record.digest

    @property
    def size(self) -> int:
        """Bytes."""
        return self.record.size

    @property
    def uri(self) -> str | None:
        """Where it was stored; None while it is only in memory."""
        return self.record.uri

    @property
    def signature(self) -> str | None:
        """Proof that this user's run wrote the content, where its format asks for one."""
        return self.record.signature

    def stored_at(self, uri: str) -> None:
        """Note where the content is now; for plugins that store or move artifacts."""
        self.record.stored_at(uri)

    def read(self) -> bytes:
        """The content."""
        return self.record.read()


class ArtifactList(tuple[CellArtifact, ...]):
    """`result.artifacts`: every artifact, in the order of replicates, conditions and steps."""

    __slots__ = ()

    def find(
        self, name: str, *, condition: str = "baseline", replicate: int = 0, step: str | None = None
    ) -> CellArtifact:
        """One artifact.

        Raises:
            ArtifactError: It was not written in that cell.

        """
        for artifact in self:
            is_there = (artifact.name, artifact.condition, artifact.replicate) == (name, condition, replicate)
            if is_there and step in (None, artifact.step):
                return artifact
        here = [a.name for a in self if (a.condition, a.replicate) == (condition, replicate)]
        message = f"no artifact {name!r} was written; {did_you_mean(name, here, listing='written there')}"
        raise ArtifactError(message, replicate=replicate, condition=condition, step=step)

    def names(self) -> list[str]:
        """The names, each once, sorted."""
        return sorted({artifact.name for artifact in self})


def _default_loader(path: Path) -> bytes:
    return path.read_bytes()


@attrs.define(eq=False)
class Artifact:
    """A named output of an experiment, handed to the steps that have a parameter of its name.

    Listed in `Experiment(outputs=[Artifact("model.bin")])`, a step receives it as `model_bin` or `model`
    and calls `write`.

    Args:
        name: Relative name of the file.
        writer: Turns what `write` is given into bytes; default: bytes and text as they are.
        loader: Turns the path of a stored artifact into a value; default: its bytes.

    """

    name: str
    writer: Callable[[Any], bytes] | None = None
    loader: Callable[[Path], Any] = _default_loader
    _log: ArtifactLog | None = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        check_artifact_name(self.name)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameter names that receive this artifact: the whole name and its stem, as identifiers."""
        whole = "".join(char if char.isalnum() else "_" for char in self.name)
        stem = "".join(char if char.isalnum() else "_" for char in PurePosixPath(self.name).stem)
        return (self.name,) if self.name.isidentifier() else (whole, stem)

    def bound_to(self, log: ArtifactLog) -> Artifact:
        """The same artifact, writing into the step that `log` belongs to."""
        bound = Artifact(self.name, self.writer, self.loader)
        bound._log = log
        return bound

    def write(self, data: Any, ctx: Any = None) -> None:
        """Write the content of this artifact in the current step.

        Args:
            data: Bytes or text, or whatever `writer` accepts.
            ctx: The context of the step; not needed where the artifact came as a parameter.

        Raises:
            ArtifactError: It is not known which step this is, or the data is not what `writer` accepts.

        """
        log = ctx.artifacts if ctx is not None else self._log
        if log is None:
            message = (
                f"artifact {self.name!r} does not know its step: list it in Experiment(outputs=[...]) and take it "
                f"as the parameter {self.parameters[0]!r}, or pass the context: artifact.write(data, ctx)"
            )
            raise ArtifactError(message)
        log.add(self.name, data if self.writer is None else self.writer(data))

    def load(self, path: str | Path) -> Any:
        """The value of a stored artifact, made by `loader`."""
        return self.loader(Path(path))
