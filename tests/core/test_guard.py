"""The process beside a worker that ends it when a step is far over its limit, and what is left of that."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from crystallize_core import RemoteError, watchdog
from crystallize_core.limits.board import Overdue
from crystallize_core.limits.guard import guard_of_this_process
from crystallize_core.limits.words import last_words, leave_words, words_of
from crystallize_core.processes import this_process
from crystallize_core.remote import lose_overdue
from crystallize_core.schedule import Schedule

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no guards on Windows")

WORKER = """
import itertools, os, sys, time
from functools import partial
from pathlib import Path
from crystallize_core import watchdog
from crystallize_core.limits import board, words
from crystallize_core.limits.guard import guard_of_this_process

def tell_nobody(number, text):
    raise OSError("there is nobody")

def started():
    process = guard._process
    print(None if process is None else process.pid, flush=True)

words_file = Path(sys.argv[1])
guard = guard_of_this_process(partial(words.leave_words, words_file), "elsewhere")
"""
LIMITED = """
guard.number = 7
with watchdog.announce("fit", 0.1, None, lambda: TimeoutError("fit took longer than 0.1 s")):
    started()
    {body}
"""


def worker(text, words):
    """A process that is a worker; what it prints is read line by line."""
    return subprocess.Popen(
        [sys.executable, "-c", WORKER + text, str(words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def ends(process, seconds=20.0):
    """Whether a process that is no child ends within so many seconds."""
    until = time.monotonic() + seconds
    while is_alive(process) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_alive(process)


# Who is ended --------------------------------------------------------------------------------------------


def test_a_worker_that_never_returns_to_the_interpreter_is_ended(tmp_path):
    """With the replicate, the step and its error as its last words; its guard ends as well."""
    process = worker(LIMITED.format(body="sum(itertools.repeat(0))"), tmp_path / "words")
    guard = int(process.stdout.readline())
    assert (process.wait(60), process.communicate()) == (-signal.SIGKILL, ("", ""))
    assert ends(guard)
    overdue = Overdue.read(*last_words(tmp_path / "words"))
    assert (overdue.number, overdue.step, overdue.run, overdue.condition) == (7, "fit", None, None)
    assert (type(overdue.error), str(overdue.error)) == (TimeoutError, "fit took longer than 0.1 s")


def test_a_worker_is_ended_also_where_nobody_can_be_told(tmp_path):
    """Then it is one that died of something unknown."""
    text = 'guard = guard_of_this_process(tell_nobody, "elsewhere")\n' + LIMITED.format(body="sum(itertools.repeat(0))")
    process = worker(text, tmp_path / "words")
    guard = int(process.stdout.readline())
    assert process.wait(60) == -signal.SIGKILL
    assert ends(guard)
    process.communicate()
    assert last_words(tmp_path / "words") is None


def test_a_step_that_is_done_in_time_costs_nothing(tmp_path):
    """What follows it may take as long as it likes; at the end the guard is gone."""
    text = LIMITED.format(body="pass") + "time.sleep(board.GRACE + 1)\nprint('done')\n"
    process = worker(text, tmp_path / "words")
    guard = int(process.stdout.readline())
    out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("done\n", "", 0)
    assert not is_alive(guard)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_is_limited_there_is_no_second_process(tmp_path):
    """It is started by the first step that has a limit."""
    process = worker("started()", tmp_path / "words")
    assert process.communicate(timeout=60) == ("None\n", "")


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_a_guard_ends_with_its_worker(end, tmp_path):
    """However that ends."""
    process = worker(LIMITED.format(body=end), tmp_path / "words")
    guard = int(process.stdout.readline())
    process.communicate(timeout=60)
    assert ends(guard)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_a_step_makes_of_its_process_is_not_guarded(tmp_path):
    """It must not write on the board of the process that it was copied from."""
    body = "child = os.fork() or os._exit(watchdog.install(None) is not None); print(os.waitpid(child, 0)[1])"
    process = worker(LIMITED.format(body=body), tmp_path / "words")
    out, err = process.communicate(timeout=60)
    assert (out.splitlines()[1], err) == ("0", "")


def test_the_process_of_the_coordinator_is_never_guarded(tmp_path):
    """It is the program of the user."""
    before = watchdog.install(None)
    assert guard_of_this_process(partial(leave_words, tmp_path / "words"), this_process()) is None
    assert watchdog.install(before) is None


# Last words ----------------------------------------------------------------------------------------------


def test_last_words_are_read_once(tmp_path):
    """What is read is gone, so that a later worker of the same name does not find it."""
    text = pickle.dumps(("fit", "run", "baseline", TimeoutError("too long")))
    leave_words(tmp_path / "folder" / "words", 3, text)
    assert last_words(tmp_path / "folder" / "words") == (3, text)
    assert last_words(tmp_path / "folder" / "words") is None
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("content", [b"", b"\x80", pickle.dumps(3), pickle.dumps((1, 2, 3))], ids=repr)
def test_damaged_words_are_none(content, tmp_path):
    """A disk that was full, for example."""
    (tmp_path / "words").write_bytes(content)
    assert last_words(tmp_path / "words") is None


def test_words_are_neither_left_nor_read_where_others_may_write(tmp_path):
    """They are unpickled, which runs what is in them."""
    folder = tmp_path / "folder"
    leave_words(folder / "words", 3, b"text")
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="others may write there"):
        leave_words(folder / "words", 4, b"text")
    assert last_words(folder / "words") is None


def test_each_worker_has_a_file_of_its_own_in_a_folder_of_the_user():
    """Named by what the worker is called, whatever characters that has."""
    first, second = words_of("tcp://127.0.0.1:40000"), words_of("tcp://127.0.0.1:40001")
    assert first != second
    assert first == words_of("tcp://127.0.0.1:40000")
    assert first.parent == second.parent
    assert first.parent.name == f"crystallize-{os.getuid()}"


def test_what_cannot_be_read_back_is_still_known_to_be_overdue():
    """An error of a class that only the worker has."""
    overdue = Overdue.read(3, b"nonsense")
    assert (overdue.number, overdue.step, type(overdue.error)) == (3, "unknown", RemoteError)
    assert str(overdue.error).startswith("TimeoutError: a step did not end in time; which one cannot be read")


# What becomes of its replicates --------------------------------------------------------------------------


class Losses:
    """Takes what is lost, as the function does that executors are given."""

    def __init__(self):
        self.lost_with = []

    def lost(self, number, error, at=None):
        self.lost_with.append((number, error, at.step))


@pytest.mark.parametrize(
    ("in_flight", "settled", "left"), [([4, 5, 6], 1, [4, 6]), ([6], 0, [6])], ids=["had it", "had answered it"]
)
def test_only_the_replicate_whose_step_is_overdue_is_lost(in_flight, settled, left):
    """The others of its worker run again, and none of them is suspected."""
    error = TimeoutError("too long")
    losses, schedule = Losses(), Schedule([], 1, 3)
    assert lose_overdue(losses, Overdue(5, "fit", None, None, error), in_flight, schedule) == settled
    assert losses.lost_with == [(5, error, "fit")] * settled
    found = []
    while chunk := schedule.next_chunk([]):
        found += chunk
    assert found == left
