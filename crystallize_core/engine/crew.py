"""Who runs the steps of a graph side by side: threads of this process, or tasks of an event loop."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol

from crystallize_core.errors import RunError

if TYPE_CHECKING:
    from crystallize_core.engine.drive import Loops
    from crystallize_core.engine.step_run import Awaiting

__all__ = ["Crew", "Shift", "StepThreads", "TaskCrew"]

Made = Callable[[], "Awaiting"]
"""Makes the generator of some work."""


class Shift(Protocol):
    """The work of one cell."""

    def start(self, key: int, make: Made) -> None:
        """Begin some work, now or when somebody is free."""

    def next_done(self) -> Generator[Any, Any, tuple[int, Any]]:
        """Wait until some work has ended: its key and its result; raises what it raised."""

    def abandon(self) -> None:
        """Nobody waits any more for what was begun."""

    def until_gone(self) -> Generator[Any, Any, None]:
        """After `abandon`: wait for what can be ended from outside and is about to end."""


class Crew(Protocol):
    """Runs work of many cells side by side."""

    def shift(self) -> Shift:
        """For one cell."""

    def close(self) -> None:
        """No more work will come."""


class StepThreads:
    """Threads that run steps; they are started when they are first needed and stay until the run ends.

    They stay, because an event loop belongs to a thread, and what belongs to a loop is to be used by all cells.

    Args:
        count: How many there are at most.
        drive: Runs a generator to its end in the thread that calls it.
        loops: The event loops of the run.

    """

    def __init__(self, count: int, drive: Callable[[Any, Loops], Any], loops: Loops) -> None:
        self._count, self._drive, self._loops = count, drive, loops
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = self._idle = 0
        self._closed = False

    def shift(self) -> _ThreadShift:
        """For one cell."""
        return _ThreadShift(self, self._drive, self._loops)

    def put(self, work: Callable[[], None]) -> None:
        """Have some work done.

        Raises:
            RunError: The run has ended.

        """
        with self._lock:
            if self._closed:  # of a cell that was left alone, and would wait for ever
                message = "the run has ended, and runs no further steps"
                raise RunError(message)
            if not self._idle and self._started < self._count:
                self._started += 1
                # A thread that hangs in a step must not keep the interpreter from ending.
                threading.Thread(target=self._serve, name=f"steps-{self._started}", daemon=True).start()
            elif self._idle:
                self._idle -= 1
            self._work.put(work)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            with self._lock:
                self._idle += 1
        self._work.put(None)  # for the next one

    def close(self) -> None:
        """Let the threads end when they have done what they are at."""
        with self._lock:
            self._closed = True
            self._work.put(None)


class _ThreadShift:
    def __init__(self, threads: StepThreads, drive: Callable[[Any, Loops], Any], loops: Loops) -> None:
        self._threads, self._drive, self._loops = threads, drive, loops
        self._done: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
        self._abandoned = False

    def start(self, key: int, make: Made) -> None:
        context = contextvars.copy_context()

        def work() -> None:
            if self._abandoned:
                return
            try:
                found = context.run(self._drive, make(), self._loops)
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
                self._abandoned = True  # it ends the cell, and this thread may be quicker than who waits for it
                self._done.put((key, None, error))
            else:
                self._done.put((key, found, None))

        self._threads.put(work)

    def next_done(self) -> Generator[Any, Any, tuple[int, Any]]:
        while True:
            try:
                key, found, error = self._done.get(timeout=1.0)  # asks each second, so that Ctrl-C is always noticed
            except queue.Empty:
                continue
            if error is not None:
                raise error
            return key, found
        yield  # a generator like that of the other crew, which has something to await

    def abandon(self) -> None:
        self._abandoned = True

    def until_gone(self) -> Generator[Any, Any, None]:
        return  # nothing ends a thread
        yield


class TaskCrew:
    """Tasks of the event loop that the cell runs on; plain functions keep the others waiting.

    Args:
        count: How many steps of one cell run at once.
        adrive: Runs a generator to its end on the running loop.

    """

    def __init__(self, count: int, adrive: Callable[[Any], Any]) -> None:
        self._count, self._adrive = count, adrive

    def shift(self) -> _TaskShift:
        """For one cell."""
        return _TaskShift(self._count, self._adrive)

    def close(self) -> None:
        """Nothing is left: every cell waits for its own tasks."""


class _TaskShift:
    def __init__(self, count: int, adrive: Callable[[Any], Any]) -> None:
        self._count, self._adrive = count, adrive
        self._waiting: list[tuple[int, Made]] = []
        self._running: dict[Any, int] = {}

    def start(self, key: int, make: Made) -> None:
        self._waiting.append((key, make))

    def next_done(self) -> Generator[Any, Any, tuple[int, Any]]:
        import asyncio  # noqa: PLC0415 - only those who await pay for it

        while self._waiting and len(self._running) < self._count:
            key, make = self._waiting.pop(0)
            self._running[asyncio.ensure_future(_caught(self._adrive, make))] = key
        ended, _ = yield asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        first = min(ended, key=self._running.__getitem__)
        key = self._running.pop(first)
        found, error = first.result()
        if error is not None:
            raise error
        return key, found

    def abandon(self) -> None:
        self._waiting.clear()
        for task in self._running:
            task.cancel()

    def until_gone(self) -> Generator[Any, Any, None]:
        import asyncio  # noqa: PLC0415 - as above

        # Steps give back what they hold before anything else goes on, as after the end of a `TaskGroup`.
        if self._running:
            yield asyncio.wait(self._running)


async def _caught(adrive: Callable[[Any], Any], make: Made) -> tuple[Any, BaseException | None]:
    """What some work came to, or what it raised: asyncio lets `SystemExit` fall through the loop otherwise."""
    try:
        return await adrive(make()), None
    except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
        return None, error
