"""Workers that die."""

from __future__ import annotations

import os
import signal

import pytest

from crystallize_core import Experiment, ResourceRequest, pipeline_step
from crystallize_core.errors import WorkerError
from crystallize_core.remote import Payload
from crystallize_ray import RayExecution
from crystallize_ray.crew import Crew, nodes_of
from crystallize_ray.demands import Demands

pytestmark = pytest.mark.usefixtures("connected")


def experiment_of(step, *plugins, replicates):
    return Experiment(
        datasource=lambda ctx: ctx["replicate"], pipeline=[step], replicates=replicates, plugins=list(plugins)
    )


def test_a_replicate_that_always_kills_its_worker_fails_alone():
    """The others have their outcomes; the error says how often, and what is known of the end, in short."""

    @pipeline_step()
    def deadly(data, ctx):
        if data == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return data, {"square": data * data}

    result = experiment_of(deadly, RayExecution(max_workers=2, max_deaths=2), replicates=8).run()
    assert result.metrics.baseline.metrics["square"] == [n * n for n in range(8) if n != 3]
    (error,) = result.errors.values()
    assert isinstance(error, WorkerError)
    assert (error.replicate, error.condition) == (3, "baseline")
    assert "its worker died 2 times while it ran alone in it, at last with process " in str(error)
    assert len(str(error)) < 600


def test_replicates_that_kill_their_worker_once_are_healed(tmp_path):
    """Nothing is lost, and the digest is that of a quiet run."""
    coordinator = os.getpid()

    @pipeline_step()
    def unlucky(data, ctx):
        if os.getpid() != coordinator and data % 20 == 3 and not (tmp_path / f"{data}").exists():
            (tmp_path / f"{data}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return data, {"square": data * data}

    healed = experiment_of(unlucky, RayExecution(max_workers=2), replicates=60).run()
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [3, 23, 43]
    assert healed.errors == {}
    assert healed.digest == experiment_of(unlucky, replicates=60).run().digest


def test_workers_that_end_while_they_start_end_the_run(tmp_path):
    """After a few attempts, with the reason and what to do."""
    (tmp_path / "crystallize_ray").mkdir()
    (tmp_path / "crystallize_ray" / "__init__.py").write_text("raise ImportError('broken here')\n")
    executor = RayExecution(runtime_env={"env_vars": {"PYTHONPATH": str(tmp_path)}})
    with pytest.raises(WorkerError) as caught:
        experiment_of(pipeline_step()(lambda data, ctx: data), executor, replicates=2).run()
    assert caught.value.message == (
        "the workers on the Ray cluster end while they start: ImportError: broken here\n"
        "  every node needs what is installed here: pip install crystallize-ray"
    )


def test_workers_that_are_about_to_start_do_so_before_they_are_ended(connected):
    """An actor that is killed at the moment at which it gets its process would keep its part of the cluster for ever."""
    crew = Crew(
        connected, Payload("token", b""), Demands(ResourceRequest()), None, enter_folder=False, cluster_stays=True
    )
    for _ in range(2):
        crew.hire()
    starting = [member.starting for member in crew.members]
    crew.dissolve()
    assert crew.members == []
    assert set(connected.get(starting)) <= {node["NodeID"] for node in nodes_of(connected)}
