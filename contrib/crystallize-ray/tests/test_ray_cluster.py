"""The cluster: nodes that join, what steps ask of them, and clusters that are reached by an address."""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import sys
import time

import pytest

from crystallize_core import BasePlugin, Experiment, as_request, pipeline_step
from crystallize_core.errors import CrystallizeError
from crystallize_ray import RayExecution


def run(step, *, replicates, **options):
    class Claims(BasePlugin):
        """Lets steps say what they need, as the plugin `resources` does; sent by value, as workers have no tests."""

        def step_options(self):
            return {"resources": as_request}

    plugins = [RayExecution(**options), Claims()]
    return Experiment(lambda ctx: ctx["replicate"], [step], plugins, replicates=replicates).run()


def test_a_node_that_joins_late_is_used(connected, another_node, tmp_path):
    """Replicates that wait for a third process are only done once there is one."""

    @pipeline_step()
    def waits(data, ctx):
        (tmp_path / str(os.getpid())).touch()
        until = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 3 and time.monotonic() < until:
            time.sleep(0.02)
        return data, {"processes": len(list(tmp_path.iterdir()))}

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, waits, replicates=6)
        while len(list(tmp_path.iterdir())) < 2 and not running.done():
            time.sleep(0.05)
        another_node(num_cpus=1)
        assert running.result().metrics.baseline.metrics == {"processes": [3] * 6}


def test_workers_that_wait_for_room_hold_up_nobody(connected):
    """More workers are asked for than the cluster has room for; those that start do all the work."""

    @pipeline_step()
    def square(data, ctx):
        return data, {"square": data * data, "worker": os.getpid()}

    metrics = run(square, replicates=50, max_workers=5).metrics.baseline.metrics
    assert metrics["square"] == [n * n for n in range(50)]
    assert len(set(metrics["worker"])) <= 2


def test_a_step_runs_on_a_node_that_has_what_it_asks_for(connected, another_node):
    """Cores, memory, GPUs of a type, and labels, in the words of Ray."""
    another_node(num_cpus=3, num_gpus=2, labels={"zone": "eu"}, resources={"accelerator_type:V100": 1, "fast": 1})

    @pipeline_step(
        resources={
            "cpu": 2,
            "memory": "100Mi",
            "gpu": {"type": "nvidia-tesla-v100", "count": 2},
            "affinity": ["fast", "zone=eu"],
        }
    )
    def greedy(data, ctx):
        import ray

        assigned = ray.get_runtime_context().get_assigned_resources()
        found = {name: assigned[name] for name in ("CPU", "GPU", "fast")}
        return data, {"assigned": found, "devices": os.environ["CUDA_VISIBLE_DEVICES"]}

    metrics = run(greedy, replicates=2).metrics.baseline.metrics
    assert metrics["assigned"] == [{"CPU": 2.0, "GPU": 2.0, "fast": 0.001}] * 2
    assert [sorted(devices.split(",")) for devices in metrics["devices"]] == [["0", "1"]] * 2


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"cpu": 64}, "64 cores"),
        ({"gpu": "nvidia-tesla-v100"}, "1 GPU of type nvidia-tesla-v100"),
        ({"memory": "64Ti"}, "64 TiB of memory"),
        ({"affinity": "zone=mars"}, "a machine with zone=mars"),
    ],
)
def test_what_no_node_has_is_refused_before_anything_runs(connected, asked, words, tmp_path):
    """With what was asked for, what there is, and what to do."""

    @pipeline_step(resources=asked)
    def greedy(data, ctx):
        (tmp_path / "ran").touch()
        return data

    with pytest.raises(CrystallizeError) as caught:
        run(greedy, replicates=2)
    first, *nodes, last = str(caught.value).splitlines()
    assert f"the steps ask for {words}, and no node of the Ray cluster has that:" in first
    assert "CPU=2" in nodes[0]
    assert "ask for less with resources=..., or start a node that has it" in last
    assert not (tmp_path / "ran").exists()


SCRIPT = """
import os
from crystallize_core import Experiment, pipeline_step

@pipeline_step()
def square(data, ctx):
    return data, {"square": data * data, "here": os.getpid() == %d}

experiment = Experiment(lambda ctx: ctx["replicate"], [square], replicates=4)
"""


@pytest.mark.parametrize("how", ["auto", "host:port", "ray://host:port", "RAY_ADDRESS"])
def test_a_cluster_is_reached_by_its_address(cluster, client_port, how, tmp_path):
    """From the command line, where an address stands in place of a name; nothing of Ray is printed."""
    if how.startswith("ray://"):
        pytest.importorskip("grpc", reason="needs ray[client]")
    address = {"host:port": cluster.address, "ray://host:port": f"ray://127.0.0.1:{client_port}"}.get(how, how)
    (tmp_path / "experiment.py").write_text(SCRIPT % os.getpid())
    options = "" if how in {"ray://host:port", "RAY_ADDRESS"} else f'[options.ray]\naddress = "{address}"\n'
    (tmp_path / "crystallize.toml").write_text(f"plugins = []\n{options}")
    name = address if how.startswith("ray://") else "ray"
    env = {key: value for key, value in os.environ.items() if key not in {"CRYSTALLIZE_AUTOLOAD", "RAY_ADDRESS"}}
    if how == "RAY_ADDRESS":
        env["RAY_ADDRESS"] = cluster.address
    command = [sys.executable, "-m", "crystallize_core", "run", "experiment.py", "--executor", name, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=env, cwd=tmp_path)
    assert done.stderr == ""
    (baseline,) = json.loads(done.stdout)["metrics"]
    found = {(replicate, metric): value for replicate, metric, value, *_ in baseline["rows"]}
    assert found == {(n, metric): value for n in range(4) for metric, value in (("square", n * n), ("here", False))}
