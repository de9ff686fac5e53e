"""`DaskExecution`: replicates on a Dask cluster."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

from crystallize_core import BasePlugin
from crystallize_core.option_checks import at_least_one, positive_seconds, true_or_false
from crystallize_dask.options import is_address

__all__ = ["DaskExecution"]


@attrs.frozen
class DaskExecution(BasePlugin):
    """Run replicates on a Dask cluster, one at a time in each of its worker processes.

    Args:
        address: Where the scheduler is: `"tcp://host:port"`, `"tls://host:port"`, `"dask://host:port"`, `"host:port"`, or the
            path of a scheduler file. None starts a cluster of processes on this machine, for the time of the run.
        max_workers: The number of processes of the cluster on this machine; None for the number of cores that this
            process may use. On a cluster that is there, all its workers are used.
        threads_per_worker: The threads of Dask in each of these processes. Replicates take turns in any case; the
            others are for what steps submit to the cluster themselves.
        max_deaths: How many workers one replicate may take with it before its cells count as failed.
        connect_timeout: Seconds to wait for the scheduler, and after that for its first worker.
        progress: Whether to say on stderr how far the run is.

    Raises:
        ValueError: An option has a value that it cannot have.

    """

    plugin_name: ClassVar[str | None] = "dask"
    concurrency = "process"

    address: str | None = attrs.field(default=None, validator=is_address)
    max_workers: int | None = attrs.field(default=None, validator=at_least_one)
    threads_per_worker: int = attrs.field(default=1, validator=at_least_one)
    max_deaths: int = attrs.field(default=3, validator=at_least_one)
    connect_timeout: float = attrs.field(default=10.0, validator=positive_seconds)
    progress: bool = attrs.field(default=False, validator=true_or_false)

    @property
    def allocates_resources(self) -> bool:
        """Whether the cluster is asked for what steps want: one that is started here has what this machine has."""
        return self.address is not None

    def run_experiment_loop(self, experiment: Any, replicate_fn: Any) -> list[Any]:
        """Run the pending replicates and deliver each outcome as it arrives.

        Raises:
            ImportError: Dask is not installed.
            NotSendableError: The experiment cannot be sent to another process.
            WorkerError: The scheduler or its workers are not there, or cannot run replicates.
            BaseException: What `replicate_fn` raised in a worker.

        """
        numbers = replicate_fn.pending
        if not numbers or replicate_fn.stopped:
            return []
        try:
            import distributed  # noqa: F401, PLC0415 - only a run needs it
        except ImportError as error:
            message = f"the executor 'dask' needs dask.distributed: pip install crystallize-dask ({error})"
            raise ImportError(message) from error
        from crystallize_dask.driving import drive  # noqa: PLC0415 - as above

        drive(self, experiment, replicate_fn, numbers)
        return []
