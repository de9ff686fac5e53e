"""What a job does: it takes chunk after chunk until its coordinator wants no more, or its time is nearly over."""

from __future__ import annotations

import collections
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs

from crystallize_core.remote import Payload, close, run_chunk
from crystallize_slurm.mailbox import ANSWERING, LEFT, STOP, Chunk, NowFile, Pause, RunFolder

__all__ = ["Settings", "work"]

PATIENCE: Final = 60
"""So many looks without a change of the pulse, and the coordinator counts as gone."""
GRACE: Final = 2.0
"""Seconds that a replicate gets to end, once nobody wants it any more."""
FRESH_SHARE: Final = 0.1
"""A job counts as fresh that has used less than this share of its time."""
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

    """

    path: tuple[str, ...]
    poll_seconds: float
    job_seconds: float
    warning_seconds: float


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
    if not room.begin(name, f"{platform.node()}:{os.getpid()}"):
        return "a worker of this name has run before; the coordinator has submitted another in its place"
    return _Worker(room, name, read).run()


class _Worker:
    def __init__(self, room: RunFolder, name: str, settings: Settings) -> None:
        self._room, self._name = room, name
        self._mine = room.worker(name)
        self._clock = _Clock(settings)
        self._poll_seconds = settings.poll_seconds
        self._now = NowFile(self._mine.now)
        self._leaving: str | None = None

    def run(self) -> str:
        """Take chunks until there is a reason to leave."""
        self._listen_to_signals()
        threading.Thread(target=self._live, name="crystallize-slurm", daemon=True).start()
        payload = self._room.payload()
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
        self._now.note(LEFT)
        return self._leaving

    def _do(self, payload: Payload, chunk: Chunk) -> None:
        """Run the chunk, and answer about once a pause: what has been answered is not lost with this process."""
        waiting = collections.deque(chunk.numbers)
        while waiting and self._leaving is None:
            answer = run_chunk(payload, self._some(waiting, needs_fresh=chunk.needs_fresh))
            if answer.ran or answer.raised:
                self._room.answer(self._name, answer)
                self._now.clear()
            if answer.raised:
                self._leaving = "the run has failed"

    def _some(self, waiting: collections.deque[int], *, needs_fresh: bool) -> Iterator[int]:
        until = time.monotonic() + self._poll_seconds
        while waiting and self._leaving is None:
            if not self._clock.has_time(needs_fresh=needs_fresh):
                self._leaving = "the time of this job is nearly over"
                break
            number = waiting.popleft()
            self._now.note(number)
            began = time.monotonic()
            yield number
            self._clock.took(time.monotonic() - began)
            if time.monotonic() >= until:
                break
        self._now.note(ANSWERING)

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
            self._beat()
        self._end("the coordinator is gone")

    def _beat(self) -> None:
        try:
            self._mine.beat.touch()
        except OSError:  # the folder is gone, which the pulse says as well
            return

    def _end(self, why: str) -> None:
        """Let the replicate end that runs, but not for long."""
        self._leave(why)
        time.sleep(GRACE)
        # What it had begun is not to blame if it is run again.
        self._now.note(LEFT)
        print(f"this worker ends in the middle of its work: {why}", file=sys.stderr, flush=True)  # noqa: T201 - its log
        os._exit(1)


class _Clock:
    """How much time a job has left, as seconds of the clock of its machine."""

    def __init__(self, settings: Settings) -> None:
        self._began = time.time()
        end = os.environ.get("SLURM_JOB_END_TIME", "")
        self._end = float(end) if end.isdecimal() else self._began + settings.job_seconds
        self._warning = min(settings.warning_seconds, FRESH_SHARE * (self._end - self._began))
        self._longest = 0.0
        self._ran_one = False

    def has_time(self, *, needs_fresh: bool) -> bool:
        """Whether another replicate may be begun; the first one always: no other job would have more time for it."""
        if not self._ran_one:
            return not needs_fresh or self._is_fresh()
        if needs_fresh and not self._is_fresh():
            return False
        return self._end - time.time() > self._warning + CAUTION * self._longest

    def _is_fresh(self) -> bool:
        return time.time() - self._began < FRESH_SHARE * (self._end - self._began)

    def took(self, seconds: float) -> None:
        """Note how long a replicate has taken."""
        self._longest = max(self._longest, seconds)
        self._ran_one = True
