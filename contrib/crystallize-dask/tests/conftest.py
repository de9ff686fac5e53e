"""What the tests share: one cluster for all that need one that is there already."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys

import pytest


@pytest.fixture(autouse=True)
def only_what_is_named(monkeypatch, tmp_path):
    """No other plugin that may be installed takes part, and nothing is written beside the tests."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)


def scheduler():
    """A scheduler without workers, in a thread of this process."""
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=0,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        silence_logs=logging.CRITICAL,
    )


@contextlib.contextmanager
def started(address, *more, **environment):
    """A `dask worker`, as people start it; its process."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--memory-limit", "0", *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "CRYSTALLIZE_AUTOLOAD": "0", **environment},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session")
def cluster():
    """Two workers with one thread each, which are started again when they die, as on most clusters."""
    with scheduler() as cluster, started(cluster.scheduler_address, "--nworkers", "2"):
        yield cluster


@pytest.fixture
def address(cluster):
    """Where that cluster is, once both of its workers are there."""
    cluster.wait_for_workers(2, timeout=60)
    return cluster.scheduler_address


@pytest.fixture
def bare():
    """A scheduler of its own, without workers."""
    with scheduler() as cluster:
        yield cluster


@pytest.fixture
def worker_at():
    """Starts one more worker at an address, without anybody who starts it again."""
    with contextlib.ExitStack() as workers:
        yield lambda address, *more, **environment: workers.enter_context(
            started(address, "--no-nanny", *more, **environment)
        )
