"""`SlurmExecution`: replicates in jobs of a Slurm cluster.

Jobs wait in a queue for minutes or hours, so that a job is a *worker* that runs chunk after chunk, and not one chunk: up to
`max_workers` jobs are submitted at once, each begins to work as soon as it starts, and those that still wait when nothing
is left are cancelled. The cluster needs to offer nothing but a folder that all of its machines see: no open ports, no
service, no database. A chunk is a file, and so is each answer. A worker answers about once a second, so that little is
lost when its time is over, when it is preempted or killed, and what it had answered is never lost. What it begins it
notes, so that the replicate which killed it is known, and only that one is suspected.

`mailbox.py` is the folder, `worker.py` what a job does, `coordinator.py` what this process does, `jobs.py` and `states.py`
what is asked of Slurm, and `parameters.py` what the jobs ask for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs

from crystallize_core import BasePlugin
from crystallize_core.option_checks import at_least_one, one_of, positive_seconds, true_or_false
from crystallize_core.remote import Payload, payload_of, run_chunk, take
from crystallize_core.requirements import asked_by
from crystallize_core.schedule import Schedule
from crystallize_slurm.options import check_address, mapping_of_names, usable_folder, word_or_none

if TYPE_CHECKING:
    from crystallize_slurm.jobs import Jobs
    from crystallize_slurm.progress import Progress

__all__ = ["SlurmExecution"]


@attrs.frozen
class SlurmExecution(BasePlugin):
    """Run replicates in jobs of a Slurm cluster.

    Args:
        folder: Where the jobs find their work and leave their logs, in a folder of its own for each run; every machine
            of the cluster must see it. That of a run is removed when it has gone well, and kept after failures.
        cluster: `"slurm"`; `"local"` for jobs that are processes of this machine, to try things out; `"debug"` for one
            that runs in this process, with a debugger where it fails. None is Slurm where `srun` is there; elsewhere the
            run is refused.
        max_workers: How many jobs to have at a time, running or in the queue.
        timeout_minutes: How long a job may take. A run may take longer: a job that is nearly out of time gives its
            place to another. One replicate may not.
        partition: Where the jobs run; None for the default of the cluster.
        account: Who pays for them; None for the default of the user.
        qos: Their quality of service; None for the default.
        parameters: More for submitit and Slurm, such as `{"slurm_setup": ["module load cuda"], "mem_gb": 4}`; what
            submitit has no name for goes into `slurm_additional_parameters`. It counts more than what steps ask for.
        max_deaths: How many jobs one replicate may take with it before its cells count as failed.
        chunk_seconds: About how many seconds of work a job is given in advance.
        poll_seconds: The longest pause between looks at the folder, in seconds. Slurm itself is asked at most every ten
            of them.
        connect_timeout: How many seconds Slurm may take to say that it is there.
        progress: Whether to say on stderr how far the run is.
        address: `slurm://PARTITION`, as `crystallize run --executor slurm://PARTITION` passes it.

    Raises:
        ValueError: An option has a value that it cannot have.

    """

    plugin_name: ClassVar[str | None] = "slurm"
    concurrency = "process"
    allocates_resources: ClassVar[bool] = True

    folder: str | Path = attrs.field(default=".crystallize/slurm", validator=usable_folder)
    cluster: Literal["slurm", "local", "debug"] | None = attrs.field(
        default=None, validator=one_of("slurm", "local", "debug", None)
    )
    max_workers: int = attrs.field(default=8, validator=at_least_one)
    timeout_minutes: int = attrs.field(default=60, validator=at_least_one)
    partition: str | None = attrs.field(default=None, validator=word_or_none)
    account: str | None = attrs.field(default=None, validator=word_or_none)
    qos: str | None = attrs.field(default=None, validator=word_or_none)
    parameters: Mapping[str, Any] = attrs.field(factory=dict, validator=mapping_of_names)
    max_deaths: int = attrs.field(default=3, validator=at_least_one)
    chunk_seconds: float = attrs.field(default=10.0, validator=positive_seconds)
    poll_seconds: float = attrs.field(default=1.0, validator=positive_seconds)
    connect_timeout: float = attrs.field(default=10.0, validator=positive_seconds)
    progress: bool = attrs.field(default=False, validator=true_or_false)
    address: str | None = attrs.field(default=None, validator=check_address)

    def run_experiment_loop(self, experiment: Any, replicate_fn: Any) -> list[Any]:
        """Run the pending replicates and deliver each outcome as it arrives.

        Raises:
            NotSendableError: The experiment cannot be sent to another process.
            DefinitionError: Its steps ask for something that Slurm cannot be asked for.
            WorkerError: Slurm is not there or takes no jobs, or the jobs end before they have begun to work.
            BaseException: What `replicate_fn` raised in a worker.

        """
        from crystallize_slurm.jobs import cluster_of, jobs_on  # noqa: PLC0415 - only a run needs submitit
        from crystallize_slurm.parameters import parameters_of  # noqa: PLC0415 - as above
        from crystallize_slurm.progress import Progress  # noqa: PLC0415 - as above

        numbers = replicate_fn.pending
        if not numbers or replicate_fn.stopped:
            return []
        cluster = cluster_of(self.cluster)
        payload = payload_of(replicate_fn)
        jobs = jobs_on(cluster, parameters_of(self, asked_by(experiment), experiment.name), self)
        count = min(self.max_workers, len(numbers))
        schedule = Schedule(numbers, count, self.max_deaths, ahead_seconds=self.chunk_seconds)
        with Progress(len(numbers), enabled=self.progress) as shown:
            if cluster == "debug":
                jobs.run_here(self._parent(), _loop, replicate_fn, payload, schedule)
            else:
                self._coordinate(experiment.name, payload, replicate_fn, jobs, schedule, count, shown)
        return []

    def _coordinate(
        self,
        name: str,
        payload: Payload,
        replicate_fn: Any,
        jobs: Jobs,
        schedule: Schedule,
        count: int,
        shown: Progress,
    ) -> None:
        from crystallize_slurm.coordinator import Coordinator, kept_after_failures  # noqa: PLC0415 - as above
        from crystallize_slurm.mailbox import RunFolder  # noqa: PLC0415 - as above

        room = RunFolder.make(self._parent(), re.sub(r"[^\w.-]+", "-", name)[:40] or "run", payload)
        with kept_after_failures(room) as kept, Coordinator(replicate_fn, room, jobs, schedule, shown, self) as run:
            run.drive(count)
            kept.keep = run.has_lost

    def _parent(self) -> Path:
        return Path(self.folder).expanduser().absolute()


def _loop(replicate_fn: Any, payload: Payload, schedule: Schedule) -> None:
    """All of it in this process, by the same way as in jobs."""
    while not replicate_fn.stopped and (chunk := schedule.next_chunk([])):
        take(replicate_fn, run_chunk(payload, chunk), schedule)
