"""What the steps ask for, in the words of Ray."""

from __future__ import annotations

import pytest

from crystallize_core import Experiment, pipeline_step
from crystallize_ray.demands import Demands


def demands(*requests):
    steps = [pipeline_step(resources=asked)(lambda data, ctx: data) for asked in requests]
    return Demands.of(Experiment(lambda ctx: 1, steps, replicates=1))


def node(**resources):
    labels = resources.pop("labels", {})
    found = {"CPU": 4.0, "memory": float(2**34), **resources}
    return {"Resources": found, "Labels": labels, "NodeManagerAddress": "192.0.2.1"}


def test_without_a_request_a_worker_takes_a_core():
    """As Ray's own tasks do."""
    asked = Demands.of(Experiment(lambda ctx: 1, [lambda data, ctx: data], replicates=1))
    assert (asked.actor_options([node()]), asked.room([node(), node(CPU=1.5)])) == ({"num_cpus": 1.0}, 5)


def test_the_most_that_any_step_asks_for_is_taken():
    """Steps of a replicate run one after the other in one worker."""
    asked = demands({"cpu": 2}, {"cpu": 1, "memory": "1Gi", "affinity": "zone=eu"}, {"gpu": 1, "affinity": "fast"})
    assert asked.actor_options([]) == {
        "num_cpus": 2.0,
        "num_gpus": 1.0,
        "memory": 2**30,
        "resources": {"fast": 0.001},
        "label_selector": {"zone": "eu"},
    }


@pytest.mark.parametrize(
    ("asked", "there", "room"),
    [
        ({"cpu": 0.5}, {}, 8),
        ({"cpu": 8}, {}, 0),
        ({"memory": "10Gi"}, {}, 1),
        ({"gpu": 1}, {"GPU": 3.0}, 3),
        ({"gpu": 1}, {}, 0),
        ({"gpu": "nvidia-tesla-v100"}, {"GPU": 8.0, "accelerator_type:V100": 1.0}, 4),
        ({"gpu": "nvidia-tesla-v100"}, {"GPU": 8.0, "accelerator_type:A100": 1.0}, 0),
        ({"gpu": "nvidia-tesla-v100"}, {"GPU": 8.0}, 0),
        ({"affinity": "zone=eu"}, {"labels": {"zone": "eu"}}, 4),
        ({"affinity": "zone=eu"}, {"labels": {"zone": "us"}}, 0),
        ({"affinity": "fast"}, {"fast": 1.0}, 4),
        ({"affinity": "fast"}, {}, 0),
    ],
)
def test_how_many_workers_a_node_has_room_for(asked, there, room):
    """By what it has least of."""
    assert demands(asked).fit(node(**there)) == room


def test_the_type_of_a_gpu_is_written_as_the_nodes_write_it():
    """Ray names them in short."""
    there = [node(GPU=1.0, **{"accelerator_type:V100": 1.0}), node(GPU=1.0, **{"accelerator_type:T4": 1.0})]
    options = demands({"gpu": "nvidia-tesla-v100"}).actor_options(there)
    assert options == {"num_cpus": 1.0, "num_gpus": 1.0, "resources": {"accelerator_type:V100": 0.001}}
