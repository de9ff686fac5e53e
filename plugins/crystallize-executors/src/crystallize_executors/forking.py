"""Processes of multiprocessing that are copies of a server; what else there is to processes is as for all others."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver, popen_forkserver, reduction, util
from multiprocessing.connection import wait
from multiprocessing.context import set_spawning_popen
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ClassVar

from crystallize_core.processes import sys_path
from crystallize_executors.fork_server import server, started_in
from crystallize_executors.fork_server_main import close_all, taken_over

__all__ = ["ForkedProcess"]


class ForkedProcess(BaseProcess):
    """A process that is a copy of the server of `fork_server.py`."""

    _start_method = None  # the processes that it starts are started in the way that is the usual one there

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802 - multiprocessing calls it so
        return _Popen(process_obj)


class _Taken:
    """A descriptor on its way into the copy."""

    def __init__(self, index: int) -> None:
        self.index = index

    def detach(self) -> int:
        return taken_over[self.index]


class _Popen(popen_forkserver.Popen):
    """Starts a process, and tells how it ended."""

    method = "crystallize"
    DupFd: ClassVar[type] = _Taken
    _fds: list[int]

    def _launch(self, process_obj: BaseProcess) -> None:
        buffer = io.BytesIO()
        set_spawning_popen(self)
        try:
            reduction.dump(_preparation(process_obj.name), buffer)
            reduction.dump(process_obj, buffer)
        finally:
            set_spawning_popen(None)
        copy = server.copy(self._fds)
        self.pid, self.sentinel = copy.process, copy.report
        kept = os.dup(copy.description)  # as long as it is open, the copy sees that this process is alive
        self.finalizer = util.Finalize(self, close_all, ([kept, self.sentinel],))
        with os.fdopen(copy.description, "wb") as file:
            file.write(buffer.getbuffer())

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        if self.returncode is None and wait([self.sentinel], 0 if flag == os.WNOHANG else None):
            try:
                self.returncode = forkserver.read_signed(self.sentinel)
            except (OSError, EOFError):  # the server is gone, and nobody can tell any more how the copy ends
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
                self.returncode = -signal.SIGKILL
        return self.returncode


def _preparation(name: str) -> dict[str, Any]:
    """What a process is told before anything else. `__main__` is not among it: what comes from there travels by value."""
    return {
        "name": name,
        "authkey": multiprocessing.current_process().authkey,
        "sys_path": sys_path(started_in()),
        "sys_argv": sys.argv,
        "orig_dir": started_in() or None,
        "dir": str(Path.cwd()),
    }
