"""The loop of the coordinator: keep jobs submitted and busy, deliver what they answer, replace those that end."""

from __future__ import annotations

import collections
import contextlib
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from crystallize_core.errors import WorkerError
from crystallize_core.limits.board import Overdue
from crystallize_core.limits.words import last_words
from crystallize_core.processes import sys_path, this_process
from crystallize_core.remote import Answer, lose_overdue, take
from crystallize_slurm.jobs import ENDED, Job
from crystallize_slurm.mailbox import STOP, Chunk, Pause, RunFolder, WorkerFolder
from crystallize_slurm.worker import Settings, work

if TYPE_CHECKING:
    from types import TracebackType

    from crystallize_core.schedule import Schedule
    from crystallize_slurm.execution import SlurmExecution
    from crystallize_slurm.jobs import Jobs
    from crystallize_slurm.progress import Progress

__all__ = ["Coordinator", "kept_after_failures"]

START_ATTEMPTS: Final = 3
"""How many jobs in a row may end before they work, while none has worked; then the run is given up."""
START_ATTEMPTS_LATER: Final = 20
"""The same once one has worked: there may be one bad machine that takes and loses job after job."""
SILENT_POLLS: Final = 10
"""A worker that has shown no life for so many looks is asked after."""
YOUNG_POLLS: Final = 60
"""For so many looks a job counts as just submitted."""
LOST_POLLS: Final = 180
"""One that has shown none for so many is given up, where Slurm says nothing of it either. At least this many seconds."""
CLOSE_SECONDS: Final = 3.0
"""How long workers may take to end by themselves."""


@attrs.define(eq=False)
class _Worker:
    job: Job
    folder: WorkerFolder
    has_begun: bool = False
    has_answered: bool = False
    in_flight: dict[int, None] = attrs.field(factory=dict)
    places: Iterator[int] = attrs.field(factory=itertools.count)
    last_beat: int = 0
    heard: float = attrs.field(factory=time.monotonic)

    def answered(self, answer: Answer) -> None:
        """Note that these replicates have come back."""
        self.has_answered = True
        for number in itertools.chain(*(numbers for numbers, _ in answer.outcomes), (n for n, _ in answer.unsent)):
            self.in_flight.pop(number, None)

    def silence(self) -> float:
        """For how many seconds it has shown no life."""
        try:
            beat = self.folder.beat.stat().st_mtime_ns
        except OSError:
            beat = 0
        if beat != self.last_beat:
            self.last_beat, self.heard = beat, time.monotonic()
        return time.monotonic() - self.heard


