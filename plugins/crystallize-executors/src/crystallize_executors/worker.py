"""What runs in a worker process: it rebuilds the experiment once, then runs the replicates it is sent.

Two one-way pipes lead to the coordinator. *Inwards* come the pickled replicate function, then pickled
lists of replicate numbers, then an empty list as the end. *Outwards* go pickled `Message`s. When the
inward pipe closes, the coordinator is gone or has had enough, and the process ends at once. Until when the
step that runs may take is not said but shown, on the board.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from crystallize_core import watchdog
from crystallize_core.limits.reporter import LimitReporter
from crystallize_core.outcome import ReplicateOutcome
from crystallize_core.packing import dumped, dumped_outcomes
from crystallize_executors.budget import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from crystallize_core.limits.board import Board

__all__ = ["Message", "serve"]

FLUSH_SECONDS: Final = 0.1
"""Outcomes are kept back for at most about this long, so that little is lost with the process or by Ctrl-C."""


class Message(NamedTuple):
    """What a worker says.

    Attributes:
        kind: `ready`; `outcomes` of `numbers`; `unsent`, where the outcome of `numbers` cannot be pickled;
            `raised`, where the replicate function itself raised; `unusable`, where the process could not
            rebuild the experiment.
        numbers: The replicates that it is about.
        body: Pickled outcomes, or a pickled exception; None if that cannot be pickled.
        text: The exception in words.
        seconds: How long the replicates took.

    """

    kind: str
    numbers: Sequence[int] = ()
    body: bytes | None = None
    text: str = ""
    seconds: float = 0.0


class _Inbox:
    """Reads the inward pipe in a thread of its own, so that a stop is noticed in the middle of a chunk."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._items: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.stopped = False
        threading.Thread(target=self._read, name="crystallize-inbox", daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                item = self._pipe.recv_bytes()
                if not item:
                    self.stopped = True
                self._items.put(item)
        except (EOFError, OSError):
            os._exit(1)  # nobody is left who could want an outcome

    def get(self) -> bytes:
        """The next item; empty bytes are the end."""
        return self._items.get()


def serve(inward: Connection, outward: Connection, share: int, board: Board) -> None:
    """Run in the worker process until the coordinator says that it was the last chunk.

    Args:
        inward, outward: The pipes.
        share: How many workers of its own may be at work in it.
        board: Where it shows the limits of its steps.

    """
    os.environ[VARIABLE] = str(share)
    _leave_interrupts_to_the_coordinator()
    # Loky leaves its own start method as the default, which processes started by a step do not know.
    multiprocessing.set_start_method(None, force=True)
    if not faulthandler.is_enabled():
        faulthandler.enable()  # a segmentation fault says on stderr where it was
    with contextlib.suppress(BrokenPipeError):  # the coordinator does not listen any more
        _serve(_Inbox(inward), _Outbox(outward), LimitReporter(board))


def _leave_interrupts_to_the_coordinator() -> None:
    # A handler that does nothing, not SIG_IGN, which programs started by a step would inherit. The signal
    # was blocked while the process started.
    signal.signal(signal.SIGINT, lambda *_: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _serve(inbox: _Inbox, outbox: _Outbox, limits: LimitReporter) -> None:
    payload = inbox.get()
    if not payload:
        return
    try:
        replicate_fn = pickle.loads(payload)  # noqa: S301 - bytes from the process that started this one
    except BaseException as error:  # noqa: BLE001 - whatever it is, the coordinator tells the user
        outbox.say_error("unusable", (), error)
        return
    watchdog.install(limits)
    if hasattr(os, "register_at_fork"):  # a copy of this process, made by a step, must not write on its board
        os.register_at_fork(after_in_child=lambda: watchdog.install(None))
    outbox.say_ready()
    try:
        while chunk := inbox.get():
            if not _run_chunk(pickle.loads(chunk), replicate_fn, inbox, outbox, limits):  # noqa: S301 - as above
                return
    finally:
        close = getattr(replicate_fn, "close", None)
        if close is not None:  # steps are torn down after the last replicate of this worker
            close()


def _run_chunk(
    numbers: Sequence[int], replicate_fn: Any, inbox: _Inbox, outbox: _Outbox, limits: LimitReporter
) -> bool:
    """Run these replicates and send their outcomes; False when there is nothing more to do."""
    clock = time.perf_counter
    began = clock()
    for number in numbers:
        if inbox.stopped:
            return False
        limits.number = number
        try:
            outcome = replicate_fn(number)
        except BaseException as error:  # noqa: BLE001 - it means the same as if the coordinator had called it
            outbox.flush()
            outbox.say_error("raised", (number,), error)
            return False
        now = clock()
        outbox.add(number, outcome, now - began)
        began = now
    outbox.flush()
    return True


class _Outbox:
    """Collects outcomes and sends them together: when a chunk is done, or a moment after they were added.

    A thread sees to the moment, because the replicate that follows may take an hour.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._filled = threading.Event()
        self._done: list[tuple[int, Any]] = []
        self._seconds = 0.0
        threading.Thread(target=self._flush_soon, name="crystallize-outbox", daemon=True).start()

    def add(self, number: int, outcome: Any, seconds: float) -> None:
        """Put an outcome to those that are sent next."""
        with self._lock:
            self._done.append((number, outcome))
            self._seconds += seconds
        if not self._filled.is_set():
            self._filled.set()
        if seconds > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what was added."""
        with self._lock:
            self._filled.clear()
            done, seconds = self._done, self._seconds
            self._done, self._seconds = [], 0.0
            if done:
                self._send_outcomes(done, seconds)

    def _flush_soon(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # the main thread meets the same and ends
            while True:
                self._filled.wait()
                time.sleep(FLUSH_SECONDS)
                self.flush()

    def _send_outcomes(self, done: list[tuple[int, Any]], seconds: float) -> None:
        numbers = [number for number, _ in done]
        try:
            body = _packed([outcome for _, outcome in done])
        except Exception as error:  # noqa: BLE001 - a foreign __reduce__ may raise anything
            if len(done) == 1:
                self._send(Message("unsent", numbers, None, _words(error), seconds))
                return
            for one in done:
                self._send_outcomes([one], seconds / len(done))
            return
        self._send(Message("outcomes", numbers, body, "", seconds))

    def say_ready(self) -> None:
        """Say that chunks may come."""
        with self._lock:
            self._send(Message("ready"))

    def say_error(self, kind: str, numbers: Sequence[int], error: BaseException) -> None:
        """Say that this process cannot go on."""
        try:
            body = dumped(error)
        except Exception:  # noqa: BLE001 - its words are sent in any case
            body = None
        with self._lock:
            self._send(Message(kind, numbers, body, _words(error)))

    def _send(self, message: Message) -> None:
        self._pipe.send_bytes(pickle.dumps(tuple(message), pickle.HIGHEST_PROTOCOL))


def _packed(outcomes: list[Any]) -> bytes:
    """The outcomes of replicates, or what the calls of `parallel_map` came to."""
    return dumped_outcomes(outcomes) if isinstance(outcomes[0], ReplicateOutcome) else dumped(outcomes)


def _words(error: BaseException) -> str:
    try:
        return f"{type(error).__qualname__}: {error}"
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        return type(error).__qualname__
