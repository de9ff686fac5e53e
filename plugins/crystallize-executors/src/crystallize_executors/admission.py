"""Who may run now: a queue for what several steps want of one machine.

A step takes a ticket, waits until it is admitted, and gives the ticket back. The queue is fair: a ticket is admitted
only where that takes nothing away from those before it, so that a large request is never overtaken by small ones
without end. One that wants nothing of what those before it wait for does not wait for them.

Nothing here can wait for itself. A step inside another one shares what that one was granted, instead of waiting beside
it, and a thread that has another ticket in the queue is admitted at once where it would have to stop for its turn: that
ticket belongs to something on the same event loop, which could not go on meanwhile.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

from crystallize_executors.turns import Demand, Room, Ticket, first_devices, turns

__all__ = ["Ledger", "ProcessLedger", "process_ledger"]

FIRST_PAUSE: Final = 0.001
"""Seconds after which a step that was not admitted asks again for the first time."""
LONGEST_PAUSE: Final = 0.05
"""Seconds between questions later on; also how late Ctrl-C may be heard."""


class Ledger(ABC):
    """A queue with what was granted; may be used from any thread.

    Args:
        holder: What tells this process from others that use the queue.

    Attributes:
        in_use: The numbers of the tickets of this process that were not given back.

    """

    def __init__(self, holder: str) -> None:
        self._holder = holder
        self._numbers = itertools.count()
        self.in_use: set[int] = set()
        self._liked: tuple[str, ...] = ()

    @abstractmethod
    def opened(self) -> AbstractContextManager[list[Ticket]]:
        """The tickets in their order, for this thread alone; what is changed in the list is kept."""

    @abstractmethod
    def pause(self, seconds: float) -> None:
        """Wait for so long, or until something was given back."""

    def ticket(self, demand: Demand) -> Ticket:
        """A ticket for this thread, which is not in the queue yet."""
        return Ticket(self._holder, next(self._numbers), demand, threading.get_ident())

    def ask(self, ticket: Ticket, room: Room, *, stops: bool = False) -> bool:
        """Whether the ticket is admitted; the first question puts it into the queue.

        Args:
            ticket: The ticket; its `devices` are set when it is admitted.
            room: What there is for all.
            stops: Whether its thread stops until it is admitted.

        """
        self.in_use.add(ticket.number)
        with self.opened() as tickets:
            place = next((at for at, other in enumerate(tickets) if other.is_same(ticket)), len(tickets))
            if place == len(tickets):
                tickets.append(ticket)
            found = turns(tickets, ticket, room, self._liked)
            if found is None and stops and any(map(ticket.hangs_on, tickets)):
                found = first_devices(ticket.demand, set(), self._liked)
            ticket.devices = found
            tickets[place] = ticket
        self._liked = found or self._liked
        return found is not None

    def wait(self, ticket: Ticket, room: Room) -> None:
        """Stop until the ticket is admitted."""
        pause = FIRST_PAUSE
        while not self.ask(ticket, room, stops=True):
            self.pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def await_turn(self, ticket: Ticket, room: Room) -> None:
        """The same without holding up the event loop."""
        import asyncio  # noqa: PLC0415 - only async steps need it

        pause = FIRST_PAUSE
        while not self.ask(ticket, room):
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def leave(self, ticket: Ticket) -> None:
        """Give the ticket back; one that was never in the queue is no trouble."""
        self.in_use.discard(ticket.number)
        with self.opened() as tickets:
            tickets[:] = [other for other in tickets if not other.is_same(ticket)]


class ProcessLedger(Ledger):
    """A queue for the threads of this process."""

    def __init__(self) -> None:
        super().__init__("here")
        self._changed = threading.Condition()
        self._tickets: list[Ticket] = []

    @contextlib.contextmanager
    def opened(self) -> Iterator[list[Ticket]]:
        """The list itself."""
        with self._changed:
            count = len(self._tickets)
            yield self._tickets
            if len(self._tickets) < count:
                self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Wait until a ticket was given back, but no longer than so many seconds.

        One may be given back between the question and this call, which the next question then finds.
        """
        with self._changed:
            self._changed.wait(seconds)


_ledgers: Final[dict[int, ProcessLedger]] = {}


def process_ledger() -> ProcessLedger:
    """The queue of this process; a process that was forked has one of its own, in which nothing is taken."""
    return _ledgers.setdefault(os.getpid(), ProcessLedger())
