"""A worker process of a cluster that was started for one run.

It is started as a fresh interpreter that knows nothing of the user's script, so that the script needs no
`if __name__ == "__main__":`. Its standard input is a pipe on which nothing comes until the coordinator says `end`. When the pipe
closes without that, the coordinator is gone, and so is the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import shutil
import signal
import threading
from collections.abc import Mapping
from typing import Any

__all__ = ["serve"]


def serve(wanted: Mapping[str, Any]) -> None:
    """Be a worker until the coordinator says that it is enough.

    Args:
        wanted: `address` of the scheduler, `name`, `threads`, and `folder` for temporary files, which is this worker's own.

    """
    _leave_interrupts_to_the_coordinator()
    if not faulthandler.is_enabled():
        faulthandler.enable()  # a segmentation fault says on stderr where it was
    asyncio.run(_serve(wanted, _take_stdin()))


def _leave_interrupts_to_the_coordinator() -> None:
    # A handler that does nothing, not SIG_IGN, which programs started by a step would inherit. The signal was
    # blocked while the process started.
    signal.signal(signal.SIGINT, lambda *_: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


async def _serve(wanted: Mapping[str, Any], stdin: int) -> None:
    from distributed import Worker  # noqa: PLC0415 - the signals come first

    logging.getLogger("distributed").setLevel(logging.CRITICAL + 1)  # the coordinator says what there is to say
    enough = asyncio.Event()
    listening = asyncio.get_running_loop(), enough, wanted["folder"], stdin
    threading.Thread(target=_listen, args=listening, daemon=True).start()
    async with Worker(
        wanted["address"],
        name=wanted["name"],
        nthreads=wanted["threads"],
        host="127.0.0.1",
        local_directory=wanted["folder"],
        # Dask would stop giving work to a process that holds much memory; a replicate may need all there is.
        memory_limit=0,
    ) as worker:
        finished = asyncio.ensure_future(worker.finished())
        await asyncio.wait([finished, asyncio.ensure_future(enough.wait())], return_when=asyncio.FIRST_COMPLETED)


def _listen(loop: asyncio.AbstractEventLoop, enough: asyncio.Event, folder: str, stdin: int) -> None:
    said = b""
    with contextlib.suppress(OSError):
        while part := os.read(stdin, 100):
            said += part
            if said.endswith(b"end\n"):
                loop.call_soon_threadsafe(enough.set)
                return
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _take_stdin() -> int:
    """The standard input under another number, so that what steps read is empty."""
    ours = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return ours
