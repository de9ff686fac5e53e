"""`RayExecution`: replicates on a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from crystallize_core import BasePlugin
from crystallize_core.option_checks import at_least_one, positive_seconds, true_or_false
from crystallize_ray.options import is_address, is_environment

__all__ = ["RayExecution"]


@attrs.frozen
class RayExecution(BasePlugin):
    """Run replicates on a Ray cluster, in one process (actor) for each core that it has.

    Args:
        address: `"auto"` for a cluster that this machine is part of, `"host:port"` for the same by its address,
            `"ray://host:port"` to reach one from outside through its Ray Client server. None for the Ray that
            this process is connected to already, else for that of the variable `RAY_ADDRESS`; else one is
            started on this machine, and ended after the run.
        max_workers: The most processes at a time; None for as many as the cluster has room for, also where
            nodes join later.
        max_deaths: How many processes one replicate may take with it before its cells count as failed.
        connect_timeout: Seconds to wait for a server at the address.
        runtime_env: A runtime environment of Ray, such as `{"working_dir": "."}` or `{"env_vars": {...}}`, for
            clusters whose machines do not have the modules of the experiment.
        log_to_driver: Whether what steps print, and what Ray has to say, is printed here; else it is in the
            logs of Ray.
        progress: Whether to say on stderr how far the run is.

    Raises:
        ValueError: An option has a value that it cannot have.

    """

    plugin_name: ClassVar[str | None] = "ray"
    concurrency = "process"
    allocates_resources: ClassVar[bool] = True

    address: str | None = attrs.field(default=None, validator=is_address)
    max_workers: int | None = attrs.field(default=None, validator=at_least_one)
    max_deaths: int = attrs.field(default=3, validator=at_least_one)
    connect_timeout: float = attrs.field(default=10.0, validator=positive_seconds)
    runtime_env: Mapping[str, Any] | None = attrs.field(default=None, validator=is_environment)
    log_to_driver: bool = attrs.field(default=False, validator=true_or_false)
    progress: bool = attrs.field(default=False, validator=true_or_false)

    def run_experiment_loop(self, experiment: Any, replicate_fn: Any) -> list[Any]:
        """Run the pending replicates and deliver each outcome as it arrives.

        Raises:
            ImportError: Ray is not installed.
            NotSendableError: The experiment cannot be sent to another process.
            WorkerError: The cluster is not there, has no node that can run the steps, or cannot run replicates.
            BaseException: What `replicate_fn` raised in a worker.

        """
        if not replicate_fn.pending or replicate_fn.stopped:
            return []
        from crystallize_ray.driving import drive  # noqa: PLC0415 - only a run needs it

        drive(self, experiment, replicate_fn)
        return []
