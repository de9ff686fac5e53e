"""Streams: the replicates of a run as they become complete, for as long as somebody wants them."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, Self

from crystallize_core.errors import CrystallizeError, RunError, RunInterrupted

if TYPE_CHECKING:
    from crystallize_core.engine.run import Run
    from crystallize_core.outcome import ReplicateOutcome
    from crystallize_core.result import Result

__all__ = ["ReplicateStream"]


class ReplicateStream:
    """An iterator of outcomes in replicate order.

    It can be left early: a `for` loop that breaks and a `with` block that ends both stop the run, and
    what was finished is in `result`.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._result: Result | None = None
        self._failure: BaseException | None = None
        self._ready: list[ReplicateOutcome] = []
        self._work: Any = None
        self._started = self._closed = False

    def __iter__(self) -> ReplicateStream:
        return self

    def __next__(self) -> ReplicateOutcome:
        try:
            while not self._ready:
                if self._closed or not self._advance():
                    self.close()
                    raise StopIteration
                self._ready += self._run.collector.take_ready()
        except (KeyboardInterrupt, CrystallizeError) as failure:
            self._failure = failure
            self.close()
            if isinstance(failure, KeyboardInterrupt):
                raise RunInterrupted(self._result) from None
            failure.result = self._result  # type: ignore[attr-defined]  # nothing that was finished is lost
            raise
        return self._ready.pop(0)

    def _advance(self) -> bool:
        """Let the run go on until something new may have arrived; False when it is over."""
        if self._work is None:
            self._start()
            threaded = self._run.experiment.stack.executor is not None
            self._work = _InThread(self._run) if threaded else self._run.one_by_one()
        try:
            next(self._work)
        except StopIteration:
            self._ready += self._run.collector.take_ready()
            return bool(self._ready)
        return True

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._run.start()

    def close(self) -> None:
        """Stop the run and aggregate what was finished; after the end it does nothing."""
        if self._closed:
            return
        self._closed = True
        self._start()  # of a stream that nobody read: plugins see a beginning before the end
        self._run.collector.stop()
        if isinstance(self._work, _InThread):
            self._work.join()
        try:
            self._result = self._run.finish(self._failure)
        except CrystallizeError as error:
            self._result = error.__dict__.get("result")
            raise

    @property
    def result(self) -> Result:
        """The result of what was finished.

        Raises:
            RunError: The stream has neither ended nor been closed.

        """
        if self._result is None:
            message = "the stream has not ended; read it to its end, or leave it with close() or a with block"
            raise RunError(message)
        return self._result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A for loop that breaks drops the stream; the plugins still have to see the end of the run.
        if self._started and not self._closed:
            self.close()


class _InThread:
    """An executor's loop in a thread of its own, so that what it delivers can be read meanwhile."""

    def __init__(self, run: Run) -> None:
        self._arrivals: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._run = run
        run.collector.on_arrival = lambda: self._arrivals.put(True)  # noqa: FBT003 - what the queue holds
        self._thread = threading.Thread(target=self._work, name="crystallize-executor", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._run.execute()
        except BaseException as error:  # noqa: BLE001 - carried over to the reader
            self._error = error
        finally:
            self._arrivals.put(False)  # noqa: FBT003 - as above

    def _arrival(self) -> bool:
        """Whether something arrived; False at the end. Asks each second, so that Ctrl-C is always noticed."""
        while True:
            try:
                return self._arrivals.get(timeout=1.0)
            except queue.Empty:
                continue

    def __next__(self) -> None:
        if not self._arrival():
            self._thread.join()
            self._arrivals.put(False)  # noqa: FBT003 - whoever asks again gets the same answer
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            raise StopIteration

    def join(self) -> None:
        """Wait for the end of the executor, which was told to stop."""
        self._thread.join()
