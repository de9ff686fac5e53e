"""The queue: nobody takes what another one has, nobody is overtaken, nobody waits for itself, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core import as_request
from crystallize_executors.admission import ProcessLedger
from crystallize_executors.folder_ledger import can_lock, folder_ledger, remove_folder
from crystallize_executors.machine import Device, Machine
from crystallize_executors.turns import Demand, Room, Ticket, demand_of, turns

needs_locks = pytest.mark.skipif(not can_lock(), reason="this system has no such locks")

MACHINE = Machine(4, 100, 100, (Device("a"), Device("b")))
ROOM = Room.of(MACHINE)
ALL = Demand(millicores=4000)


@pytest.fixture
def folder(tmp_path):
    """A folder for a queue, which is closed afterwards."""
    made = tmp_path / "queue"
    yield made
    remove_folder(made)


@pytest.fixture(params=["process", "folder"])
def ledger(request, folder):
    """Both kinds of queue."""
    if request.param == "folder" and not can_lock():
        pytest.skip("this system has no such locks")
    return ProcessLedger() if request.param == "process" else folder_ledger(folder)


def until(condition, seconds=60.0):
    """Look again and again until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.001)


def queued(ledger):
    with ledger.opened() as tickets:
        return len(tickets)


def states(ledger):
    with ledger.opened() as tickets:
        return ["waits" if ticket.devices is None else "admitted" for ticket in tickets]


# Whose turn it is -------------------------------------------------------------------------------------


def tickets(*demands, granted=()):
    """Tickets in their order; those that were granted have devices, also where these are none."""
    return [
        Ticket("p", number, demand, thread=number, devices=granted[number] if number < len(granted) else None)
        for number, demand in enumerate(demands)
    ]


def test_what_fits_beside_the_others_is_admitted():
    queue = tickets(Demand(3000), Demand(1000), granted=[()])
    assert turns(queue, queue[1], ROOM) == ()


def test_what_does_not_fit_waits():
    queue = tickets(Demand(3000), Demand(1001), granted=[()])
    assert turns(queue, queue[1], ROOM) is None


@pytest.mark.parametrize("name", ["memory", "storage"])
def test_memory_and_storage_count_like_cores(name):
    queue = tickets(Demand(**{name: 60}), Demand(**{name: 41}), Demand(**{name: 40}), granted=[()])
    assert turns(queue, queue[1], ROOM) is None
    assert turns([queue[0], queue[2]], queue[2], ROOM) == ()
    assert turns(queue, queue[1], Room()) == ()  # nobody knows how much there is


def test_a_small_request_does_not_overtake_a_large_one():
    """Otherwise small ones could keep it waiting without end."""
    queue = tickets(Demand(3000), Demand(4000), Demand(1000), granted=[()])
    assert turns(queue, queue[1], ROOM) is None
    assert turns(queue, queue[2], ROOM) is None


def test_who_wants_nothing_that_others_wait_for_does_not_wait_for_them():
    queue = tickets(Demand(4000), Demand(4000), Demand(memory=10), Demand(gpus=1, suitable=("a",)), granted=[()])
    assert turns(queue, queue[2], ROOM) == ()
    assert turns(queue, queue[3], ROOM) == ("a",)


def test_devices_are_given_to_one_at_a_time():
    both = ("a", "b")
    queue = tickets(*[Demand(gpus=1, suitable=both)] * 3, granted=[("a",)])
    assert turns(queue, queue[1], ROOM) == ("b",)
    assert turns(queue, queue[2], ROOM) is None


def test_a_device_that_somebody_waits_for_is_kept_free():
    """The second wants both and has one of them coming; the third must not take that one."""
    queue = tickets(
        Demand(gpus=1, suitable=("a", "b")),
        Demand(gpus=2, suitable=("a", "b")),
        Demand(gpus=1, suitable=("a", "b", "c")),
        granted=[("a",)],
    )
    assert turns(queue, queue[1], ROOM) is None
    assert turns(queue, queue[2], ROOM) == ("c",)


def test_a_device_that_was_used_before_is_preferred():
    """A process that has used one cannot easily change to another."""
    queue = tickets(Demand(gpus=1, suitable=("a", "b")))
    assert turns(queue, queue[0], ROOM, liked=("b",)) == ("b",)


demands = st.builds(
    Demand,
    millicores=st.integers(0, 4000),
    memory=st.integers(0, 100),
    storage=st.integers(0, 100),
    gpus=st.integers(0, 2),
    suitable=st.just(("a", "b")),
)


def played(arrivals, ends):
    """The queue after these arrivals, between which those that run end by chance."""
    queue = []
    for number, (demand, end) in enumerate(zip(arrivals, ends, strict=False)):
        queue.append(Ticket("p", number, demand, thread=number))
        for ticket in queue:
            if ticket.devices is None:
                ticket.devices = turns(queue, ticket, ROOM)
        if end < len(queue) and queue[end].devices is not None:
            del queue[end]
    return queue


queues = st.builds(played, st.lists(demands, max_size=12), st.lists(st.integers(0, 20), min_size=12, max_size=12))


