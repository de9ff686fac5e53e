"""What Slurm says of jobs, asked politely: one question for all of them, seldom, with a limit in time, and in silence.

submitit asks in `job.state`, but up to ten minutes late, without a limit, and `sacct` writes its complaints on the terminal.
Where there is no accounting, which small clusters do without, `sacct` fails, and `squeue` is asked.
"""

from __future__ import annotations

import getpass
import shutil
import subprocess
import time
from collections.abc import Sequence
from typing import Any, Final

from crystallize_core.errors import WorkerError

__all__ = ["OVER", "States", "asked", "check_scheduler"]

OVER: Final = frozenset(
    [
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "LAUNCH_FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    ]
)
"""The states of jobs that do not run any more. `PREEMPTED` is one, since our jobs are never put back into the queue."""
ANSWER_SECONDS: Final = 30.0
"""How long a question to Slurm may take."""
LISTED_SECONDS: Final = 60.0
"""A job that was submitted so long ago and is not in the queue is not there any more."""


def asked(command: Sequence[str], seconds: float = ANSWER_SECONDS) -> str | None:
    """What a command of Slurm says; None where it is not there, fails, or does not come back in time."""
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603 - Slurm's
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if found.returncode else found.stdout


def check_scheduler(seconds: float) -> None:
    """Find out whether Slurm's controller answers, because `sbatch` would try for minutes.

    Raises:
        WorkerError: It does not.

    """
    command = ["scontrol", "ping"]
    if shutil.which(command[0]) is None:
        return
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603 - Slurm's
    except (OSError, subprocess.TimeoutExpired):
        found = f"nothing in {seconds:g} s"
    else:
        if said.returncode == 0:
            return
        found = (said.stderr or said.stdout).strip() or f"nothing, with exit code {said.returncode}"
    message = (
        f"Slurm does not answer: `scontrol ping` says: {found}\n  ask whoever runs the cluster, "
        'or run on this machine with SlurmExecution(cluster="local"); connect_timeout says how long to wait'
    )
    raise WorkerError(message)


class States:
    """The states of jobs, as far as Slurm tells.

    Args:
        read: Makes a table of the text of `sacct`, by the id of the job, as `submitit.SlurmJob.watcher.read_info` does.

    """

    def __init__(self, read: Any) -> None:
        self._read = read
        self._has_accounting = True
        self._found: dict[str, str] = {}

    def ask(self, jobs: Sequence[tuple[str, float]]) -> dict[str, str]:
        """The states by the ids of the jobs; those of which nothing is known are left out.

        Args:
            jobs: Their ids, and when they were submitted, by `time.monotonic`.

        """
        if not jobs:
            return {}
        ids = [job for job, _ in jobs]
        if self._has_accounting:
            mains = sorted({job.partition("_")[0] for job in ids})
            text = asked(["sacct", "-X", "-o", "JobID,State", "--parsable2", "-j", ",".join(mains)])
            self._has_accounting = text is not None
            if text is not None:
                self._found = self._table(text)
        if not self._has_accounting:
            self._ask_queue(jobs)
        return {job: self._found[job] for job in ids if job in self._found}

    def _ask_queue(self, jobs: Sequence[tuple[str, float]]) -> None:
        text = asked(["squeue", "-r", "-h", "-t", "all", "-u", getpass.getuser(), "-o", "%i|%T"])
        if text is None:
            return
        self._found = self._table(f"JobID|State\n{text}")
        now = time.monotonic()
        for job, submitted in jobs:
            if now - submitted > LISTED_SECONDS:
                self._found.setdefault(job, "COMPLETED")

    def _table(self, text: str) -> dict[str, str]:
        # "CANCELLED by 1000" is one of them.
        return {job: (row.get("State", "").split() or [""])[0].rstrip("+") for job, row in self._read(text).items()}
