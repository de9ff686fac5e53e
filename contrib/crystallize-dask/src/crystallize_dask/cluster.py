"""The cluster that a run uses: one that is there, or one on this machine for the time of the run."""

from __future__ import annotations

import contextlib
import logging
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from crystallize_core.errors import WorkerError, describe
from crystallize_dask.local import LocalWorkers, worker_count
from crystallize_dask.options import scheduler_address

if TYPE_CHECKING:
    from crystallize_dask.execution import DaskExecution

__all__ = ["Cluster", "cluster_for"]

NEVER: Final = 10**9
"""Seconds, some thirty years."""


@attrs.frozen
class Cluster:
    """What a run uses.

    Attributes:
        client: A connected client of Dask.
        address: Where the scheduler is.
        workers: The processes of a cluster that is this run's own; None for one that was there.

    """

    client: Any
    address: str
    workers: LocalWorkers | None = None


@contextlib.contextmanager
def cluster_for(options: DaskExecution, pending: int) -> Iterator[Cluster]:
    """The cluster for so many replicates; at the end, what was started here is ended, and what was there is left alone.

    Raises:
        WorkerError: The scheduler is not there.

    """
    with _quiet_logs(), _same_generator():
        if options.address is None:
            with _local(options, pending) as cluster:
                yield cluster
        else:
            address = scheduler_address(options.address)
            with _connected(address, options.connect_timeout) as client:
                yield Cluster(client, address)


@contextlib.contextmanager
def _connected(address: str, timeout: float) -> Iterator[Any]:
    from distributed import Client  # noqa: PLC0415 - only a run needs it

    try:
        # Not as the default, which is the user's.
        client = Client(address, timeout=timeout, set_as_default=False, name="crystallize")
    except Exception as error:
        message = (
            f"no Dask scheduler answers at {address} (waited up to {timeout:g} s): {describe(error)}\n"
            f"  start one with `dask scheduler`, or check the address and whether a firewall is in between; without "
            f"an address, a cluster of processes on this machine is used"
        )
        raise WorkerError(message) from error
    try:
        yield client
    finally:
        with contextlib.suppress(OSError, TimeoutError):  # a scheduler that is gone
            client.close()


@contextlib.contextmanager
def _local(options: DaskExecution, pending: int) -> Iterator[Cluster]:
    from distributed import LocalCluster  # noqa: PLC0415 - only a run needs it

    count = worker_count(options.max_workers, options.threads_per_worker, pending)
    with _temporary_folder() as folder:
        scheduler = {
            "allowed_failures": 0,  # whose fault it was is judged here
            "worker_ttl": NEVER,  # C code may keep the interpreter of a worker to itself for long
            "dashboard_address": "127.0.0.1:0",  # a port that is free; there is no dashboard on it
            "local_directory": str(folder),
        }
        with (
            LocalCluster(
                n_workers=0,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                silence_logs=None,
                scheduler_kwargs=scheduler,
            ) as cluster,
            _connected(cluster.scheduler_address, max(options.connect_timeout, 10)) as client,
            LocalWorkers(cluster.scheduler_address, count, options.threads_per_worker, folder) as workers,
        ):
            yield Cluster(client, cluster.scheduler_address, workers)


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder for the time of the run. Dask puts it on `sys.path`, and it is taken from there as well."""
    with tempfile.TemporaryDirectory(prefix="crystallize-dask-", ignore_cleanup_errors=True) as folder:
        try:
            yield Path(folder)
        finally:
            sys.path[:] = [entry for entry in sys.path if not str(entry).startswith(folder)]


@contextlib.contextmanager
def _same_generator() -> Iterator[None]:
    """Dask draws from the global generator, in threads of its own; the caller's next number is the same nevertheless."""
    before = random.getstate()
    try:
        yield
    finally:
        random.setstate(before)


@contextlib.contextmanager
def _quiet_logs() -> Iterator[None]:
    """Keep from the terminal what Dask logs about dying workers and closing connections; errors are raised instead.

    Each run adds a filter of its own and removes that again, so that runs at the same time do not disturb each other.
    """
    import distributed  # noqa: F401, PLC0415 - sets up its loggers

    handlers = [one for one in logging.getLogger("distributed").handlers if type(one) is logging.StreamHandler]

    def drop(record: logging.LogRecord) -> bool:
        return record.levelno > logging.CRITICAL

    for handler in handlers:
        handler.addFilter(drop)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(drop)
