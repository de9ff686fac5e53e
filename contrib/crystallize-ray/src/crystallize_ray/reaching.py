"""Whether a server that may be a Ray is there, known within seconds: Ray itself tries for minutes, and prints meanwhile."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Final

from crystallize_core.errors import WorkerError

__all__ = ["host_and_port", "require_server"]

GREETING: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""How a client of HTTP/2, which Ray speaks, begins: the preface, and a frame with no settings."""
SETTINGS: Final = 4
"""The type of the frame that a server of HTTP/2 answers with; it stands after three bytes of length."""
PAUSE: Final = 0.2
"""Seconds between attempts: a server that is just starting is waited for."""


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of `host:port` or `ray://host:port`."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    return host.strip("[]"), int(port)


def require_server(address: str, seconds: float) -> None:
    """Wait for a server that answers as Ray does.

    Raises:
        WorkerError: There was none for so many seconds.

    """
    end = time.monotonic() + seconds
    while (trouble := _trouble(address, end)) is not None:
        if time.monotonic() + PAUSE >= end:
            message = (
                f"no Ray answers at {address}: {trouble}; tried for {seconds:g} s\n  start one with `ray start --head`, "
                f'which has port 6379 for "host:port" and port 10001 for "ray://host:port"; or leave out the address to '
                f"run on this machine"
            )
            raise WorkerError(message)
        time.sleep(PAUSE)


def _trouble(address: str, end: float) -> str | None:
    """What is wrong; None if all is well."""
    try:
        with socket.create_connection(host_and_port(address), timeout=_left(end)) as connection:
            if os.environ.get("RAY_USE_TLS", "0") not in {"", "0"}:
                return None  # what answers is only known after a handshake, which is Ray's
            connection.sendall(GREETING)
            return _answered(connection, end)
    except OSError as error:
        return f"{type(error).__name__}: {error}"


def _answered(connection: socket.socket, end: float) -> str | None:
    head = b""
    with contextlib.suppress(TimeoutError):
        while len(head) <= 3:  # noqa: PLR2004 - the place of the type
            connection.settimeout(_left(end))
            found = connection.recv(9)
            if not found:
                return "what listens there hung up"
            head += found
        return None if head[3] == SETTINGS else "what listens there is something else"
    return "what listens there says nothing"


def _left(end: float) -> float:
    return max(0.05, end - time.monotonic())
