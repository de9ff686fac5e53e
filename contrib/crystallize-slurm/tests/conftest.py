"""A Slurm that is made of scripts, for all tests of the bridge."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent / "fake_slurm.py"
COMMANDS = ("sacct", "sbatch", "scancel", "scontrol", "squeue", "srun")


class FakeSlurm:
    """The cluster: its settings, the scripts that it was given, and what became of the jobs."""

    def __init__(self, home):
        self.home = home
        (home / "jobs").mkdir(parents=True)

    def set(self, name, value=""):
        (self.home / name).write_text(str(value))

    def states(self):
        """The states of all jobs by their ids."""
        return {path.name: (path / "state").read_text() for path in sorted((self.home / "jobs").iterdir())}

    def scripts(self):
        """The scripts that were submitted, in their order."""
        return [path.read_text() for path in sorted(self.home.glob("script-*.sh"))]

    def flags(self):
        """What the first script asks for, without what names files."""
        lines = [line for line in self.scripts()[0].splitlines() if line.startswith("#SBATCH")]
        return [line.removeprefix("#SBATCH --") for line in lines if "output=" not in line and "error=" not in line]

    def left(self, seconds=10.0):
        """The jobs that are still there after some seconds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = {job: state for job, state in self.states().items() if state in ("PENDING", "RUNNING")}
            if not found:
                return {}
            time.sleep(0.02)
        return found


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A cluster with two slots; after a test there must be no job in it, neither running nor in the queue."""
    home, commands = tmp_path / "cluster", tmp_path / "bin"
    commands.mkdir()
    for name in COMMANDS:
        command = commands / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {SCRIPT} {name} "$@"\n')
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(home))
    cluster = FakeSlurm(home)
    yield cluster
    assert cluster.left() == {}
    log = home / "watch.log"
    assert not log.exists() or log.read_text() == ""


@pytest.fixture(autouse=True)
def only_what_is_named(monkeypatch, tmp_path):
    """No other plugin that may be installed takes part, and nothing is written beside the tests."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
