"""The folder through which a coordinator and its jobs talk; both sides of it.

    RUN/                    of this user alone (mode 700), so that what is unpickled from it is this run's own
        payload             the experiment
        pulse               a number that the coordinator changes while it lives; `stop` when no more is wanted
        begun/NAME          a worker has started: its machine and process
        workers/NAME/       what one worker is given: its chunks, in the order of their names
            now             the replicates that it has begun and not answered; what it was doing when it ended
            beat            touched while the worker lives
            overdue         the step because of which its guard has ended it
        answers/NAME-…      what workers came to
        jobs/               submitit's: scripts, pickles and the logs of the jobs

Each file has one writer and one reader, and appears whole by a rename, so that no lock is needed, which network file
systems do badly. They also remember for a minute what a folder held; `names_in` makes them look again.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pickle
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self

import attrs

from crystallize_core.remote import Answer, Payload

__all__ = ["Chunk", "Pause", "RunFolder", "WorkerFolder", "names_in"]

STOP: Final = "stop"
LEFT: Final = "left"
SHORTEST: Final = 0.005
"""Seconds of the first look again after something has happened."""


def write_whole(path: Path, content: bytes) -> None:
    """Make a file that is seen with all of its content or not at all, also after the machine went down."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def names_in(folder: Path) -> list[str]:
    """The names of the whole files in a folder, in order; none if it is not there."""
    try:
        # A change of attributes, even of nothing, makes a network file system forget what it remembers of a folder.
        with contextlib.suppress(PermissionError):
            folder.chmod(folder.stat().st_mode)
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208 - names, not paths
    except FileNotFoundError:
        return []


class Pause:
    """Waits between looks: shortly after something has happened, longer and longer while nothing does.

    Args:
        longest: Seconds.

    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._next = min(SHORTEST, longest)

    def wait(self) -> None:
        """Wait; half as long again as the last time."""
        time.sleep(self._next)
        self._next = min(1.5 * self._next, self._longest)

    def reset(self) -> None:
        """Something has happened, and more may follow."""
        self._next = min(SHORTEST, self._longest)


@attrs.frozen
class Chunk:
    """Replicates for a worker.

    Attributes:
        numbers: In the order in which to run them.
        needs_fresh: Whether only a job that has all of its time may run them, because the last one had too little.

    """

    numbers: Sequence[int]
    needs_fresh: bool = False


@attrs.frozen
class Now:
    """What a worker was doing when it was last heard of.

    Attributes:
        begun: The replicates that it has begun and not answered; it was at the last one.
        has_left: Whether it went by its own will.

    """

    begun: tuple[int, ...] = ()
    has_left: bool = False


@attrs.frozen
class WorkerFolder:
    """What belongs to one worker."""

    path: Path

    @property
    def beat(self) -> Path:
        """Touched while the worker lives."""
        return self.path / "beat"

    @property
    def now(self) -> Path:
        """What the worker is doing, a line for each thing."""
        return self.path / "now"

    @property
    def overdue(self) -> Path:
        """The last words of a worker that its guard has ended."""
        return self.path / "overdue"

    def make(self) -> None:
        """Make it; in the coordinator, before the job is submitted."""
        self.path.mkdir(parents=True)

    def send(self, place: int, chunk: Chunk) -> None:
        """Give the worker a chunk, as the one at this place of its queue."""
        write_whole(self.path / f"chunk-{place:08d}", json.dumps(attrs.asdict(chunk)).encode())

    def next_chunk(self) -> Chunk | None:
        """The first chunk that is there, which is there no more then; None if there is none."""
        name = next((name for name in names_in(self.path) if name.startswith("chunk-")), None)
        if name is None:
            return None
        chunk = Chunk(**json.loads((self.path / name).read_bytes()))
        (self.path / name).unlink()
        return chunk

    def read_now(self) -> Now:
        """What the worker was doing. Lines that the end of a machine has damaged are no news."""
        try:
            lines = self.now.read_text(errors="replace").split("\n")
        except FileNotFoundError:
            return Now()
        begun = tuple(int(line) for line in lines if line.isdecimal())
        return Now(begun, has_left=LEFT in lines)


class NowFile:
    """What a worker is doing, written by itself. A write costs microseconds, and outlives the death of the process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)

    def note(self, what: int | str) -> None:
        """A replicate is begun, or something else."""
        os.write(self._file, f"{what}\n".encode())

    def clear(self) -> None:
        """All that was begun is answered."""
        os.ftruncate(self._file, 0)


@attrs.frozen
class RunFolder:
    """The folder of one run."""

    path: Path
    _places: Iterator[int] = attrs.field(factory=itertools.count, eq=False, repr=False)

    @classmethod
    def make(cls, parent: Path, name: str, payload: Payload) -> Self:
        """Make one with a name of its own, and put the experiment into it.

        Raises:
            OSError: That is not possible.

        """
        parent.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        made = cls(Path(tempfile.mkdtemp(prefix=f"{name}-{stamp}-", dir=parent)))
        for folder in ("answers", "begun", "jobs", "workers"):
            (made.path / folder).mkdir()
        made.write_pulse("0")
        write_whole(made.path / "payload", pickle.dumps(payload))
        return made

    @property
    def jobs(self) -> Path:
        """Where submitit keeps its files."""
        return self.path / "jobs"

    def worker(self, name: str) -> WorkerFolder:
        """What belongs to the worker of this name."""
        return WorkerFolder(self.path / "workers" / name)

    def payload(self) -> Payload:
        """The experiment."""
        found: Payload = pickle.loads((self.path / "payload").read_bytes())  # noqa: S301 - by the coordinator of this run
        return found

    # The pulse --------------------------------------------------------------------------------------------------------

    def write_pulse(self, text: str) -> None:
        """Say that the coordinator lives, or `STOP`."""
        # Always the same file: a reader on another machine need not find a new one.
        (self.path / "pulse").write_text(text)

    def read_pulse(self) -> str:
        """What the coordinator said last; `STOP` if the folder is gone, and empty while it is being written."""
        try:
            return (self.path / "pulse").read_text()
        except FileNotFoundError:
            return STOP

    # Workers that have started ----------------------------------------------------------------------------------------

    def begin(self, name: str, process: str) -> bool:
        """Say that a worker has started; False if one of this name had, as where Slurm has put a job back in its queue."""
        try:
            with (self.path / "begun" / name).open("x") as file:
                file.write(process)
        except FileExistsError:
            return False
        return True

    def begun(self) -> set[str]:
        """The names of the workers that have started."""
        return set(names_in(self.path / "begun"))

    def process_of(self, name: str) -> str:
        """The machine and process of a worker that has started; empty if it has not."""
        with contextlib.suppress(OSError):
            return (self.path / "begun" / name).read_text()
        return ""

    # Answers ----------------------------------------------------------------------------------------------------------

    def answer(self, name: str, answer: Answer) -> None:
        """Deliver what a worker came to."""
        write_whole(self.path / "answers" / f"{name}-{next(self._places):08d}", pickle.dumps(answer))

    def answers(self) -> Iterator[tuple[str, Answer]]:
        """The answers that are there, each with the name of its worker, and each once."""
        for name in names_in(self.path / "answers"):
            path = self.path / "answers" / name
            answer = pickle.loads(path.read_bytes())  # noqa: S301 - by a worker of this run
            path.unlink()
            yield name.rpartition("-")[0], answer

    def remove(self) -> None:
        """Remove all of it. What a job still holds open may stay, and is empty then."""
        shutil.rmtree(self.path, ignore_errors=True)