class Coordinator:
    """Runs the replicates of a run in jobs; use it as a context manager, which leaves no job behind."""

    def __init__(
        self,
        replicate_fn: Any,
        room: RunFolder,
        jobs: Jobs,
        schedule: Schedule,
        shown: Progress,
        options: SlurmExecution,
    ) -> None:
        self._replicate_fn, self._room, self._jobs, self._schedule = replicate_fn, room, jobs, schedule
        self._shown, self._options = shown, options
        self._workers: dict[str, _Worker] = {}
        self._names = (f"w{number:05d}" for number in itertools.count())
        self._failed_starts = 0
        self._one_has_worked = False
        self._with_dead: collections.Counter[int] = collections.Counter()
        self._out_of_time: set[int] = set()
        self._ended = threading.Event()
        self._life = threading.Thread(target=self._show_life, name="crystallize-slurm", daemon=True)
        self.has_lost = False
        """Whether a replicate was given up because of what became of its jobs."""

    # The loop ---------------------------------------------------------------------------------------------------------

    def drive(self, count: int) -> None:
        """Run everything with at most `count` jobs at a time, until it is done or no more is wanted."""
        pause = Pause(self._options.poll_seconds)
        while not self._replicate_fn.stopped:
            # Asked before the answers are read: what a worker said before it ended is then still heard.
            ended = self._ended_jobs()
            moved = self._take_answers() + len(ended)
            if self._replicate_fn.stopped:
                return
            for worker, how in ended:
                self._bury(worker, how)
            in_flight = sum(len(worker.in_flight) for worker in self._workers.values())
            if not self._schedule.left and not in_flight:
                return
            self._submit(min(count, self._schedule.left + in_flight) - len(self._workers))
            moved += self._hand_out()
            self._shown.show(sum(worker.has_begun for worker in self._workers.values()), len(self._workers))
            if moved:
                pause.reset()
            pause.wait()

    def _take_answers(self) -> int:
        count = 0
        for name, answer in self._room.answers():
            worker = self._workers.get(name)
            if worker is not None:
                worker.answered(answer)
                self._one_has_worked = True
                self._failed_starts = 0
            self._shown.advance(take(self._replicate_fn, answer, self._schedule))
            count += 1
            if self._replicate_fn.stopped:
                break
        return count

    def _submit(self, count: int) -> None:
        if count <= 0:
            return
        settings = Settings(
            tuple(sys_path(str(Path.cwd()))),
            self._options.poll_seconds,
            60 * self._jobs.minutes,
            self._jobs.warning_seconds,
            this_process(),
        )
        names = list(itertools.islice(self._names, count))
        for name in names:
            self._room.worker(name).make()
        calls = {name: (str(self._room.path), name, attrs.asdict(settings)) for name in names}
        for job in self._jobs.submit(work, calls):
            self._workers[job.name] = _Worker(job, self._room.worker(job.name))

    def _hand_out(self) -> int:
        if not all(worker.has_begun for worker in self._workers.values()):
            for name in self._room.begun() & set(self._workers):
                self._workers[name].has_begun = True
                self._workers[name].heard = time.monotonic()
        count = 0
        for worker in self._workers.values():
            while worker.has_begun and (numbers := self._schedule.next_chunk(worker.in_flight)):
                worker.in_flight.update(dict.fromkeys(numbers))
                worker.folder.send(next(worker.places), Chunk(numbers, not self._out_of_time.isdisjoint(numbers)))
                count += 1
        return count

    # Jobs that end ----------------------------------------------------------------------------------------------------

    def _ended_jobs(self) -> list[tuple[_Worker, str]]:
        workers = list(self._workers.values())
        poll = self._options.poll_seconds
        silent = [worker for worker in workers if worker.has_begun and worker.silence() > SILENT_POLLS * poll]
        # Those that have just been submitted may end as they start, and would not be heard of either.
        young = [worker for worker in workers if not worker.has_begun and worker.job.age() < YOUNG_POLLS * poll]
        ended = self._jobs.ended([worker.job for worker in workers], asks=bool(silent or young))
        found = [(self._workers[job.name], how) for job, how in ended]
        lost = [worker for worker in silent if worker.silence() > max(LOST_POLLS * poll, LOST_POLLS)]
        gone = [(worker, f"no sign of life for {worker.silence():.0f} s") for worker in lost]
        known = {worker.job.name for worker, _ in found}
        return found + [(worker, how) for worker, how in gone if worker.job.name not in known]

    def _bury(self, worker: _Worker, how: str) -> None:
        """Decide what becomes of the replicates that an ended job had, and which of them may be to blame."""
        del self._workers[worker.job.name]
        waiting, now = list(worker.in_flight), worker.folder.read_now()
        if how != ENDED:
            self._cancel([worker.job])  # it is over for us, and should be so for the cluster
        found = last_words(worker.folder.overdue)
        if found is not None:
            self._shown.advance(lose_overdue(self._replicate_fn, Overdue.read(*found), waiting, self._schedule))
            return
        if now.has_left:
            if not worker.has_answered:
                self._failed_to_start(worker, how, START_ATTEMPTS_LATER + self._options.max_workers)
            self._schedule.give_back(waiting)
            return
        if not now.begun and not worker.has_answered:
            self._failed_to_start(worker, how, START_ATTEMPTS_LATER if self._one_has_worked else START_ATTEMPTS)
        begun = [number for number in now.begun if number in worker.in_flight]
        suspects = begun[-1:]
        others = [number for number in waiting if number not in suspects]
        # Where the machine itself died, its last notes may be lost, and the blame be misplaced.
        self._with_dead.update(others)
        self._schedule.give_back([number for number in others if self._with_dead[number] == 1])
        self._schedule.run_alone([number for number in others if self._with_dead[number] > 1])
        if suspects:
            self._suspect(suspects, worker, how)

    def _suspect(self, suspects: Sequence[int], worker: _Worker, how: str) -> None:
        if how in ("TIMEOUT", "DEADLINE"):
            self._out_of_time.update(suspects)
        for number in self._schedule.died(suspects):
            times = self._schedule.deaths(number)
            message = (
                f"its job ended {times} time{'s' * (times > 1)} while it ran, at last job {worker.job.id} ({how})"
                f"{self._advice(how)}\n  {worker.job.end_of_log()}"
            )
            self._replicate_fn.lost(number, WorkerError(message))
            self._shown.advance()
            self.has_lost = True

    def _advice(self, how: str) -> str:
        if how == "TIMEOUT":
            return f"\n  a replicate must fit into one job: raise timeout_minutes, now {self._jobs.minutes:g}"
        if how == "OUT_OF_MEMORY":
            return '\n  ask for more memory, by resources={"memory": "16Gi"} of the step or parameters={"mem_gb": 16}'
        return ""

    def _failed_to_start(self, worker: _Worker, how: str, limit: int) -> None:
        """Count jobs that end before they work.

        Raises:
            WorkerError: These are too many.

        """
        self._failed_starts += 1
        if self._failed_starts < limit:
            return
        message = (
            f"{self._failed_starts} jobs in a row ended before they ran a replicate, at last job {worker.job.id}: {how}\n"
            f"  {worker.job.end_of_log()}"
        )
        raise WorkerError(message)

    # Beginning and end ------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._jobs.open(self._room.jobs)
        self._life.start()
        return self

    def _show_life(self) -> None:
        """Tell the workers that this process lives; in a thread, because what outcomes are delivered to may take long."""
        count = 0
        while not self._ended.wait(5 * self._options.poll_seconds):
            count += 1
            with contextlib.suppress(OSError):  # a full disk is seen elsewhere
                self._room.write_pulse(str(count))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End all jobs: those in the queue at once, the others if they do not go by themselves."""
        self._ended.set()
        self._life.join()  # so that it does not write over the next word
        with contextlib.suppress(OSError):
            self._room.write_pulse(STOP)
        left = [worker.job for worker in self._workers.values()]
        begun = self._room.begun()
        self._cancel([job for job in left if job.name not in begun])
        if not self._jobs.are_children:
            left = [job for job in left if job.name in begun]
        left = self._waited_for(left)
        self._cancel(left)
        if self._jobs.are_children:
            self._waited_for(left)

    def _waited_for(self, jobs: Sequence[Job]) -> list[Job]:
        """Those that have not ended after some seconds."""
        left, pause, until = list(jobs), Pause(0.1), time.monotonic() + CLOSE_SECONDS
        while left and time.monotonic() < until:
            over = {job.name for job, _ in self._jobs.ended(left, asks=False)}
            left = [job for job in left if job.name not in over]
            pause.wait()
        return left

    def _cancel(self, jobs: Sequence[Job]) -> None:
        self._jobs.cancel(jobs, [self._room.process_of(job.name) for job in jobs])


@attrs.define
class _Kept:
    keep: bool = False


@contextlib.contextmanager
def kept_after_failures(room: RunFolder) -> Iterator[_Kept]:
    """Remove the folder of a run that went well or was interrupted; keep it, with its logs, after one that failed."""
    kept = _Kept()
    try:
        yield kept
    except (Exception, SystemExit) as error:
        kept.keep = True
        error.add_note(f"the logs of the jobs are in {room.jobs}")
        raise
    finally:
        if not kept.keep:
            room.remove()