@given(queues)
def test_no_more_is_given_out_than_there_is(queue):
    running = [ticket for ticket in queue if ticket.devices is not None]
    for name in ("millicores", "memory", "storage"):
        assert sum(getattr(ticket.demand, name) for ticket in running) <= getattr(ROOM, name)
    devices = [device for ticket in running for device in ticket.devices]
    assert len(devices) == len(set(devices))
    assert all(len(ticket.devices) == ticket.demand.gpus for ticket in running)


@given(queues, st.sets(st.integers(0, 12)))
def test_who_is_admitted_takes_nothing_from_those_before(queue, gone):
    """Whoever ends next, those before it are admitted when they would be without it."""
    waiting = [ticket for ticket in queue if ticket.devices is None]
    for late in waiting[1:]:
        devices = turns(queue, late, ROOM)
        if devices is None:
            continue
        rest = [ticket for ticket in queue if ticket.devices is None or ticket.number not in gone]
        without = [ticket for ticket in rest if ticket is not late]
        having = [Ticket("p", late.number, late.demand, 0, devices) if ticket is late else ticket for ticket in rest]
        for early in waiting[: waiting.index(late)]:
            assert (turns(having, early, ROOM) is None) == (turns(without, early, ROOM) is None)


@given(queues)
def test_the_first_to_wait_is_admitted_when_all_others_have_ended(queue):
    """So that everybody is, in the end."""
    waiting = [ticket for ticket in queue if ticket.devices is None]
    assert [turns(waiting, ticket, ROOM) is not None for ticket in waiting[:1]] == [True] * len(waiting[:1])


def test_a_demand_is_never_more_than_there_is():
    """It would wait for ever."""
    much = as_request({"cpu": 100, "memory": "1Gi", "storage": 5, "gpu": 7})
    assert demand_of(much, MACHINE, ROOM) == Demand(4000, 100, 5, 2, ("a", "b"))
    assert demand_of(much, MACHINE, Room(gpus=("b", "z"))) == Demand(100_000, 2**30, 5, 1, ("b",))
    assert demand_of(as_request({}), MACHINE, ROOM) == Demand()


def test_a_room_survives_being_sent():
    room = Room(1000, 5, None, ("a",))
    assert Room.from_plain(list(room.to_plain())) == room
    assert ROOM.within(room) == Room(1000, 5, 100, ("a",))
    assert Room.held(Demand(1000, gpus=1, suitable=("a", "b")), ("b",)) == Room(1000, None, None, ("b",))


# Threads ----------------------------------------------------------------------------------------------


def test_a_thread_waits_until_another_one_gives_back(ledger):
    first = ledger.ticket(ALL)
    ledger.wait(first, ROOM)
    admitted = threading.Event()

    def other():
        ticket = ledger.ticket(ALL)
        ledger.wait(ticket, ROOM)
        admitted.set()
        ledger.leave(ticket)

    thread = threading.Thread(target=other)
    thread.start()
    until(lambda: states(ledger) == ["admitted", "waits"])
    assert not admitted.is_set()
    ledger.leave(first)
    assert admitted.wait(60)
    thread.join(60)
    assert queued(ledger) == 0


def test_many_threads_share_what_there_is(ledger):
    """Never more at once than fit, and all of them get through."""
    lock, inside, most, done = threading.Lock(), [0], [0], []

    def work(number):
        for _ in range(5):
            ticket = ledger.ticket(Demand(1500))
            ledger.wait(ticket, ROOM)
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.001)
            with lock:
                inside[0] -= 1
            ledger.leave(ticket)
        done.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == list(range(6))
    assert most[0] == 2
    assert queued(ledger) == 0


def test_a_thread_never_stops_for_what_it_holds_itself(ledger):
    """It is the thread of an event loop, and could not give it back while it stops."""
    first, second = ledger.ticket(ALL), ledger.ticket(ALL)
    ledger.wait(first, ROOM)
    ledger.wait(second, ROOM)
    assert (first.devices, second.devices) == ((), ())


def test_a_task_waits_without_stopping_its_loop(ledger):
    async def main():
        first, order = ledger.ticket(ALL), []
        await ledger.await_turn(first, ROOM)

        async def other():
            ticket = ledger.ticket(ALL)
            await ledger.await_turn(ticket, ROOM)
            order.append("admitted")
            ledger.leave(ticket)

        task = asyncio.ensure_future(other())
        while states(ledger) != ["admitted", "waits"]:  # noqa: ASYNC110 - only the queue knows
            await asyncio.sleep(0)
        order.append("given back")
        ledger.leave(first)
        await task
        return order

    assert asyncio.run(main()) == ["given back", "admitted"]
    assert queued(ledger) == 0


def test_a_ticket_can_be_given_back_at_any_time(ledger):
    """Before it was in the queue, while it waits, and twice."""
    never, holder, waiting = (ledger.ticket(ALL) for _ in range(3))
    ledger.leave(never)
    assert ledger.ask(holder, ROOM)
    assert not ledger.ask(waiting, ROOM)
    ledger.leave(waiting)
    ledger.leave(waiting)
    assert queued(ledger) == 1


