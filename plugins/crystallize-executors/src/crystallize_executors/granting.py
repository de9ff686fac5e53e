"""The policy around a step that asks for resources: admitted, told what it has, measured, and out again.

It stands outside of retries and timeouts, and so holds what was granted over all attempts of a step and the waits between
them. Inside, the time in the queue would count as time of the attempt: whether a step fails by its timeout would depend
on how many others run, and the same experiment would come to other results with more workers. An attempt that was given
up while it waited would also still be in the queue, beside the next one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

import attrs

from crystallize_core import CONDITION_KEY, REPLICATE_KEY, ResourceRequest
from crystallize_executors.admission import Ledger, ProcessLedger, process_ledger
from crystallize_executors.budget import is_one_of_several
from crystallize_executors.environment import in_force, variables
from crystallize_executors.folder_ledger import folder_ledger
from crystallize_executors.machine import Machine
from crystallize_executors.measuring import Meter
from crystallize_executors.turns import Demand, Room, Ticket, demand_of

__all__ = ["EVENT", "NAME", "Grant", "Policy", "cell_name", "surrounding_room"]

NAME: Final = "resources"
"""The name of the plugin, of its step option, and of what it keeps."""
EVENT: Final = "step.resources"
"""What a step used; emitted with the step."""
_ONE_STEP_AT_A_TIME: Final = frozenset({"serial", "process"})


@attrs.frozen
class Grant:
    """What a step was granted, as it sees it in `ctx.resources`.

    Attributes:
        cpu: Cores.
        memory, storage: Bytes.
        gpus: The ids of its devices, as `CUDA_VISIBLE_DEVICES` has them.

    All but `gpus` are None where it did not ask.

    """

    cpu: float | None = None
    memory: int | None = None
    storage: int | None = None
    gpus: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: ResourceRequest, demand: Demand, devices: tuple[str, ...]) -> Grant:
        """What was granted to who asked for this."""
        return cls(
            None if request.cpu is None else demand.millicores / 1000,
            None if request.memory is None else demand.memory,
            None if request.storage is None else demand.storage,
            devices,
        )


class CellGrants:
    """What the steps of one cell were granted, by the name of the step."""

    def __init__(self) -> None:
        self.by_step: dict[str | None, Grant] = {}

    def of(self, ctx: Any) -> Grant:
        """What the step that sees `ctx` was granted.

        Raises:
            AttributeError: It asked for nothing.

        """
        grant = self.by_step.get(ctx.step_name)
        if grant is None:
            message = (
                f"step {ctx.step_name!r} has no ctx.resources, because it asks for none; give it resources={{...}}"
            )
            raise AttributeError(message)
        return grant

    def itself(self, ctx: Any) -> CellGrants:  # noqa: ARG002 - called like every factory
        """This object, for those who write into it."""
        return self


@attrs.frozen(eq=False)
class _Held:
    """What the step around is holding, for the steps of experiments and pipelines that it runs inside.

    Attributes:
        room: What they share.
        ledger: Their queue.

    """

    room: Room
    ledger: ProcessLedger = attrs.field(factory=ProcessLedger)


_around: Final[ContextVar[_Held | None]] = ContextVar("crystallize_resources_around", default=None)


def surrounding_room() -> Room | None:
    """What the step holds inside which this runs; None where there is none."""
    held = _around.get()
    return None if held is None else held.room


@attrs.define(eq=False)
class _Turn:
    """One execution of a step on its way through the queue."""

    ledger: Ledger
    ticket: Ticket
    room: Room
    began: float = attrs.field(factory=time.monotonic)
    waited: float = 0.0

    def wait(self) -> None:
        """Stop until it may run."""
        self.ledger.wait(self.ticket, self.room)
        self.waited = time.monotonic() - self.began

    async def await_it(self) -> None:
        """The same without holding up the event loop."""
        await self.ledger.await_turn(self.ticket, self.room)
        self.waited = time.monotonic() - self.began


@attrs.frozen
class Policy:
    """What is done around the calls of one step.

    Attributes:
        request: What it asks for; None for a step that is only measured.
        machine: What there is.
        measures: Whether to tell what it used.
        has_timeout: Whether its attempts may run in threads or tasks of their own.

    """

    request: ResourceRequest | None
    machine: Machine
    measures: bool
    has_timeout: bool

    def around(self, call: Callable[[Any, Any], Any], *, is_async: bool) -> Callable[[Any, Any], Any]:
        """`call(data, ctx)` with this policy around it."""

        def admitted(data: Any, ctx: Any) -> Any:
            with self._turn(ctx) as turn:
                if turn is not None:
                    turn.wait()
                with self._granted(ctx, turn) as meter, _running(meter):
                    return call(data, ctx)

        async def async_admitted(data: Any, ctx: Any) -> Any:
            with self._turn(ctx) as turn:
                if turn is not None:
                    await turn.await_it()
                with self._granted(ctx, turn) as meter:
                    return await (call(data, ctx) if meter is None else meter.awaited(call(data, ctx)))

        policy: Any = async_admitted if is_async else admitted
        policy.single_attempt = True  # it never calls `call` twice, so that nobody has to keep a copy of the data
        return policy  # type: ignore[no-any-return]  # an attribute of a function is nothing that types know of

    @contextlib.contextmanager
    def _turn(self, ctx: Any) -> Iterator[_Turn | None]:
        """A place in the right queue, which is given back whatever happens."""
        if self.request is None:
            yield None
            return
        ledger, room = self._queue(ctx.run)
        ticket = ledger.ticket(demand_of(self.request, self.machine, room))
        try:
            yield _Turn(ledger, ticket, room)
        finally:
            ledger.leave(ticket)

    def _queue(self, run: Any) -> tuple[Ledger, Room]:
        """Where to queue, and for what: for what the step around holds, or for the machine."""
        held = _around.get()
        if held is not None:
            return held.ledger, held.room
        room = Room.of(self.machine)
        shared = None if run is None else run.shared.get(NAME)
        if not shared:
            return process_ledger(), room
        if shared["room"] is not None:
            room = room.within(Room.from_plain(shared["room"]))
        if shared["folder"] is not None:
            with contextlib.suppress(OSError):  # a worker somewhere else, whose disk does not let it
                return folder_ledger(Path(shared["folder"])), room
        return process_ledger(), room

    @contextlib.contextmanager
    def _granted(self, ctx: Any, turn: _Turn | None) -> Iterator[Meter | None]:
        """Everything that holds while the step runs; tells what it used once it has succeeded."""
        alone = is_alone(ctx.run)
        meter = Meter(alone=alone, has_time=not self.has_timeout) if self.measures else None
        if turn is None:
            yield meter
        else:
            with self._in_force(ctx, turn, alone=alone):
                yield meter
        if meter is not None:
            waited = 0.0 if turn is None else turn.waited
            cell = None if ctx.run is None else cell_name(ctx.run.id, ctx.get(CONDITION_KEY), ctx.get(REPLICATE_KEY))
            ctx.emit(EVENT, **meter.payload, waited_seconds=waited, cell=cell)

    @contextlib.contextmanager
    def _in_force(self, ctx: Any, turn: _Turn, *, alone: bool) -> Iterator[None]:
        assert self.request is not None
        devices = turn.ticket.devices or ()
        grant = Grant.of(self.request, turn.ticket.demand, devices)
        grants, name, outer = _grants_of(ctx), ctx.step_name, _around.get()
        held = _Held(Room.held(turn.ticket.demand, devices))
        token = _around.set(held)
        grants.by_step[name] = grant
        try:
            with in_force(variables(grant.cpu, grant.gpus) if alone else {}, held, outer):
                yield
        finally:
            grants.by_step.pop(name, None)
            _around.reset(token)


def is_alone(run: Any) -> bool:
    """Whether a step has this process to itself: one cell at a time, and its steps one after the other."""
    return (run is None or run.trial or run.concurrency in _ONE_STEP_AT_A_TIME) and not is_one_of_several()


def cell_name(run: str, condition: Any, replicate: Any) -> str:
    """What tells one cell of one run from all others."""
    return f"{run}/{condition}/{replicate}"


def _grants_of(ctx: Any) -> CellGrants:
    """The grants of this cell, which the first step that asks provides: a cell in which none does pays nothing."""
    try:
        found: CellGrants = ctx.resource_grants
    except AttributeError:
        found = CellGrants()
        ctx.provide("resources", found.of, tracked=False)
        ctx.provide("resource_grants", found.itself, tracked=False)
    return found


def _running(meter: Meter | None) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if meter is None else meter.running()
