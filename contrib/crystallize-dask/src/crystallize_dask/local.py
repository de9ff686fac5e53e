"""The worker processes of a cluster that is started for one run: begun, replaced when they die, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

import attrs

from crystallize_core.errors import WorkerError
from crystallize_core.processes import interrupts_blocked, sys_path

__all__ = ["LocalWorkers", "cores", "worker_count"]

WORKERS: Final = "CRYSTALLIZE_WORKERS"
"""How many workers of its own a process may have at work; shared with all executors of Crystallize."""
START_ATTEMPTS: Final = 3
"""How many workers may end by themselves before the first one is ready; then the run is given up."""
START_ATTEMPTS_LATER: Final = 50
"""How many in a row may end while they start once one was ready, or where something kills them."""
GRACE: Final = 5.0
"""Seconds that workers get to end by themselves once nothing is left to do."""
# The script of the user is not run again, and what it can import its workers can import as well.
_PROGRAM: Final = """\
import json, sys
wanted = json.loads(sys.argv.pop())
sys.path[:] = wanted["path"]
from crystallize_dask.local_worker import serve
serve(wanted)
"""


def cores() -> int:
    """How many workers this process may have at work: what it was told to, or the cores that it may use."""
    from dask.system import CPU_COUNT  # noqa: PLC0415 - only a run needs it

    told = os.environ.get(WORKERS, "")
    return int(told) if told.isdecimal() and int(told) > 0 else int(CPU_COUNT)


def worker_count(max_workers: int | None, threads: int, pending: int) -> int:
    """How many workers to start for so many replicates; None stands for the cores, shared by the threads of each."""
    return max(1, min(max(1, cores() // threads) if max_workers is None else max_workers, pending))


@attrs.define(eq=False)
class _Worker:
    name: str
    process: subprocess.Popen[bytes]
    folder: Path
    ready: bool = False


class LocalWorkers:
    """The worker processes of one run; a context manager that leaves none of them behind.

    Args:
        address: Where the scheduler is.
        count: How many to have at most.
        threads: How many threads of Dask each has.
        folder: For their temporary files.

    """

    def __init__(self, address: str, count: int, threads: int, folder: Path) -> None:
        self._address = address
        self._count = count
        self._threads = threads
        self._workers: list[_Worker] = []
        self._started = self._failed_starts = 0
        self._one_was_ready = False
        self._folder = folder

    def tend(self, wanted: int) -> None:
        """Start as many as are missing for so many replicates, also in place of those that have ended.

        Raises:
            WorkerError: They end again and again while they start.

        """
        for worker in [worker for worker in self._workers if worker.process.poll() is not None]:
            self._bury(worker)
        while len(self._workers) < min(self._count, wanted):
            self._start()

    def seen(self, names: Iterable[str]) -> None:
        """Note that the scheduler knows the workers with these names."""
        ready = set(names)
        for worker in self._workers:
            if worker.name in ready and not worker.ready:
                worker.ready = self._one_was_ready = True
                self._failed_starts = 0

    def kill(self, names: Iterable[str]) -> None:
        """End the workers with these names without waiting for what they do."""
        unwanted = set(names)
        for worker in self._workers:
            if worker.name in unwanted:
                worker.process.kill()

    def _start(self) -> None:
        self._started += 1
        name = f"crystallize-{os.getpid()}-{self._started}"
        folder = self._folder / str(self._started)
        folder.mkdir()
        wanted = {"address": self._address, "name": name, "threads": self._threads, "folder": str(folder)}
        # The flags of this interpreter, as multiprocessing hands them on: -O, -W, -X.
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
        path = [entry for entry in sys_path() if not entry.startswith(str(self._folder))]
        command = [sys.executable, *flags, "-c", _PROGRAM, json.dumps({**wanted, "path": path})]
        environment = {**os.environ, WORKERS: str(max(1, cores() // self._count))}
        with interrupts_blocked():
            process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)  # noqa: S603 - this interpreter
            self._workers.append(_Worker(name, process, folder))

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        _close(worker)
        if worker.ready:
            return
        self._failed_starts += 1
        code = worker.process.returncode
        limit = START_ATTEMPTS_LATER if code < 0 or self._one_was_ready else START_ATTEMPTS
        if self._failed_starts >= limit:
            how = f"exit code {code}" if code >= 0 else f"signal {-code}"
            message = f"the workers of the local Dask cluster end while they start ({how}); what they wrote to stderr says why"
            raise WorkerError(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._let_end()
        finally:
            for worker in self._workers:
                worker.process.kill()
            for worker in self._workers:
                worker.process.wait()
                _close(worker)
            self._workers.clear()

    def _let_end(self) -> None:
        for worker in self._workers:
            if worker.ready and worker.process.stdin is not None:
                with contextlib.suppress(OSError):
                    worker.process.stdin.write(b"end\n")
                    worker.process.stdin.flush()
            else:
                worker.process.kill()
        until = time.monotonic() + GRACE
        for worker in self._workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, until - time.monotonic()))


def _close(worker: _Worker) -> None:
    if worker.process.stdin is not None:
        with contextlib.suppress(OSError):
            worker.process.stdin.close()
    shutil.rmtree(worker.folder, ignore_errors=True)
