"""Clusters that are not there."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

import pytest

from crystallize_core.errors import WorkerError
from crystallize_ray.reaching import host_and_port, require_server


@pytest.fixture
def listener():
    """A server that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def address_of(server):
    return f"127.0.0.1:{server.getsockname()[1]}"


def test_an_address_has_a_host_and_a_port():
    """With and without the scheme, also of the newer kind of addresses."""
    assert host_and_port("head:6379") == ("head", 6379)
    assert host_and_port("ray://head:10001") == ("head", 10001)
    assert host_and_port("[::1]:6379") == ("::1", 6379)


def test_nobody_listens(listener):
    """The message has the address, what was tried and what to do."""
    address = address_of(listener)
    listener.close()
    with pytest.raises(WorkerError) as caught:
        require_server(address, 0.3)
    first, second = str(caught.value).splitlines()
    assert (
        first == f"no Ray answers at {address}: ConnectionRefusedError: [Errno 111] Connection refused; tried for 0.3 s"
    )
    assert "ray start --head" in second


def test_what_listens_says_nothing(listener):
    """A server that hangs is not waited for longer than was asked for."""
    began = time.monotonic()
    with pytest.raises(WorkerError, match=r"what listens there says nothing; tried for 0\.5 s"):
        require_server(f"ray://{address_of(listener)}", 0.5)
    assert time.monotonic() - began < 5


def test_what_listens_is_something_else(listener):
    """The port of a web server, say."""

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    with pytest.raises(WorkerError, match="what listens there is something else"):
        require_server(address_of(listener), 0.5)


def test_a_server_that_starts_a_little_later_is_waited_for(client_port, cluster):
    """Nothing is raised once it answers; the client server of Ray and the head speak the same."""
    require_server(cluster.address, 10)
    require_server(f"ray://127.0.0.1:{client_port}", 10)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_a_run_without_a_cluster_ends_with_one_message(address):
    """Within ten seconds, and with nothing else printed."""
    code = f"""
from crystallize_core import Experiment, CrystallizeError
from crystallize_ray import RayExecution
executor = RayExecution(address={address!r}, connect_timeout=1)
try:
    Experiment(lambda ctx: 1, [lambda data, ctx: data], [executor], replicates=2).run()
except CrystallizeError as error:
    print(type(error.__cause__ or error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("WorkerError")
    assert "ray start --head" in done.stdout
