"""What a job does: it takes chunk after chunk until its coordinator wants no more, or its time is nearly over."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs

from crystallize_core.limits.guard import guard_of_this_process
from crystallize_core.limits.words import leave_words
from crystallize_core.processes import this_process
from crystallize_core.remote import Answer, Payload, close, run_chunk
from crystallize_slurm.mailbox import LEFT, STOP, Chunk, NowFile, Pause, RunFolder

__all__ = ["Settings", "work"]

PATIENCE: Final = 60
"""So many looks without a change of the pulse, and the coordinator counts as gone."""
GRACE: Final = 1.0
"""Seconds that a replicate gets to end, once nobody wants it any more."""
FRESH_SHARE: Final = 0.9
"""A job counts as fresh that has more than this share of its time left."""
IDLE_SHARE: Final = 0.5
"""The same for one that has run nothing until now: the next one might be no earlier."""
WARNING_SHARE: Final = 0.1
"""A job expects the warning of Slurm no earlier than this share of its time before the end."""
CAUTION: Final = 1.25
"""A replicate is begun if there is time for one that takes so many times as long as the longest one until now."""


@attrs.frozen
class Settings:
    """What a coordinator tells its workers. Plain values only.

    Attributes:
        path: Where modules are imported from, as in the coordinator.
        poll_seconds: The longest pause between looks at the folder.
        job_seconds: How long a job may take; the end that Slurm tells of counts, where it does.
        warning_seconds: How long before that the job gets its signal.
        coordinator: The machine and process that has submitted the job.

    """

    path: tuple[str, ...]
    poll_seconds: float
    job_seconds: float
    warning_seconds: float
    coordinator: str


def work(folder: str, name: str, settings: dict[str, Any]) -> str:
    """Work as the worker of this name; what a job calls.

    Returns:
        Why it ended, for the log.

    """
    read = Settings(**settings)
    sys.path.extend(entry for entry in read.path if entry not in sys.path)
    cores = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if cores.isdecimal():
        # What runs side by side inside of steps shares the cores of the job; not everywhere does Slurm bind us to them.
        os.environ.setdefault("CRYSTALLIZE_WORKERS", cores)
    room = RunFolder(Path(folder))
    if not room.begin(name, this_process()):
        return "a worker of this name has run before; the coordinator has submitted another in its place"
    return _Worker(room, name, read).run()


class _Worker:
    def __init__(self, room: RunFolder, name: str, settings: Settings) -> None:
        self._room, self._name = room, name
        self._mine = room.worker(name)
        self._clock = _Clock(settings)
        self._poll_seconds = settings.poll_seconds
        self._outbox = _Outbox(room, name)
        self._guard = guard_of_this_process(partial(leave_words, self._mine.overdue), settings.coordinator)
        self._leaving: str | None = None

    def run(self) -> str:
        """Take chunks until there is a reason to leave."""
        self._listen_to_signals()
        threading.Thread(target=self._live, name="crystallize-slurm", daemon=True).start()
        payload = self._room.payload()
        # Reading the experiment may take long, and must not count as the time of the first replicate.
        self._done(run_chunk(payload, []))
        pause = Pause(self._poll_seconds)
        try:
            while self._leaving is None:
                chunk = self._mine.next_chunk()
                if chunk is None:
                    pause.wait()
                    if self._room.read_pulse() == STOP:
                        self._leave("nothing more is wanted")
                else:
                    self._do(payload, chunk)
                    pause.reset()
        finally:
            close(payload)
        self._outbox.leave()
        return self._leaving

    def _do(self, payload: Payload, chunk: Chunk) -> None:
        for number in chunk.numbers:
            if self._leaving is None and not self._clock.has_time(needs_fresh=chunk.needs_fresh):
                self._leaving = "the time of this job is nearly over"
            if self._leaving is not None:
                break
            self._outbox.begin(number)
            answer = run_chunk(payload, [number], self._guard)
            self._clock.took(answer.seconds)
            self._done(answer)
        self._outbox.flush()

    def _done(self, answer: Answer) -> None:
        self._outbox.add(answer)
        if answer.raised:
            self._outbox.flush()
            self._leave("the run has failed")

    # Reasons to leave -------------------------------------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        """Slurm says by signals that a job has to end soon. The handlers of submitit raise in the middle of a step."""
        preempted = getattr(signal, "SIG" + os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2"))
        signal.signal(preempted, lambda *_: self._leave("Slurm has said that this job has to end soon"))
        signal.signal(signal.SIGTERM, lambda *_: self._leave("Slurm has asked this job to end"))
        # Ctrl-C is for the coordinator, which then says so by its pulse.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def _leave(self, why: str) -> None:
        if self._leaving is None:
            self._leaving = why

    def _live(self) -> None:
        """Show that this process lives, and end it if nobody wants it any more; in a thread of its own."""
        heard, unchanged = "", 0
        while unchanged < PATIENCE:
            time.sleep(self._poll_seconds)
            pulse = self._room.read_pulse()
            if pulse == STOP:
                self._end("nothing more is wanted")
            unchanged = unchanged + 1 if pulse == heard else 0
            heard = pulse or heard
            with contextlib.suppress(
                OSError
            ):  # a full disk, which ends the worker when it writes itself, or a folder that is gone
                self._mine.beat.touch()
                self._outbox.flush()
        self._end("the coordinator is gone")

    def _end(self, why: str) -> None:
        """Let the replicate end that runs, but not for long."""
        self._leave(why)
        time.sleep(GRACE)
        # What it had begun is not to blame if it is run again.
        with contextlib.suppress(OSError):
            self._outbox.flush()
        self._outbox.leave()
        print(f"this worker ends in the middle of its work: {why}", file=sys.stderr, flush=True)  # noqa: T201 - its log
        os._exit(1)


class _Outbox:
    """What a worker has come to and not delivered, and the note of what it is at.

    A second thread delivers it about once in a pause, so that short replicates make few files, and what is done does not
    wait for a long replicate behind it.
    """

    def __init__(self, room: RunFolder, name: str) -> None:
        self._room, self._name = room, name
        self._now = NowFile(room.worker(name).now)
        self._lock = threading.Lock()
        self._running: int | None = None
        self._waiting: list[Answer] = []

    def begin(self, number: int) -> None:
        """A replicate is about to run."""
        with self._lock:
            self._running = number
            self._now.note(number)

    def add(self, answer: Answer) -> None:
        """It has run."""
        with self._lock:
            self._running = None
            if answer.ran or answer.raised:
                self._waiting.append(answer)

    def flush(self) -> None:
        """Deliver what there is.

        Raises:
            OSError: It cannot be written.

        """
        with self._lock:
            if not self._waiting:
                return
            self._room.answer(self._name, _together(self._waiting))
            self._waiting = []
            self._now.clear()
            if self._running is not None:
                self._now.note(self._running)

    def leave(self) -> None:
        """Note that this worker goes by its own will, so that nothing that it has left is to blame."""
        self._now.note(LEFT)


def _together(answers: Sequence[Answer]) -> Answer:
    """Several answers as one."""
    return Answer(
        ran=sum(answer.ran for answer in answers),
        outcomes=tuple(outcome for answer in answers for outcome in answer.outcomes),
        unsent=tuple(unsent for answer in answers for unsent in answer.unsent),
        raised=answers[-1].raised,
        seconds=sum(answer.seconds for answer in answers),
        process=answers[-1].process,
    )


class _Clock:
    """How much time a job has left, as seconds of the clock of its machine."""

    def __init__(self, settings: Settings) -> None:
        self._began = time.time()
        end = os.environ.get("SLURM_JOB_END_TIME", "")
        self._end = float(end) if end.isdecimal() else self._began + settings.job_seconds
        self._warning = min(settings.warning_seconds, WARNING_SHARE * (self._end - self._began))
        self._longest = 0.0
        self._ran_one = False

    def has_time(self, *, needs_fresh: bool) -> bool:
        """Whether another replicate may be begun; the first one always: no other job would have more time for it."""
        left = self._end - time.time()
        if needs_fresh:
            return left > (FRESH_SHARE if self._ran_one else IDLE_SHARE) * (self._end - self._began)
        return not self._ran_one or left > self._warning + CAUTION * self._longest

    def took(self, seconds: float) -> None:
        """Note how long a replicate has taken."""
        self._longest = max(self._longest, seconds)
        self._ran_one = True
