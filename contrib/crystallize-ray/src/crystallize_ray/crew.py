"""The workers of a run on the cluster: Ray actors, each in a process of its own, and what they have been given."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from typing import Any, Final

import attrs

from crystallize_core.errors import WorkerError
from crystallize_core.limits.board import Overdue
from crystallize_core.processes import sys_path, this_process
from crystallize_core.remote import Payload
from crystallize_ray.demands import Demands
from crystallize_ray.runner import Runner, words_left_by
from crystallize_ray.words import in_short

__all__ = ["Crew", "Member", "nodes_of", "startup_error"]

START_SECONDS: Final = 3.0
"""A worker that was asked for so many seconds ago and has not started waits for room."""
GRACE: Final = 10.0
"""Seconds that workers have to tear down their steps at the end of a run."""


@attrs.define(eq=False)
class Member:
    """One worker.

    Attributes:
        actor: Its handle.
        name: What it is called, by itself too.
        starting: What it answers when it has started; None once it has.
        chunks: The numbers of the replicates that it has and not answered, by the references of the answers.
        closing: What it answers when its steps are torn down; None while it may be given more.
        node: Where it runs; None before it has started.
        hired: When it was asked for, on the monotonic clock.

    """

    actor: Any
    name: str
    starting: Any
    chunks: dict[Any, list[int]] = attrs.field(factory=dict)
    closing: Any = None
    node: str | None = None
    hired: float = attrs.field(factory=time.monotonic)

    @property
    def in_flight(self) -> list[int]:
        """The numbers that it has and not answered."""
        return [number for chunk in self.chunks.values() for number in chunk]


class Crew:
    """Starts workers, gives them replicates, hears from them and ends them.

    Args:
        ray: The library, connected.
        payload: The experiment; it is sent to the cluster once.
        demands: What each worker takes of the cluster.
        runtime_env: The runtime environment of each worker, where it is not that of the connection.
        enter_folder: Whether workers enter the current folder of this process.
        cluster_stays: Whether the cluster is there after the run.

    """

    def __init__(
        self,
        ray: Any,
        payload: Payload,
        demands: Demands,
        runtime_env: Mapping[str, Any] | None,
        *,
        enter_folder: bool,
        cluster_stays: bool,
    ) -> None:
        self.members: list[Member] = []
        self._ray = ray
        self._cluster_stays = cluster_stays
        self._payload = ray.put(payload)
        # Ray would repeat by itself what kills workers, and count nothing.
        options: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0, "max_concurrency": 1}
        options |= demands.actor_options(nodes_of(ray))
        self._asking: dict[str, Any] = {"num_cpus": 0, "max_retries": 0}
        if runtime_env is not None:
            options["runtime_env"] = self._asking["runtime_env"] = dict(runtime_env)
        self._runner = ray.remote(Runner).options(**options)
        self._paths = [os.path.abspath(path) for path in sys_path()]  # noqa: PTH100 - "" is the current folder
        self._folder = os.getcwd() if enter_folder else None  # noqa: PTH109 - text, as it is sent

    @property
    def at_work(self) -> list[Member]:
        """Those that have replicates or may be given some."""
        return [member for member in self.members if member.closing is None]

    def hire(self) -> None:
        """Ask the cluster for one more worker; it starts when there is room."""
        name = os.urandom(16).hex()
        actor = self._runner.remote(name, this_process(), self._payload, self._paths, self._folder)
        self.members.append(Member(actor, name, actor.ready.remote()))

    def give(self, member: Member, numbers: list[int]) -> None:
        """Let it run these."""
        member.chunks[member.actor.run.remote(numbers)] = numbers

    def release(self, member: Member) -> None:
        """End a worker that has started and has nothing to do; its steps are torn down first."""
        member.closing = member.actor.close.remote()

    def end(self, member: Member) -> None:
        """End a worker now, whatever it does."""
        self.members.remove(member)
        with contextlib.suppress(Exception):  # it may be gone, and so may the cluster
            self._ray.kill(member.actor, no_restart=True)

    def wait(self, seconds: float) -> list[tuple[Member, Any]]:
        """Those workers that have something to say, each with the reference of what it is."""
        asked = {ref: member for member in self.members for ref in self._refs(member)}
        refs = list(asked)
        ready, rest = self._ray.wait(refs, timeout=seconds)
        if ready and rest:
            ready += self._ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        return [(asked[ref], ref) for ref in ready]

    def _refs(self, member: Member) -> list[Any]:
        others = [ref for ref in (member.starting, member.closing) if ref is not None]
        return [*others, *member.chunks]

    def answer(self, ref: Any, seconds: float | None = None) -> Any:
        """What a worker came to: an `Answer`, or where it runs.

        Raises:
            Exception: It died of it, or its answer is not there after so many seconds.

        """
        return self._ray.get(ref, timeout=seconds)

    def overdue(self, member: Member) -> Overdue | None:
        """The step because of which a dead worker was ended; None if it died of something else, or nobody can tell."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415 - here it is loaded

        if member.node is None:
            return None
        there = NodeAffinitySchedulingStrategy(node_id=member.node, soft=False)
        ask = self._ray.remote(words_left_by).options(**self._asking, scheduling_strategy=there)
        found = None
        with contextlib.suppress(Exception):  # the node may be gone as well
            found = self._ray.get(ask.remote(member.name), timeout=GRACE)
        return None if found is None else Overdue.read(*found)

    def finish(self) -> None:
        """End all workers; those that are idle tear down their steps, those that are busy are not wanted any more."""
        self._end_those_that_start()
        for member in list(self.members):
            if member.chunks:
                self.end(member)
            elif member.closing is None:
                self.release(member)
        end = time.monotonic() + GRACE
        closing = [member.closing for member in self.members]
        if closing:
            self._ray.wait(closing, num_returns=len(closing), timeout=max(0.0, end - time.monotonic()))
        self.dissolve()

    def dissolve(self) -> None:
        """End all workers now."""
        self._end_those_that_start()
        for member in list(self.members):
            self.end(member)

    def _end_those_that_start(self) -> None:
        """End the workers that are not ready yet.

        If an actor is killed at the moment at which it gets its process, Ray forgets that process, which keeps what it takes
        of the cluster for ever. So those that are about to start may do so first. One that has waited for long has no room,
        and gets none while nobody else is ended.
        """
        starting = [member for member in self.members if member.starting is not None]
        youngest = max((member.hired for member in starting), default=0.0)
        seconds = youngest + START_SECONDS - time.monotonic()
        if seconds > 0 and self._cluster_stays:
            with contextlib.suppress(Exception):  # the cluster may be gone
                self._ray.wait([member.starting for member in starting], num_returns=len(starting), timeout=seconds)
        for member in starting:
            self.end(member)


def nodes_of(ray: Any) -> list[Mapping[str, Any]]:
    """The nodes of the cluster that are there."""
    return [node for node in ray.nodes() if node.get("Alive")]


def startup_error(error: BaseException) -> WorkerError:
    """For workers that cannot start."""
    message = (
        f"the workers on the Ray cluster end while they start: {in_short(error)}\n"
        f"  every node needs what is installed here: pip install crystallize-ray"
    )
    return WorkerError(message)
