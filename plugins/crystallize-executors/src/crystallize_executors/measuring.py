"""What a step used: processor time, and the most memory that its process held meanwhile.

Memory belongs to a process and not to a step, so that what is told is the peak of the process, from its first byte on,
while the step ran. Linux keeps that peak itself (`VmHWM`) and lets a process start it anew, which costs nothing while the
step runs. Where it does not, a thread looks a hundred times a second, and misses what is shorter. Elsewhere only the peak
of the whole life of the process is known. The payload of the event says which of these it was.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import types
from collections.abc import Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any, Final

__all__ = ["Meter"]

STATUS: Final = Path("/proc/self/status")
CLEAR: Final = Path("/proc/self/clear_refs")
START_PEAK_ANEW: Final = "5"
"""What to write to `clear_refs`; see `man 5 proc`."""
INTERVAL: Final = 0.01
"""Seconds between two looks, where it takes a thread to see a peak."""

RESET: Final = "peak of the step"
SAMPLED: Final = "sampled"
LIFETIME: Final = "peak of the process"


class Meter:
    """Measures one step.

    Args:
        alone: Whether no other step of this process runs meanwhile. Then all processor time of the process is that of
            the step, with its threads and the child processes that it waited for; otherwise that of its own thread.
        has_time: Whether processor time can be told at all: not where the step has gone to another thread.

    """

    def __init__(self, *, alone: bool, has_time: bool = True) -> None:
        self._alone, self._has_time = alone, has_time or alone
        self._memory = _Peak()
        self._spent = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Measure a step that runs inside, in this thread."""
        with self._memory.watched():
            began = self._clock()
            try:
                yield
            finally:
                self._spent += self._clock() - began

    async def awaited(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Await a step and measure it."""
        if self._alone:
            with self.running():
                return await coroutine
        with self._memory.watched():
            return await _counted(coroutine, self)

    def add(self, seconds: float) -> None:
        """Count so much processor time."""
        self._spent += seconds

    @property
    def payload(self) -> dict[str, Any]:
        """What was measured, as an event says it."""
        return {
            "cpu_seconds": self._spent if self._has_time else None,
            "cpu_of": ("process" if self._alone else "thread") if self._has_time else None,
            "peak_memory": self._memory.bytes,
            "peak_memory_is": self._memory.how,
        }

    def _clock(self) -> float:
        return _process_seconds() if self._alone else time.thread_time()


def _process_seconds() -> float:
    """Processor time of this process and of the child processes that it has waited for."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return time.process_time()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@types.coroutine
def _counted(coroutine: Coroutine[Any, Any, Any], meter: Meter) -> Generator[Any, Any, Any]:
    """Await a coroutine and count the processor time of each of its turns: between them the thread runs others."""
    step, value = coroutine.send, None
    while True:
        began = time.thread_time()
        try:
            awaited = step(value)
        except StopIteration as end:
            return end.value
        finally:
            meter.add(time.thread_time() - began)
        try:
            step, value = coroutine.send, (yield awaited)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is for the coroutine
            step, value = coroutine.throw, error


class _Peak:
    """The most memory of this process during some time."""

    def __init__(self) -> None:
        self.bytes: int | None = None
        self.how: str | None = None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch while what is inside runs."""
        if _began_anew(self):
            self.how = RESET
            try:
                yield
            finally:
                _ended(self)
        elif _status("VmRSS") is not None:
            self.how = SAMPLED
            with self._sampled():
                yield
        else:
            yield
            self.bytes = _of_lifetime()
            self.how = None if self.bytes is None else LIFETIME

    def saw(self, amount: int | None) -> None:
        """Take note of what the process held at some moment."""
        if amount is not None:
            self.bytes = max(amount, self.bytes or 0)

    @contextlib.contextmanager
    def _sampled(self) -> Iterator[None]:
        over = threading.Event()

        def look() -> None:
            while not over.wait(INTERVAL):
                self.saw(_status("VmRSS"))

        self.saw(_status("VmRSS"))
        thread = threading.Thread(target=look, name="crystallize-memory", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.saw(_status("VmRSS"))


_watching: Final[list[_Peak]] = []
"""Those for whom the kernel keeps the peak; whoever starts it anew tells the others first how far it was."""
_lock: Final = threading.Lock()


def _began_anew(peak: _Peak) -> bool:
    """Start the peak of the process anew for one more; False where the kernel does not let us."""
    with _lock:
        highest = _status("VmHWM")
        for other in _watching:
            other.saw(highest)
        try:
            CLEAR.write_text(START_PEAK_ANEW, encoding="ascii")
        except OSError:
            return False
        _watching.append(peak)
        return True


def _ended(peak: _Peak) -> None:
    with _lock:
        peak.saw(_status("VmHWM"))
        _watching.remove(peak)


def _status(name: str) -> int | None:
    """A line of the status of this process, in bytes."""
    try:
        lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith(f"{name}:")), None)
    return None if found is None else int(found) * 1024


def _of_lifetime() -> int | None:
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
