"""The kit that every executor has to pass: on a cluster that is there, and on those that are started for each run."""

from __future__ import annotations

import pytest

from crystallize_core.testing import ExecutorConformance
from crystallize_dask import DaskExecution

_there: list[str] = []
"""The address of the cluster of these tests; not in scripts, which start clusters of their own."""


@pytest.fixture(autouse=True)
def _on_the_cluster(request):
    """Tests that ask for it are run on the cluster that is there."""
    _there[:] = [request.getfixturevalue("address")] if request.cls is TestOnAClusterThatIsThere else []


class TestOnAClusterThatIsThere(ExecutorConformance):
    workers = (2,)
    keeps_workers = True  # the workers are not those of the run, and Dask keeps some threads of its own
    timeout_seconds = 120
    ends_hanging_steps = True

    def executor(self, workers):
        return DaskExecution(*_there, max_workers=workers)


@pytest.mark.slow  # each test starts a cluster
class TestOnAClusterOfItsOwn(ExecutorConformance):
    keeps_workers = True  # Dask keeps some threads of its own; that no process is left is tested elsewhere
    timeout_seconds = 120
    ends_hanging_steps = True

    def executor(self, workers):
        return DaskExecution(max_workers=workers)
