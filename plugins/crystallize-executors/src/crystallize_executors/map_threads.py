"""`parallel_map` in threads of this process, or in the thread of the caller where one worker is enough."""

from __future__ import annotations

import contextvars
import inspect
import queue
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.imported import imported
from crystallize_executors.budget import enter_thread
from crystallize_executors.waiting import take

if TYPE_CHECKING:
    from collections.abc import Callable

    from crystallize_executors.gathering import Gathering

__all__ = ["call_plain", "map_in_threads", "map_inline", "must_leave_thread"]

GRACE: Final = 1.0
"""Seconds that threads get to finish their item when the call is interrupted."""
AHEAD: Final = 2
"""So many items for each thread are taken from the input: the one that it works on, and the one that follows."""


def call_plain(func: Callable[[Any], Any], item: Any) -> Any:
    """Call the function, which must not turn out to be asynchronous.

    Raises:
        TypeError: It returned a coroutine.

    """
    result = func(item)
    if inspect.iscoroutine(result):
        result.close()  # it will never be awaited, and Python would complain about that too
        raise TypeError("parallel_map calls plain functions; this one returned a coroutine")
    return result


def must_leave_thread() -> bool:
    """Whether an event loop runs in this thread, where a function that runs a loop of its own would fail."""
    asyncio = imported("asyncio")
    if asyncio is None:  # then there is no loop, and importing it takes a while
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def map_inline(gathering: Gathering, func: Callable[[Any], Any]) -> None:
    """Call the function in this thread, each time in a copy of the context, as in threads."""
    while (task := gathering.next_item()) is not None:
        index, item = task
        try:
            result = contextvars.copy_context().run(call_plain, func, item)
        except (KeyboardInterrupt, GeneratorExit):
            raise  # meant for this thread, not an answer of the item
        except BaseException as error:  # noqa: BLE001 - it belongs to the item
            gathering.failed(index, error)
        else:
            gathering.done(index, result)


def map_in_threads(gathering: Gathering, func: Callable[[Any], Any], count: int) -> None:
    """Call the function in up to so many threads; none of them is left when this returns.

    The input is read in this thread. After Ctrl-C threads get a moment to end; they cannot be ended from outside.
    """
    crew = _Crew(gathering, func, count)
    try:
        crew.work()
    except BaseException as error:
        left = crew.leave()
        if left:  # what interrupted this call may have promised to end the work
            gathering.left_behind(error, left)
        raise
    crew.end()


class _Crew:
    """The threads of one call; they live as long as the call."""

    def __init__(self, gathering: Gathering, func: Callable[[Any], Any], count: int) -> None:
        self._gathering = gathering
        self._func = func
        self._count = count
        self._context = contextvars.copy_context()
        self._context.run(enter_thread, count)
        self._todo: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]] = queue.SimpleQueue()
        self._in_flight = 0
        self._left = False
        self._threads: list[threading.Thread] = []

    def work(self) -> None:
        """Keep the threads busy until everything is done."""
        while True:
            while self._in_flight < AHEAD * self._count:
                while not self._answers.empty():  # a failure among them ends the reading of the input
                    self._take()
                task = self._gathering.next_item()
                if task is None:
                    break
                self._start_thread()
                self._todo.put(task)
                self._in_flight += 1
            if not self._in_flight:
                return
            self._take()

    def _take(self) -> None:
        note, arguments = take(self._answers)
        self._in_flight -= 1
        note(*arguments)

    def _start_thread(self) -> None:
        if len(self._threads) >= self._count:
            return
        # A thread that hangs in an item must not keep the interpreter from ending after Ctrl-C.
        thread = threading.Thread(target=self._body, name=f"parallel-map-{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more of them; those that run suffice
            if not self._threads:
                raise
            self._count = len(self._threads)
        else:
            self._threads.append(thread)

    def _body(self) -> None:
        while (task := self._todo.get()) is not None:
            self._answers.put(self._answer(*task))
            del task

    def _answer(self, index: int, item: Any) -> tuple[Callable[..., None], tuple[Any, ...]]:
        failed_at = self._gathering.first_failure
        if self._left or (failed_at is not None and failed_at < index):
            return self._gathering.skipped, (index,)
        try:
            # A copy for each item, so that none sees what another has set.
            result = self._context.copy().run(call_plain, self._func, item)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            return self._gathering.failed, (index, error)
        return self._gathering.done, (index, result)

    def end(self) -> None:
        """Let the threads end, which have nothing to do any more."""
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join()

    def leave(self) -> int:
        """Start no other item and give the threads a moment; returns how many of them still run then."""
        self._left = True
        for _ in self._threads:
            self._todo.put(None)
        until = time.monotonic() + GRACE
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
        return sum(thread.is_alive() for thread in self._threads)