def test_a_process_prefers_the_device_that_it_had(ledger):
    first, second, third = (ledger.ticket(Demand(gpus=1, suitable=("a", "b"))) for _ in range(3))
    ledger.ask(first, ROOM)
    ledger.ask(second, ROOM)
    ledger.leave(first)
    ledger.leave(second)
    ledger.ask(third, ROOM)
    assert (first.devices, second.devices, third.devices) == (("a",), ("b",), ("b",))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_a_queue_of_its_own():
    """What the parent held at that moment, nobody would ever give back in the child."""
    code = """
import os
from crystallize_executors.admission import process_ledger
from crystallize_executors.turns import Demand, Room

ledger = process_ledger()
ledger.wait(ledger.ticket(Demand(1)), Room())
child = os.fork()
with process_ledger().opened() as tickets:
    count = len(tickets)
os.write(1, b"%d\\n" % count)
if child:
    os.waitpid(child, 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert sorted(done.stdout.split()) == ["0", "1"]


# Processes --------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from crystallize_executors.turns import Demand, Room
from crystallize_executors.folder_ledger import folder_ledger

ledger = folder_ledger(Path(sys.argv[1]))
ticket = ledger.ticket(Demand(4000))
ledger.wait(ticket, Room(4000))
print("holds", flush=True)
sys.stdin.read()
"""


def holding(folder):
    """Another process that holds everything, or waits for it."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@needs_locks
def test_what_a_killed_process_held_is_free_again(folder):
    """Nobody can be told; the kernel lets go of its lock."""
    ledger = folder_ledger(folder)
    other = holding(folder)
    try:
        assert other.stdout.readline() == "holds\n"
        mine = ledger.ticket(ALL)
        assert not ledger.ask(mine, ROOM)
        os.kill(other.pid, signal.SIGKILL)
        other.wait(60)
        ledger.wait(mine, ROOM)
        assert mine.devices == ()
        assert queued(ledger) == 1
    finally:
        other.kill()
        other.communicate()


@needs_locks
def test_a_killed_process_that_waited_holds_up_nobody(folder):
    ledger = folder_ledger(folder)
    mine = ledger.ticket(ALL)
    ledger.wait(mine, ROOM)
    other = holding(folder)
    try:
        until(lambda: states(ledger) == ["admitted", "waits"])
    finally:
        other.kill()
        other.communicate()
    until(lambda: queued(ledger) == 1)
    assert [path.name for path in folder.glob("*.alive")] == [f"{ledger._holder}.alive"]


@needs_locks
def test_a_child_of_a_killed_process_keeps_nothing(folder):
    """It has inherited the open files, and not the locks."""
    ledger = folder_ledger(folder)
    code = HOLD.replace('print("holds", flush=True)', "import os\nos.write(1, b'%d\\n' % os.fork())")
    other = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    pids = {int(other.stdout.readline()) for _ in range(2)} - {0}
    try:
        os.kill(other.pid, signal.SIGKILL)
        other.wait(60)
        mine = ledger.ticket(ALL)
        ledger.wait(mine, ROOM)
        assert mine.devices == ()
        assert [os.kill(pid, 0) for pid in pids] == [None]  # the child is still there
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        other.communicate()


@needs_locks
def test_a_ticket_that_could_not_be_given_back_is_gone_the_next_time(folder, monkeypatch):
    """The disk was full, say; nobody waits for it for ever."""
    ledger = folder_ledger(folder)
    ticket = ledger.ticket(ALL)
    ledger.wait(ticket, ROOM)
    with monkeypatch.context() as full, pytest.raises(OSError, match="No space"):
        full.setattr(ledger, "_write", _no_space)
        ledger.leave(ticket)
    assert queued(ledger) == 0


def _no_space(text):
    raise OSError(28, "No space left on device")


@needs_locks
def test_the_end_of_a_run_leaves_no_folder(folder):
    """Who gives back later finds that nobody cares."""
    ledger = folder_ledger(folder)
    ticket = ledger.ticket(ALL)
    ledger.wait(ticket, ROOM)
    files = {path.name for path in folder.iterdir()}
    remove_folder(folder)
    assert files == {"lock", "tickets.json", f"{ledger._holder}.alive"}
    assert not folder.exists()


@needs_locks
def test_a_worker_whose_run_is_over_gives_back_in_peace(folder):
    """The coordinator was killed, or did not wait for an attempt that was left behind."""
    ledger = folder_ledger(folder)
    ticket = ledger.ticket(ALL)
    ledger.wait(ticket, ROOM)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    ledger.leave(ticket)
    assert ledger.is_removed


@needs_locks
def test_the_files_of_runs_that_are_over_are_closed(tmp_path):
    """A worker that serves many runs does not run out of descriptors."""
    old = tmp_path / "old"
    first = folder_ledger(old)
    for path in old.iterdir():
        path.unlink()
    old.rmdir()
    folder_ledger(tmp_path / "new")
    assert first._lock.closed
    assert first._alive.closed
    remove_folder(tmp_path / "new")


@needs_locks
def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        folder_ledger(Path(tmp_path / "file" / "queue"))
