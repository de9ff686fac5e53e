"""Steps that are hard on the process that they run in, and workers that somebody kills: the result is the same."""

from __future__ import annotations

import contextlib
import locale
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from crystallize_core import Experiment, pipeline_step

cloudpickle = pytest.importorskip("cloudpickle")  # comes with the executors
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
executors = pytest.importorskip("crystallize_executors")
seeding = pytest.importorskip("crystallize_seeding")

pytestmark = [
    pytest.mark.ecosystem,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed by a signal, and fork"),
]
KILLS = 100


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """Only what is named takes part, and the folder is as before at the end."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.chdir(tmp_path)


def run(step, executor, replicates, **context):
    plugins = [seeding.SeedPlugin(seed=3, rng="python"), executor]
    found = Experiment(lambda ctx: ctx["replicate"], [step], plugins, replicates=replicates, initial_ctx=context)
    return found.run()


# What steps do to their process -------------------------------------------------------------------------


def forks():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def changes_the_folder():
    os.chdir(Path(os.getcwd()).parent)  # noqa: PTH109 - as a step might do it


def changes_the_locale():
    locale.setlocale(locale.LC_ALL, "C.UTF-8")


def changes_variables():
    os.environ["LANG"] = "xx"
    os.environ.pop("HOME", None)
    os.environ["PYTHONHASHSEED"] = "5"


def changes_the_recursion_limit():
    sys.setrecursionlimit(sys.getrecursionlimit() + 50)


def closes_what_it_prints_to():
    sys.stdout = None
    sys.stderr = None


HARD = [
    forks,
    changes_the_folder,
    changes_the_locale,
    changes_variables,
    changes_the_recursion_limit,
    closes_what_it_prints_to,
]


@pytest.mark.parametrize("does", HARD, ids=lambda does: does.__name__)
def test_what_a_step_does_to_its_process_changes_no_result(does):
    """Nor what the next replicates in the same worker come to."""

    @pipeline_step()
    def hard(data, ctx):
        if ctx["replicate"] % 3 == 1 and ctx["hard"]:
            does()
        return data, {"score": data + ctx.rng.random()}

    plain = run(hard, executors.SerialExecution(), 9, hard=False)
    found = run(hard, executors.ProcessExecution(max_workers=2), 9, hard=True)
    assert (found.errors, found.digest) == ({}, plain.digest)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_outcome_of_200_megabytes_arrives():
    """As a whole, beside small ones."""

    @pipeline_step()
    def large(data, ctx):
        return data, {"size": bytes([65 + data]) * (200_000_000 if data == 1 else 10)}

    found = run(large, executors.ProcessExecution(max_workers=2), 3)
    values = found.metrics.baseline.metrics["size"]
    assert [(len(value), value[:1], value[-1:]) for value in values] == [
        (10, b"A", b"A"),
        (200_000_000, b"B", b"B"),
        (10, b"C", b"C"),
    ]


# Workers that are killed --------------------------------------------------------------------------------


@pipeline_step()
def noted(data, ctx):
    """Notes in which process it runs, and takes a moment."""
    if ctx["folder"]:
        Path(ctx["folder"], str(os.getpid())).touch()
        time.sleep(0.02)
    return data, {"score": ctx.rng.random()}


def kill_at_random(folder, enough):
    """Kill whoever has left a note, at random moments, until it was often enough or nobody wants it any more."""
    chance = random.Random(8)
    killed = 0
    while killed < KILLS and not enough.wait(chance.uniform(0.0, 0.5)):
        notes = sorted(folder.iterdir())
        if notes:
            note = chance.choice(notes)
            note.unlink()
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(note.name), signal.SIGKILL)
                killed += 1
    (folder.parent / "killed").write_text(str(killed))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_hundred_workers_that_are_killed_at_random_moments_change_nothing(method, tmp_path):
    """No replicate is lost, and the digest is that of a run in which nobody was killed."""
    folder = tmp_path / "workers"
    folder.mkdir()
    replicates = 4000
    plain = run(noted, executors.SerialExecution(), replicates, folder="")
    enough = threading.Event()
    killer = threading.Thread(target=kill_at_random, args=(folder, enough))
    killer.start()
    try:
        # Whoever is killed while it runs a suspect alone is not to blame, and may be killed again.
        executor = executors.ProcessExecution(max_workers=3, max_deaths=KILLS, start_method=method)
        found = run(noted, executor, replicates, folder=str(folder))
    finally:
        enough.set()
        killer.join()
    assert (found.errors, found.digest) == ({}, plain.digest)
    assert int((tmp_path / "killed").read_text()) == KILLS
