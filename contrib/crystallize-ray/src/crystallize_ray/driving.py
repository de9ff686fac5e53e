"""The loop of the coordinator: keep the workers busy, deliver what they send, replace those that die."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.errors import WorkerError, describe
from crystallize_core.progress import Progress
from crystallize_core.remote import lose_overdue, payload_of, take
from crystallize_core.schedule import Schedule
from crystallize_ray.crew import Crew, Member, nodes_of, startup_error
from crystallize_ray.demands import Demands
from crystallize_ray.process_state import same_environment
from crystallize_ray.session import Wanted, session
from crystallize_ray.words import in_short

if TYPE_CHECKING:
    from crystallize_ray.execution import RayExecution

__all__ = ["drive"]

AHEAD_SECONDS: Final = 1.0
"""A worker is given about this much work in advance."""
PATIENCE: Final = 1.0
"""Seconds after which the loop looks again how many workers the cluster has room for."""
WAIT_BEFORE_WORDS: Final = 10.0
"""Seconds that a run waits for its first worker before it says so."""
START_ATTEMPTS: Final = 3
"""How many workers may end by themselves before the first one is ready; then the run is given up."""
START_ATTEMPTS_LATER: Final = 20
"""How many in a row may end while they start once one was ready."""


def drive(options: RayExecution, experiment: Any, replicate_fn: Any) -> None:
    """Run the pending replicates of a run.

    Raises:
        ImportError, NotSendableError, WorkerError, BaseException: As `RayExecution.run_experiment_loop` says.

    """
    ray = _library()
    payload = payload_of(replicate_fn)
    demands = Demands.of(experiment)
    environment = options.runtime_env
    wanted = Wanted(
        options.address, options.connect_timeout, _cores(options, demands), environment, options.log_to_driver
    )
    with session(ray, wanted) as is_new, Progress(len(replicate_fn.pending), enabled=options.progress) as shown:
        demands.refuse_impossible(nodes_of(ray))
        enter_folder = "working_dir" not in (environment or {})
        runtime_env = None if is_new else environment
        crew = Crew(ray, payload, demands, runtime_env, enter_folder=enter_folder, cluster_stays=not is_new)
        try:
            _Run(ray, options, replicate_fn, crew, demands, shown).drive()
            crew.finish()
        except BaseException:
            crew.dissolve()
            raise


def _library() -> Any:
    try:
        with same_environment():
            import ray  # noqa: PLC0415 - only a run needs it
    except ImportError as error:
        raise ImportError(f"the executor 'ray' needs Ray: pip install crystallize-ray ({error})") from error
    return ray


def _cores(options: RayExecution, demands: Demands) -> int | None:
    """How many cores a Ray on this machine is told that there are; None for all.

    Where no step asks for cores, as many workers as were asked for have room: they are processes, not cores.
    """
    if demands.request.cpu is None and options.max_workers is not None:
        return options.max_workers
    # Ray counts the cores of the machine, also those that this process may not use.
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return usable if usable != os.cpu_count() else None


class _Run:
    def __init__(
        self, ray: Any, options: RayExecution, replicate_fn: Any, crew: Crew, demands: Demands, shown: Progress
    ) -> None:
        self._ray, self._demands = ray, demands
        self._most = options.max_workers
        self._replicate_fn = replicate_fn
        self._crew = crew
        self._shown = shown
        self._looked = self._began = time.monotonic()
        self._room = self._room_now()
        numbers = replicate_fn.pending
        workers = min(self._room, len(numbers))
        self._schedule = Schedule(numbers, workers, options.max_deaths, ahead_seconds=AHEAD_SECONDS)
        self._failed_starts = 0
        self._one_was_ready = self._said = False

    def drive(self) -> None:
        """Run everything, until it is done or no more is wanted."""
        while not self._replicate_fn.stopped:
            in_flight = sum(len(member.in_flight) for member in self._crew.members)
            if not self._schedule.left and not in_flight:
                return
            self._staff(self._schedule.left + in_flight)
            self._feed()
            for member, ref in self._crew.wait(PATIENCE):
                self._listen(member, ref)
                if self._replicate_fn.stopped:
                    return
            self._say_that_it_waits()

    def _room_now(self) -> int:
        room = self._most
        if room is None:
            room = self._demands.room(nodes_of(self._ray))
        return max(1, room)

    def _staff(self, unsettled: int) -> None:
        """Ask for as many workers as there is room for and work for."""
        now = time.monotonic()
        if now - self._looked >= PATIENCE:
            self._looked, self._room = now, self._room_now()
        while len(self._crew.at_work) < min(self._room, unsettled):
            try:
                self._crew.hire()
            except Exception as error:
                raise WorkerError(f"Ray does not start workers any more: {describe(error)}") from error

    def _feed(self) -> None:
        for member in self._crew.at_work:
            while member.starting is None and (chunk := self._schedule.next_chunk(member.in_flight)):
                self._crew.give(member, chunk)
            if member.starting is None and not member.chunks and not self._schedule.left:
                self._crew.release(member)  # others may want its place

    def _listen(self, member: Member, ref: Any) -> None:
        if member not in self._crew.members:
            return  # it died, and all that it had was looked at then
        if ref == member.closing:
            self._crew.end(member)
        elif ref == member.starting:
            self._started(member, ref)
        elif ref in member.chunks:
            try:
                answer = self._crew.answer(ref)
            except Exception as error:  # noqa: BLE001 - whatever it is, these replicates have no outcome
                self._replace(member, error)
            else:
                self._take(member, ref, answer)

    def _started(self, member: Member, ref: Any) -> None:
        try:
            member.node = self._crew.answer(ref)
        except Exception as error:
            self._crew.end(member)
            self._failed_starts += 1
            if self._failed_starts >= (START_ATTEMPTS_LATER if self._one_was_ready else START_ATTEMPTS):
                raise startup_error(error) from error
            return
        member.starting = None
        self._failed_starts, self._one_was_ready = 0, True

    def _take(self, member: Member, ref: Any, answer: Any) -> None:
        numbers = member.chunks.pop(ref)
        self._schedule.give_back(numbers[answer.ran :])
        self._shown.advance(take(self._replicate_fn, answer, self._schedule))

    def _replace(self, member: Member, error: Exception) -> None:
        """Give the replicates of a dead worker to others; the loop starts another in its place."""
        for ref in list(member.chunks):
            # What it said before it died counts.
            answer = None
            with contextlib.suppress(Exception):
                answer = self._crew.answer(ref, 0)
            if answer is not None:
                self._take(member, ref, answer)
        self._crew.end(member)
        overdue = self._crew.overdue(member) if member.chunks else None
        if overdue is not None:
            self._shown.advance(lose_overdue(self._replicate_fn, overdue, member.in_flight, self._schedule))
            return
        for number in self._schedule.died(member.in_flight):
            times = self._schedule.deaths(number)
            text = f"its worker died {times} times while it ran alone in it, at last with {in_short(error)}"
            self._replicate_fn.lost(number, WorkerError(text))
            self._shown.advance()

    def _say_that_it_waits(self) -> None:
        if self._one_was_ready or self._said or time.monotonic() - self._began < WAIT_BEFORE_WORDS:
            return
        self._said = True
        needed = ", ".join(f"{name}={amount:g}" for name, amount in self._demands.amounts.items())
        logging.getLogger("crystallize").warning(
            "waiting for the Ray cluster to start a worker, which takes %s; there may be no room for it now", needed
        )
