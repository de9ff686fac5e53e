"""What steps ask of a machine, in the words of Dask."""

from __future__ import annotations

import os

import pytest

from crystallize_core import BasePlugin, Experiment, as_request, pipeline_step
from crystallize_core.errors import CrystallizeError, HookError, WorkerError
from crystallize_dask import DaskExecution
from crystallize_dask.demands import Demands


def claims():
    """A plugin that makes `resources` an option of steps."""

    class Claims(BasePlugin):
        plugin_name = "claims"

        def step_options(self):
            from crystallize_core import as_request

            return {"resources": as_request}

    return Claims()


def experiment(step, *plugins, replicates=10):
    return Experiment(lambda ctx: ctx["replicate"], [step], [*plugins, claims()], replicates=replicates)


@pytest.mark.parametrize(
    ("asked", "worker", "taken"),
    [
        ({}, {}, {}),
        ({}, {"resources": {"GPU": 1}}, {}),
        ({"gpu": 1}, {}, None),
        ({"gpu": 1}, {"resources": {"GPU": 2}}, {"GPU": 1.0}),
        ({"gpu": 3}, {"resources": {"GPU": 2}}, None),
        ({"gpu": "v100"}, {"resources": {"GPU": 2}}, None),
        ({"gpu": "v100"}, {"resources": {"GPU": 2, "v100": 2}}, {"GPU": 1.0}),
        ({"cpu": 4}, {}, {}),
        ({"cpu": 4}, {"resources": {"CPU": 8}}, {"CPU": 4.0}),
        ({"cpu": 4}, {"resources": {"CPU": 2}}, None),
        ({"memory": "1Gi"}, {"memory_limit": 2**29}, None),
        ({"memory": "1Gi"}, {"memory_limit": 2**31}, {}),
        ({"memory": "1Gi"}, {"memory_limit": 0}, {}),
        ({"memory": "1Gi"}, {"memory_limit": 2**29, "resources": {"MEMORY": 2**31}}, {"MEMORY": 2.0**30}),
        ({"storage": "1Gi"}, {"resources": {"STORAGE": 10}}, None),
        ({"affinity": "zone=eu"}, {"resources": {"zone:us": 1}}, None),
        ({"affinity": "zone=eu"}, {"resources": {"zone:eu": 1}}, {}),
    ],
)
def test_which_workers_will_do_and_what_a_replicate_takes_of_them(asked, worker, taken):
    """GPUs, their type and labels must be declared; the rest counts where it is declared."""
    assert Demands(as_request(asked)).taken_of(worker) == taken


def test_the_demands_are_the_most_that_any_step_asks_for():
    """A replicate runs all steps in one worker."""

    @pipeline_step(resources={"cpu": 2, "memory": "1Gi"})
    def one(data, ctx):
        return data

    @pipeline_step(resources={"cpu": 1, "gpu": 1})
    def two(data, ctx):
        return data

    both = Experiment(lambda ctx: 1, [one, two], [claims()], replicates=1)
    assert Demands.of(both).request == as_request({"cpu": 2, "memory": "1Gi", "gpu": 1})


def test_replicates_run_where_it_is_declared(cluster, address, worker_at):
    """Of the workers of a cluster only that one is used; what the others lack does not hold up the run."""

    @pipeline_step(resources={"gpu": 1})
    def where(data, ctx):
        return data, {"pid": os.getpid()}

    process = worker_at(address, "--resources", "GPU=1")
    cluster.wait_for_workers(3, timeout=60)
    result = experiment(where, DaskExecution(address)).run()
    assert result.metrics.baseline.metrics == {"pid": [process.pid] * 10}


def test_what_no_worker_declares_is_refused(address):
    """With what there is, and with the option that workers have to be started with."""

    @pipeline_step(resources={"gpu": 2, "affinity": "zone=eu"})
    def picky(data, ctx):
        return data

    with pytest.raises(CrystallizeError) as caught:
        experiment(picky, DaskExecution(address)).run()
    error = caught.value.__cause__ if isinstance(caught.value, HookError) else caught.value
    assert isinstance(error, WorkerError)
    assert "the steps ask for 2 GPUs, a machine with zone=eu, and no worker declares that:" in str(error)
    assert ": declares nothing, memory limit none" in str(error)
    assert 'start workers with: dask worker --resources "GPU=2,zone:eu=1"' in str(error)
