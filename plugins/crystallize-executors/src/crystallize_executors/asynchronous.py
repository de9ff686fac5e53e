"""`AsyncExecution`: replicates as tasks of one event loop."""

from __future__ import annotations

import contextlib
import contextvars
import queue
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs

from crystallize_core import BasePlugin
from crystallize_core.option_checks import at_least_one, true_or_false
from crystallize_core.progress import Progress
from crystallize_executors.pending import PendingNumbers
from crystallize_executors.waiting import take

if TYPE_CHECKING:
    import asyncio

__all__ = ["AsyncExecution"]

DEFAULT_LIMIT: Final = 64
"""How many replicates run at once where the user set no limit: enough to hide waiting, few enough to hold."""
GRACE: Final = 1.0
"""Seconds that a loop in a helper thread gets to wind up when the run is interrupted."""


@attrs.frozen
class AsyncExecution(BasePlugin):
    """Run replicates as tasks of one event loop: for steps that are `async def` and wait.

    A step that is a plain function runs in the loop as well and keeps the other replicates waiting. If a
    loop runs in the calling thread already, this one runs in a thread of its own.

    Args:
        max_workers: How many replicates run at once; None for at most 64.
        progress: Whether to say on stderr how far the run is.

    Raises:
        ValueError: An option has a value that it cannot have.

    """

    plugin_name: ClassVar[str | None] = "async"
    concurrency = "async"

    max_workers: int | None = attrs.field(default=None, validator=at_least_one)
    progress: bool = attrs.field(default=False, validator=true_or_false)

    def step_workers(self, replicates: int) -> int:  # noqa: ARG002 - tasks cost nothing while they wait
        """How many steps of one cell may run side by side; those that are `async def` then wait together."""
        return self.max_workers or DEFAULT_LIMIT

    def run_experiment_loop(self, experiment: Any, replicate_fn: Any) -> list[Any]:  # noqa: ARG002 - the hook's name
        """Run the pending replicates; each task delivers its own outcome, in the order of completion.

        Raises:
            BaseException: What `replicate_fn` raised first; the other tasks have then been cancelled.

        """
        total = len(replicate_fn.pending)
        limit = min(self.max_workers or DEFAULT_LIMIT, total)
        with Progress(total, enabled=self.progress) as shown:
            if total:
                _run_loop(lambda: _all_tasks(replicate_fn, limit, shown))
        return []


async def _all_tasks(replicate_fn: Any, limit: int, shown: Progress) -> BaseException | None:
    """Run everything with so many tasks; returns what `replicate_fn` raised first.

    Returned and not raised, because asyncio lets `SystemExit` fall through the loop and then complains.
    """
    import asyncio  # noqa: PLC0415 - only a run needs it

    numbers = PendingNumbers(replicate_fn)
    errors: list[BaseException] = []

    async def work() -> None:
        try:
            for number in numbers:
                await replicate_fn.arun(number)
                shown.advance()
                await asyncio.sleep(0)  # replicates that never wait must not keep Ctrl-C and the others out
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - raised again outside the loop
            errors.append(error)
            stop()

    def stop() -> None:
        numbers.cancel()
        for task in tasks:
            if task is not asyncio.current_task():
                task.cancel()

    tasks = [asyncio.ensure_future(work()) for _ in range(limit)]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        stop()
        await asyncio.wait(tasks)
        raise
    return errors[0] if errors else None


Main = Callable[[], Coroutine[Any, Any, BaseException | None]]


def _run_loop(main: Main) -> None:
    """Run the coroutine to its end, in a helper thread if this thread has a running loop; raise what it returns."""
    import asyncio  # noqa: PLC0415 - only a run needs it

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        nested = False
    else:
        nested = True
    with _interrupting_at_once():
        error = _in_thread(main) if nested else asyncio.run(main())
    if error is not None:
        raise error


@contextlib.contextmanager
def _interrupting_at_once() -> Iterator[None]:
    """Let Ctrl-C raise where the program is, as it does everywhere else.

    asyncio would only cancel its main task, which a plain step that blocks the loop keeps from happening.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)  # asyncio replaces the default handler and no other
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _in_thread(main: Main) -> BaseException | None:
    import asyncio  # noqa: PLC0415 - only a run needs it

    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = []

    async def noted() -> BaseException | None:
        started.append((asyncio.get_running_loop(), asyncio.current_task()))
        return await main()

    def body() -> None:
        try:
            ended.put(asyncio.run(noted()))
        except BaseException as caught:  # noqa: BLE001 - raised again by the thread that waits
            ended.put(caught)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(body,), name="replicates-loop", daemon=True)
    thread.start()
    try:
        return take(ended)
    except BaseException:
        for loop, task in started:
            if task is not None and not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)
        thread.join(GRACE)
        raise
