"""What steps want of one machine, and whose turn it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from crystallize_core import ResourceRequest
from crystallize_executors.machine import Machine

__all__ = ["Demand", "Room", "Ticket", "demand_of", "first_devices", "turns"]


@attrs.frozen
class Room:
    """What steps may use together; None stands for what is not counted.

    Attributes:
        millicores: Thousandths of a core; whole numbers, because sums of fractions are not exact.
        memory, storage: Bytes.
        gpus: The ids of the devices that may be given out; None for all that suit.

    """

    millicores: int | None = None
    memory: int | None = None
    storage: int | None = None
    gpus: tuple[str, ...] | None = None

    @classmethod
    def of(cls, machine: Machine) -> Room:
        """All of a machine."""
        return cls(round(machine.cpu * 1000), machine.memory, machine.storage)

    @classmethod
    def held(cls, demand: Demand, devices: tuple[str, ...]) -> Room:
        """What one step holds; what it did not ask for is not counted for those inside it."""
        return cls(demand.millicores or None, demand.memory or None, demand.storage or None, devices or None)

    @classmethod
    def from_plain(cls, row: Sequence[Any]) -> Room:
        """The room that `to_plain` wrote."""
        millicores, memory, storage, gpus = row
        return cls(millicores, memory, storage, None if gpus is None else tuple(gpus))

    def to_plain(self) -> tuple[Any, ...]:
        """Plain values, which any process can be told."""
        return attrs.astuple(self)

    def within(self, other: Room) -> Room:
        """The smaller of both in everything."""
        return Room(
            _smaller(self.millicores, other.millicores),
            _smaller(self.memory, other.memory),
            _smaller(self.storage, other.storage),
            other.gpus if self.gpus is None else self.gpus,
        )


def _smaller(one: int | None, other: int | None) -> int | None:
    """The smaller of two limits, where None is no limit."""
    return min((limit for limit in (one, other) if limit is not None), default=None)


@attrs.frozen
class Demand:
    """What one step takes out of a room: `gpus` of the devices that are `suitable`."""

    millicores: int = 0
    memory: int = 0
    storage: int = 0
    gpus: int = 0
    suitable: tuple[str, ...] = ()


def demand_of(request: ResourceRequest, machine: Machine, room: Room) -> Demand:
    """What a request takes; no more than there is, because it would wait for ever."""
    suitable: tuple[str, ...] = ()
    if request.gpu is not None:
        suitable = machine.suitable(request.gpu)
        suitable = tuple(one for one in suitable if room.gpus is None or one in room.gpus)
    return Demand(
        _smaller(round((request.cpu or 0) * 1000), room.millicores) or 0,
        _smaller(request.memory or 0, room.memory) or 0,
        _smaller(request.storage or 0, room.storage) or 0,
        0 if request.gpu is None else min(request.gpu.count, len(suitable)),
        suitable,
    )


@attrs.define
class Ticket:
    """One place in a queue.

    Attributes:
        holder: The process that holds it.
        number: Tells it from others of that process.
        demand: What it waits for, or was granted.
        thread: The thread that stops while it waits, or whose event loop goes on.
        devices: The devices that were granted; None while it waits.

    """

    holder: str
    number: int
    demand: Demand
    thread: int
    devices: tuple[str, ...] | None = None

    def is_same(self, other: Ticket) -> bool:
        """Whether both stand for one place, whatever has become of it."""
        return self.number == other.number and self.holder == other.holder

    def hangs_on(self, other: Ticket) -> bool:
        """Whether the other one can only go on when the thread of this one does."""
        return other.thread == self.thread and other.holder == self.holder and not self.is_same(other)


def turns(tickets: Sequence[Ticket], mine: Ticket, room: Room, liked: Sequence[str] = ()) -> tuple[str, ...] | None:
    """The devices for a ticket whose turn it is; None where it has to wait.

    Args:
        tickets: The queue, in the order of arrival, with those that were admitted.
        mine: Whose turn is asked for.
        room: What there is for all.
        liked: Devices to be preferred: a process that has used a GPU cannot easily change to another.

    """
    taken = [ticket for ticket in tickets if ticket.devices is not None]
    before = [ticket for ticket in tickets[: _place(tickets, mine)] if ticket.devices is None]
    busy = {device for ticket in taken for device in ticket.devices or ()}
    for name in ("millicores", "memory", "storage"):
        limit, wanted = getattr(room, name), getattr(mine.demand, name)
        # Those before it count as if they were admitted already: what they wait for is not to be had.
        used = sum(getattr(ticket.demand, name) for ticket in (*taken, *before))
        if limit is not None and wanted and used + wanted > limit:
            return None
    for ticket in before:
        busy.update(first_devices(ticket.demand, busy, ()))
    found = first_devices(mine.demand, busy, liked)
    return found if len(found) == mine.demand.gpus else None


def _place(tickets: Sequence[Ticket], mine: Ticket) -> int:
    return next((place for place, ticket in enumerate(tickets) if ticket.is_same(mine)), len(tickets))


def first_devices(demand: Demand, busy: set[str], liked: Sequence[str]) -> tuple[str, ...]:
    """As many free devices as are wanted, or as there are, in the order of the machine."""
    free = [device for device in demand.suitable if device not in busy]
    chosen = sorted(free, key=lambda device: device not in liked)[: demand.gpus]
    return tuple(device for device in free if device in chosen)
