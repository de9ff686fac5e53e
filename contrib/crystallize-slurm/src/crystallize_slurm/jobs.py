"""The jobs of a run: submitting, asking after and cancelling them, on Slurm and on this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import platform
import shutil
import signal
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs

from crystallize_core.errors import WorkerError, describe
from crystallize_slurm.mailbox import names_in
from crystallize_slurm.states import OVER, States, asked, check_scheduler

if TYPE_CHECKING:
    from crystallize_slurm.execution import SlurmExecution

__all__ = ["ENDED", "Job", "Jobs", "LocalJobs", "SlurmJobs", "cluster_of", "jobs_on"]

ENDED: Final = "its process has ended"
"""How a job ended that has ended by itself, where the cluster has not said more."""
LOG_LINES: Final = 20
"""How many lines of the log of a job are shown."""
LOG_BYTES: Final = 3000
QUESTION_POLLS: Final = 10
"""Slurm is asked at most once in so many looks, and only if a job is silent."""
CALM_POLLS: Final = 60
"""So often it is asked in any case."""


@attrs.define(eq=False)
class Job:
    """A job that was submitted.

    Attributes:
        name: The name of the worker that it runs.
        handle: What submitit knows of it.
        submitted: When, by `time.monotonic`.

    """

    name: str
    handle: Any
    submitted: float = attrs.field(factory=time.monotonic)

    @property
    def id(self) -> str:
        """The number that the cluster has given it."""
        return str(self.handle.job_id)

    def age(self) -> float:
        """Seconds since it was submitted."""
        return time.monotonic() - self.submitted

    @property
    def log(self) -> Path:
        """Where it writes what goes wrong."""
        errors, output = Path(self.handle.paths.stderr), Path(self.handle.paths.stdout)
        return errors if errors.exists() or not output.exists() else output

    def end_of_log(self) -> str:
        """The last lines of its log, and where it is; for messages."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - LOG_BYTES))
                lines = file.read().decode(errors="replace").rstrip().split("\n")[-LOG_LINES:]
        except OSError:
            return f"it has left no log in {self.log.parent}; do all machines of the cluster see this folder?"
        if lines == [""]:
            return f"its log {self.log} is empty"
        return "\n    ".join([f"the end of its log {self.log}:", *lines])


def cluster_of(asked_for: str | None) -> str:
    """Where to run.

    Raises:
        ImportError: submitit is not installed.
        WorkerError: Nothing was asked for, and Slurm is not there.

    """
    if importlib.util.find_spec("submitit") is None:
        raise ImportError("SlurmExecution needs submitit: pip install crystallize-slurm")
    if asked_for in ("local", "debug"):
        return asked_for
    missing = [command for command in ("srun", "sbatch") if shutil.which(command) is None]
    if missing:
        message = (
            f"Slurm is not here: {' and '.join(map(repr, missing))} cannot be found in PATH\n  run on a machine of the "
            'cluster that may submit jobs, or say SlurmExecution(cluster="local") to run the jobs on this machine'
        )
        raise WorkerError(message)
    return "slurm"


def jobs_on(cluster: str, parameters: Mapping[str, Any], options: SlurmExecution) -> Jobs:
    """The jobs of a run, of which there is none yet.

    Raises:
        WorkerError: Slurm does not answer.

    """
    if cluster == "slurm":
        check_scheduler(options.connect_timeout)
        return SlurmJobs(cluster, parameters, options.poll_seconds)
    return LocalJobs(cluster, parameters, options.poll_seconds)


