"""The parts: what a worker notes, and what is concluded from it; the states of jobs; progress."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from crystallize_core.remote import Answer, Payload
from crystallize_slurm.mailbox import LEFT, STOP, Chunk, Now, NowFile, RunFolder, names_in
from crystallize_slurm.progress import Progress
from crystallize_slurm.states import States
from crystallize_slurm.worker import Settings, _Clock


@pytest.fixture
def room(tmp_path):
    return RunFolder.make(tmp_path / "runs", "name", Payload("token", b"body"))


def test_importing_the_package_does_not_import_submitit():
    """Listing plugins stays quick."""
    code = "import crystallize_slurm, sys; crystallize_slurm.SlurmExecution(); print('submitit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_folder_of_a_run_is_of_this_user_alone(room):
    """What is unpickled from it, nobody else can have put there."""
    assert room.path.stat().st_mode & 0o777 == 0o700
    assert room.payload() == Payload("token", b"body")


def test_chunks_come_in_their_order_and_each_once(room):
    """Half-written files are not seen."""
    mine = room.worker("w0")
    mine.make()
    mine.send(0, Chunk([3, 4]))
    mine.send(1, Chunk([5], needs_fresh=True))
    (mine.path / ".chunk-00000002.part").write_text("{")
    assert [mine.next_chunk(), mine.next_chunk(), mine.next_chunk()] == [
        Chunk([3, 4]),
        Chunk([5], needs_fresh=True),
        None,
    ]


def test_answers_are_read_once(room):
    """Each with the name of its worker."""
    other = RunFolder(room.path)
    other.answer("w0", Answer(ran=1))
    other.answer("w0", Answer(ran=2))
    assert list(room.answers()) == [("w0", Answer(ran=1)), ("w0", Answer(ran=2))]
    assert list(room.answers()) == []


def test_what_a_worker_was_doing_is_known_after_its_death(room):
    """What it had begun, and whether it went by its own will."""
    mine = room.worker("w0")
    mine.make()
    assert mine.read_now() == Now()
    now = NowFile(mine.now)
    now.note(3)
    now.note(4)
    assert mine.read_now() == Now((3, 4))
    now.clear()
    now.note(LEFT)
    assert mine.read_now() == Now(has_left=True)


def test_a_second_worker_of_one_name_is_told_so(room):
    """Slurm may put a job back into its queue although it was asked not to."""
    assert [room.begin("w0", "a:1"), room.begin("w0", "b:2")] == [True, False]
    assert (room.begun(), room.process_of("w0"), room.process_of("w1")) == ({"w0"}, "a:1", "")


def test_a_folder_that_is_gone_means_stop(room):
    """Also for a job that starts after the run has ended."""
    assert room.read_pulse() == "0"
    room.remove()
    assert (room.read_pulse(), names_in(room.path)) == (STOP, [])


@pytest.mark.parametrize(
    ("left", "longest", "needs_fresh", "expected"),
    [
        (1000, None, False, True),
        (10, None, False, True),
        (10, None, True, False),
        (3500, None, True, True),
        (1000, 700, False, True),
        (1000, 800, False, False),
        (3500, 100, True, True),
        (3000, 100, True, False),
    ],
)
def test_a_replicate_is_begun_only_where_it_can_be_expected_to_end(left, longest, needs_fresh, expected):
    """The first one always, unless it needs a job with all of its time."""
    clock = _Clock(Settings((), 1.0, 3600.0, 90.0, "elsewhere"))
    clock._began, clock._end = time.time() + left - 3600, time.time() + left
    if longest is not None:
        clock.took(longest)
    assert clock.has_time(needs_fresh=needs_fresh) is expected


def test_states_of_arrays_are_read_in_all_their_spellings(slurm):
    """As `sacct` writes them."""
    submitit = pytest.importorskip("submitit")
    for job, state in {"7_0": "RUNNING", "7_[1-2]": "PENDING", "8": "CANCELLED by 1000", "9_0": "OUT_OF_ME+"}.items():
        (slurm.home / "jobs" / job).mkdir()
        (slurm.home / "jobs" / job / "state").write_text(state)
    found = States(submitit.SlurmJob.watcher.read_info).ask([(job, 0.0) for job in ("7_0", "7_2", "8", "10")])
    for folder in (slurm.home / "jobs").iterdir():
        (folder / "state").write_text("COMPLETED")
    assert found == {"7_0": "RUNNING", "7_2": "PENDING", "8": "CANCELLED"}


def test_progress_says_how_many_replicates_are_done_and_how_many_jobs_run(capsys):
    """Where there is no terminal, one line at the end and one in ten seconds; nothing if it is off."""
    for enabled in (True, False):
        with Progress(5, enabled=enabled) as shown:
            shown.advance(3)
            shown.show(1, 2)
    assert capsys.readouterr().err == "3 of 5 replicates, 1 of 2 jobs running, 0.0 s\n"
