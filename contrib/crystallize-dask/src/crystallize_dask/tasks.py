"""What workers of the cluster run: chunks of replicates, one replicate at a time in each process.

A replicate may use what belongs to its process as a whole: global random generators, the current folder, variables of the
environment. So the threads of one worker take turns, and the result is that of a worker with a single thread.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from crystallize_core.limits.guard import guard_of_this_process
from crystallize_core.packing import keep_own_errors
from crystallize_core.remote import Answer, Payload, close, for_a_moment, knows, run_chunk

__all__ = ["run", "tear_down"]

PATIENCE: Final = 30.0
"""Seconds to wait for the experiment, which is there before any chunk is."""

_turn: Final = threading.Lock()
"""Held by the chunk that runs in this process."""


# Dask, which is imported by now, has changed how our errors are pickled.
keep_own_errors()


def run(token: str, numbers: Sequence[int], mark: str, coordinator: str) -> Answer:
    """Run a chunk of replicates when it is its turn.

    Args:
        token: Which experiment; also the name under which the scheduler keeps it, and where the coordinator listens.
        numbers: The replicates; those for which the time is too short are left out, from the last.
        mark: How the coordinator calls this chunk.
        coordinator: The process of the coordinator.

    """
    from distributed import get_worker  # noqa: PLC0415 - here it is loaded

    worker: Any = get_worker()
    with _my_turn():
        # If the process dies, the coordinator knows by this whose fault it may be, and who only stood in line.
        _ask_scheduler("log_event", topic=token, msg=mark)
        body = (
            b"" if knows(token) else _ask_scheduler("variable_get", name=token, client=None, timeout=PATIENCE)["value"]
        )
        tell = partial(report_overdue, worker.scheduler.address, worker.security, token, worker.address)
        return run_chunk(Payload(token, body), for_a_moment(numbers), guard_of_this_process(tell, coordinator))


def report_overdue(scheduler: str, security: Any, token: str, worker: str, number: int, text: bytes) -> None:
    """Tell the coordinator that a worker is about to be ended; in the process of its guard.

    Args:
        scheduler, security: Where the scheduler is, and how one has to speak with it.
        token: Which experiment.
        worker: The address of the worker.
        number, text: For `Overdue.read`.

    """
    from distributed import Client  # noqa: PLC0415 - only a guard that has something to tell needs it

    with Client(scheduler, security=security, set_as_default=False, name="crystallize-guard") as client:
        client.log_event(token, {"worker": worker, "number": number, "text": text})


def tear_down(token: str) -> None:
    """Tear down the steps of an experiment in this process."""
    with _my_turn():
        close(Payload(token, b""))


@contextlib.contextmanager
def _my_turn() -> Iterator[None]:
    if not _turn.acquire(blocking=False):
        _leave_the_thread_to_others()
        _turn.acquire()
    try:
        yield
    finally:
        _turn.release()


def _leave_the_thread_to_others() -> None:
    """Wait outside the threads that the worker counts: what runs may itself wait for a task of this worker."""
    from distributed import secede  # noqa: PLC0415 - here it is loaded

    with contextlib.suppress(Exception):  # a worker with threads of another kind; it waits in one of them then
        secede()


def _ask_scheduler(what: str, **arguments: Any) -> Any:
    """Call the scheduler and wait for its answer.

    A client in the worker could do that as well, but it would become the default of what steps compute with Dask.
    """
    from distributed import get_worker  # noqa: PLC0415 - here it is loaded
    from distributed.utils import sync  # noqa: PLC0415 - as above

    worker: Any = get_worker()
    return sync(worker.loop, getattr(worker.scheduler, what), **arguments)