class Jobs(ABC):
    """The jobs of a run.

    Args:
        cluster: What submitit calls it.
        parameters: For submitit.
        poll_seconds: The longest pause between looks.

    """

    are_children: ClassVar[bool] = False
    """Whether they are processes of this one, which has to wait for them until they are gone."""

    def __init__(self, cluster: str, parameters: Mapping[str, Any], poll_seconds: float) -> None:
        self._cluster, self._parameters, self._poll_seconds = cluster, dict(parameters), poll_seconds
        self._executor: Any = None

    @property
    def minutes(self) -> float:
        """How long a job may take."""
        return float(self._parameters["timeout_min"])

    @property
    def warning_seconds(self) -> float:
        """How long before its end a job gets a signal."""
        return float(self._parameters.get("slurm_signal_delay_s", 90))

    def open(self, folder: Path) -> None:
        """Say where the files of the jobs go, before the first one is submitted.

        Raises:
            ValueError: There is a parameter that submitit does not know.

        """
        import submitit  # noqa: PLC0415 - only a run needs it

        self._executor = submitit.AutoExecutor(folder, cluster=self._cluster)
        try:
            self._executor.update_parameters(**self._parameters)
        except (AssertionError, NameError, TypeError, ValueError) as error:
            raise ValueError(f"parameters of SlurmExecution: {describe(error)}") from error

    def run_here(self, folder: Path, function: Callable[..., None], *args: Any) -> None:
        """Call a function as submitit's cluster `debug` does, in this process."""
        folder.mkdir(parents=True, exist_ok=True)
        own = Path(tempfile.mkdtemp(prefix="debug-", dir=folder))
        self.open(own)
        self._executor.submit(function, *args).result()
        shutil.rmtree(own, ignore_errors=True)

    def submit(self, function: Callable[..., Any], calls: Mapping[str, tuple[Any, ...]]) -> list[Job]:
        """Submit a job for each call.

        Args:
            function: What to call.
            calls: The arguments by the name of the worker.

        Raises:
            WorkerError: The cluster did not take them.

        """
        try:
            with _undisturbed(), _quiet(), _outside_of_jobs():
                handles = self._executor.map_array(function, *zip(*calls.values(), strict=True))
        except Exception as error:
            message = f"the cluster {self._cluster!r} takes no job: {describe(error)}"
            raise WorkerError(message) from error
        return [Job(name, handle) for name, handle in zip(calls, handles, strict=True)]

    @abstractmethod
    def ended(self, jobs: Sequence[Job], *, asks: bool) -> list[tuple[Job, str]]:
        """Those that do not run any more, each with how it ended.

        Args:
            jobs: All that are not known to have ended.
            asks: Whether one of them is silent, so that the cluster should be asked soon.

        """

    @abstractmethod
    def cancel(self, jobs: Sequence[Job], processes: Sequence[str]) -> None:
        """End these at once.

        Args:
            jobs: The jobs.
            processes: For each, its machine and process; empty if it has not started.

        """


class SlurmJobs(Jobs):
    """Jobs of Slurm."""

    def open(self, folder: Path) -> None:
        """As above."""
        super().open(folder)
        import submitit  # noqa: PLC0415 - only a run needs it

        self._states = States(submitit.SlurmJob.watcher.read_info)
        self._folder = folder
        self._last = time.monotonic()

    def ended(self, jobs: Sequence[Job], *, asks: bool) -> list[tuple[Job, str]]:
        """Those whose result is there, and those of which Slurm says it."""
        names = set(names_in(self._folder))
        found = {job.id: ENDED for job in jobs if f"{job.id}_0_result.pkl" in names}
        since = time.monotonic() - self._last
        if since >= (QUESTION_POLLS if asks else CALM_POLLS) * self._poll_seconds:
            states = self._states.ask([(job.id, job.submitted) for job in jobs])
            found |= {job: state for job, state in states.items() if state in OVER}
            self._last = time.monotonic()
        return [(job, found[job.id]) for job in jobs if job.id in found]

    def cancel(self, jobs: Sequence[Job], processes: Sequence[str]) -> None:  # noqa: ARG002 - Slurm knows them
        """One `scancel` for all; `job.cancel()` would be a process for each, and writes on the terminal."""
        if jobs:
            asked(["scancel", *(job.id for job in jobs)])


class LocalJobs(Jobs):
    """Processes of this machine. Each job is one that watches over another, the worker."""

    are_children = True

    def ended(self, jobs: Sequence[Job], *, asks: bool) -> list[tuple[Job, str]]:  # noqa: ARG002 - it is known
        """Those that have ended."""
        return [(job, ENDED) for job in jobs if job.handle.done()]

    def cancel(self, jobs: Sequence[Job], processes: Sequence[str]) -> None:
        """Kill them; `job.cancel()` would write a traceback on the terminal."""
        for job, process in zip(jobs, processes, strict=True):
            machine, _, number = process.rpartition(":")
            with contextlib.suppress(ProcessLookupError):
                if number and machine == platform.node():
                    os.kill(int(number), signal.SIGKILL)
                else:
                    os.kill(int(job.id), signal.SIGTERM)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits until it is known which jobs there are, and does not reach local jobs, which would all say so."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What submitit logs in this thread is for nobody; what is wrong is raised."""
    ours = threading.get_ident()
    logger = logging.getLogger("submitit")

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.thread != ours

    logger.addFilter(is_of_others)
    try:
        yield
    finally:
        logger.removeFilter(is_of_others)


@contextlib.contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """A coordinator that is itself a job must not pass on what describes that job."""
    if "SLURM_JOB_ID" not in os.environ:
        yield
        return
    from submitit.helpers import clean_env  # noqa: PLC0415 - only a run needs it

    with clean_env():
        yield
