"""The Ray of a run: one that is there already, one at an address, or one on this machine for as long as it is needed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from crystallize_core.errors import WorkerError, describe
from crystallize_ray.process_state import forget_token, quiet, undisturbed
from crystallize_ray.reaching import host_and_port, require_server
from crystallize_ray.words import in_short

__all__ = ["Wanted", "session"]

LONGEST_FOLDER: Final = 40
"""Ray has sockets in its folder, whose paths may have 107 bytes; about 60 of them are its own."""


@attrs.frozen
class Wanted:
    """Which Ray a run wants.

    Attributes:
        address: None for the one of this process, else that of `RAY_ADDRESS`, else one of its own.
        connect_timeout: Seconds to wait for a server at an address.
        cores: How many cores one of its own says that it has; None to count them.
        runtime_env: The runtime environment, for those that are connected to for this run.
        log_to_driver: Whether what workers print is printed here.

    """

    address: str | None
    connect_timeout: float
    cores: int | None
    runtime_env: Mapping[str, Any] | None
    log_to_driver: bool


_lock = threading.RLock()
_current: _Connection | None = None


class _Connection:
    """What runs of this process opened, and share: Ray has one connection per process."""

    def __init__(self, ray: Any, wanted: Wanted) -> None:
        self.address = wanted.address or os.environ.get("RAY_ADDRESS") or None
        self.holders = 0
        self._ray = ray
        self._folder: Path | None = None
        self._quiet = contextlib.ExitStack()
        try:
            self._open(wanted)
        except BaseException:
            self.close()
            raise
        if not wanted.log_to_driver:
            self._quiet.enter_context(quiet())
            _stop_messages(ray)

    def _open(self, wanted: Wanted) -> None:
        options: dict[str, Any] = {"configure_logging": False, "log_to_driver": wanted.log_to_driver}
        if wanted.runtime_env is not None:
            options["runtime_env"] = dict(wanted.runtime_env)
        if self.address is None:
            self._open_own(options, wanted.cores)
            return
        if ":" in self.address:
            require_server(self.address, wanted.connect_timeout)
        try:
            self._connect(options)
        except (Exception, SystemExit) as error:  # Ray ends the process where its server says nothing
            raise _no_connection(self.address, error) from error

    def _connect(self, options: dict[str, Any]) -> None:
        for attempts_left in (1, 0):
            try:
                with undisturbed({}):
                    self._ray.init(address=self.address, **options)
            except ConnectionAbortedError:
                # The Ray Client server starts a process for each client, which now and then dies at once.
                if not attempts_left:
                    raise
            else:
                return

    def _open_own(self, options: dict[str, Any], cores: int | None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="crystallize-ray-", dir=_short_folder()))
        # Ray would write a token of its own into the home of the user.
        has_token = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
        variables = {} if has_token else {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
        try:
            with undisturbed(variables):
                forget_token()
                self._ray.init(
                    address="local", num_cpus=cores, include_dashboard=False, _temp_dir=str(self._folder), **options
                )
        except (Exception, SystemExit) as error:
            raise WorkerError(f"Ray cannot start on this machine: {describe(error)}") from error

    def close(self) -> None:
        with undisturbed({}):
            self._ray.shutdown()
        self._quiet.close()
        if self._folder is not None:
            forget_token()
            shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def session(ray: Any, wanted: Wanted) -> Iterator[bool]:
    """Be connected to a Ray in the body; what was opened for it is closed after the last of those who share it.

    Yields:
        Whether it was opened now, with the runtime environment that is wanted.

    Raises:
        WorkerError: There is no such Ray, or this process is connected to another one.

    """
    connection, is_new = _entered(ray, wanted)
    try:
        yield is_new
    finally:
        if connection is not None:
            _left(connection)


def _entered(ray: Any, wanted: Wanted) -> tuple[_Connection | None, bool]:
    global _current  # noqa: PLW0603 - so has Ray
    with _lock:
        if ray.is_initialized():
            _refuse_another(ray, wanted.address)
            if _current is not None:
                _current.holders += 1
            return _current, False
        if _current is not None:  # somebody has called ray.shutdown()
            _current.close()
        _current = None
        _current = _Connection(ray, wanted)
        _current.holders = 1
        return _current, True


def _left(connection: _Connection) -> None:
    global _current  # noqa: PLW0603 - so has Ray
    with _lock:
        connection.holders -= 1
        if not connection.holders and connection is _current:
            _current = None
            connection.close()


def _refuse_another(ray: Any, address: str | None) -> None:
    """See that this process is connected to the Ray at this address.

    Raises:
        WorkerError: It is another one, or nobody can tell.

    """
    if address in {None, "auto"} or (_current is not None and _current.address == address):
        return
    assert address is not None
    there = None if address.startswith("ray://") else _connected_to(ray)
    if there is not None and _is_same(address, there):
        return
    where = "" if there is None else f", at {there}"
    message = (
        f"this process is connected to a Ray already{where}, and can have no other one at {address}\n"
        f"  leave out the address to use it, or disconnect with ray.shutdown()"
    )
    raise WorkerError(message)


def _connected_to(ray: Any) -> str | None:
    try:
        return str(ray.get_runtime_context().gcs_address)
    except Exception:  # noqa: BLE001 - a client of Ray does not know it
        return None


def _is_same(one: str, other: str) -> bool:
    (host, port), (other_host, other_port) = host_and_port(one), host_and_port(other)
    return port == other_port and (host == other_host or bool(_resolved(host) & _resolved(other_host)))


def _resolved(host: str) -> set[str]:
    """The addresses of a host, and for one of this machine all that this machine has."""
    with contextlib.suppress(OSError):
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
        if any(place.startswith("127.") or place == "::1" for place in found):
            from ray.util import get_node_ip_address  # noqa: PLC0415 - only a run needs it

            found.add(str(get_node_ip_address()))
        return found
    return set()


def _no_connection(address: str, error: BaseException) -> WorkerError:
    if address == "auto":
        return WorkerError(
            f"there is no Ray to connect to on this machine: {describe(error)}\n"
            f"  start one with `ray start --head`, or leave out the address to start one for the run"
        )
    advice = (
        'the address "ray://host:port" needs more of Ray: pip install "ray[client]"'
        if "ray[client]" in str(error)
        else 'Ray has to be of one version here and there; "host:port" needs a node of the cluster on this machine, and '
        '"ray://host:port" does not'
    )
    return WorkerError(f"cannot connect to the Ray at {address}: {in_short(error)}\n  {advice}")


def _stop_messages(ray: Any) -> None:
    """Keep Ray from printing a page for each worker that dies: a run says itself what is to be said of them."""
    with contextlib.suppress(AttributeError):
        worker = ray._private.worker.global_worker  # noqa: SLF001 - there is no public way
        if worker.connected and worker.gcs_error_subscriber is not None:
            worker.threads_stopped.set()
            worker.gcs_error_subscriber.close()


def _short_folder() -> str | None:
    """Where to make a folder for Ray; None for the usual place."""
    usual = tempfile.gettempdir()
    return "/tmp" if len(usual) > LONGEST_FOLDER and os.access("/tmp", os.W_OK) else None  # noqa: S108 - mkdtemp is safe
