"""Scripts that use the executor under test in a process of their own."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from crystallize_core.processes import sys_path

__all__ = ["environment", "start_script", "written"]

HEAD = """
import random, signal, sys
from pathlib import Path
from crystallize_core import Experiment, RunInterrupted, Treatment, pipeline_step
from crystallize_core.stack.files import load_file
from crystallize_core.testing.executors import plugins, steps

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background would ignore it


def executor(workers={workers}):
    return load_file(Path({file!r})).{kit}().executor(workers)

"""


def written(kit: type, folder: Path, body: str, workers: int) -> Path:
    """A script with `executor()` and this body; skips the test where the executor cannot be made outside of this process.

    Args:
        kit: The class whose executor it is.
        folder: Where the script goes.
        body: What it does; needs a `if __name__ == "__main__":`.
        workers: The default of `executor()`.

    """
    if "<locals>" in kit.__qualname__:
        pytest.skip(f"a script cannot import {kit.__qualname__}: define it at the top of a module")
    path = folder / "script.py"
    head = HEAD.format(workers=workers, file=inspect.getfile(kit), kit=kit.__qualname__)
    path.write_text(head + textwrap.dedent(body), encoding="utf-8")
    return path


def environment(**more: str) -> dict[str, str]:
    """The variables of a process that imports what this one can import."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys_path())), **more}


def start_script(script: Path, **more: str) -> subprocess.Popen[str]:
    """Start it as the leader of a group of its own, as a terminal does."""
    return subprocess.Popen(  # noqa: S603 - a script that was written here
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=script.parent,
        env=environment(**more),
        start_new_session=True,
    )
