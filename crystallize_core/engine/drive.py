"""The two ways to drive the generators of the engine: from a plain call, and from a coroutine."""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable
    from concurrent.futures import ThreadPoolExecutor

    from crystallize_core.engine.cell import Awaiting

__all__ = ["Loops", "adrive", "drive", "drive_alone"]


class Loops:
    """The event loops of one run: one per thread, made when the first awaitable comes up.

    One loop for a whole run, so that a client that belongs to a loop can be used by all replicates.
    """

    def __init__(self) -> None:
        self._runners: dict[int, asyncio.Runner] = {}
        self._helpers: dict[int, ThreadPoolExecutor] = {}
        self._lock = threading.Lock()

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for it, also where this thread has a running loop already."""
        import asyncio  # noqa: PLC0415 - only those who await pay for it

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            # A copy for each, or all would run in that of the first: what hooks bound since then has to be seen.
            return self._runner().run(_awaited(awaitable), context=contextvars.copy_context())
        return self._in_thread(awaitable)

    def _runner(self) -> asyncio.Runner:
        key = threading.get_ident()
        runner = self._runners.get(key)
        if runner is None:
            import asyncio  # noqa: PLC0415 - as above

            runner = asyncio.Runner()
            with self._lock:
                self._runners[key] = runner
        return runner

    def _in_thread(self, awaitable: Awaitable[Any]) -> Any:
        # A loop that runs cannot be entered again (a notebook has one): wait in a thread of its own, which is
        # kept, so that here too all awaitables of a run share one loop.
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - as above
        from concurrent.futures import wait as wait_for  # noqa: PLC0415 - as above

        key = threading.get_ident()
        if key not in self._helpers:
            with self._lock:
                self._helpers[key] = ThreadPoolExecutor(1, "crystallize-await")
        loops: list[asyncio.AbstractEventLoop] = []

        def wait(context: contextvars.Context) -> Any:
            runner = self._runner()
            loops.append(runner.get_loop())
            return runner.run(_awaited(awaitable), context=context)

        future = self._helpers[key].submit(wait, contextvars.copy_context())
        try:
            # Each second anew: Ctrl-C just before a wait without limit would not be noticed until it ends.
            while wait_for([future], timeout=1.0).not_done:
                continue
            return future.result()
        except BaseException:
            if loops and not future.done():  # Ctrl-C came to this thread; the other one has to hear of it
                loops[0].call_soon_threadsafe(_cancel_all, loops[0])
            raise

    def _close(self, key: int) -> None:
        with self._lock:
            runner = self._runners.pop(key, None)
        if runner is not None:
            runner.close()

    def close(self) -> None:
        """Close the loops that are left, when the run is over."""
        self._close(threading.get_ident())
        with self._lock:
            helpers, self._helpers = list(self._helpers.values()), {}
        for helper in helpers:
            helper.submit(lambda: self._close(threading.get_ident())).result()
            helper.shutdown()
        with self._lock:
            left, self._runners = list(self._runners.values()), {}
        for runner in left:
            # Their threads have ended; only the loop's file descriptors are left to give back.
            loop = runner.get_loop()
            if not loop.is_running() and not loop.is_closed():
                loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio  # noqa: PLC0415 - as above

    for task in asyncio.all_tasks(loop):
        task.cancel()


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def drive(work: Awaiting, loops: Loops, awaitable: Any = None) -> Any:
    """Run to the end and return the result; `awaitable` is what it waits for, where it was begun already."""
    try:
        if awaitable is None:
            awaitable = next(work)
        while True:
            try:
                answer = loops.run(awaitable)
            except BaseException as error:  # noqa: BLE001 - the generator decides what it means
                awaitable = work.throw(error)
            else:
                awaitable = work.send(answer)
    except StopIteration as end:
        return end.value


def drive_alone(work: Awaiting) -> Any:
    """The same for what has no event loops yet: where nothing is awaited, none are made."""
    try:
        awaitable = next(work)
    except StopIteration as end:
        return end.value
    loops = Loops()
    try:
        return drive(work, loops, awaitable)
    finally:
        loops.close()


async def adrive(work: Awaiting) -> Any:
    """Run to the end on the loop of the caller and return the result."""
    try:
        awaitable = next(work)
        while True:
            try:
                answer = await awaitable
            except BaseException as error:  # noqa: BLE001 - as above, cancellation included
                awaitable = work.throw(error)
            else:
                awaitable = work.send(answer)
    except StopIteration as end:
        return end.value
