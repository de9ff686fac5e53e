"""One Ray cluster for all tests here, on this machine: starting one takes many seconds."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import warnings

import pytest

# Read when Ray is imported. The cluster is reached by whoever runs on this machine, for as long as the tests run.
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# Seconds after which a Ray Client server gives up the process for a client, if that has died; the next one is tried then.
os.environ["RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S"] = "15"


def free_port():
    with socket.socket() as server:
        server.bind(("", 0))
        return server.getsockname()[1]


@pytest.fixture(scope="session")
def client_port():
    return free_port()


@pytest.fixture(scope="session")
def cluster(client_port):
    """A cluster of one node with two cores, to which further nodes can be added; this process is not connected."""
    with what_ray_leaves_open():
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 2, "include_dashboard": False, "ray_client_server_port": client_port}
        found = Cluster(initialize_head=True, head_node_args=head)
    yield found
    found.shutdown()


@contextlib.contextmanager
def what_ray_leaves_open():
    """Files of log of the processes that it starts, which would be warned of during some later test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.fixture
def another_node(cluster):
    """Adds a node with these options for the time of a test."""
    nodes = []

    def add(**options):
        with what_ray_leaves_open():
            nodes.append(cluster.add_node(**options))
        return nodes[-1]

    yield add
    for node in nodes:
        cluster.remove_node(node)


@pytest.fixture(scope="session")
def session_of_ray(cluster):
    import ray

    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    yield ray
    ray.shutdown()


@pytest.fixture
def connected(session_of_ray):
    """This process is connected to the cluster, as that of a user who has called `ray.init`."""
    return session_of_ray


@pytest.fixture(autouse=True)
def only_what_is_named(monkeypatch, tmp_path):
    """No other plugin that may be installed takes part, and nothing is written beside the tests."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)
