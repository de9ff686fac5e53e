"""Starts the processes in which plugins are examined, and ends them when their time is over."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import site
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from crystallize_core.processes import sys_path
from crystallize_core.stack.overrides import overrides

__all__ = ["Answer", "ask"]

_FOLDERS: Final = {
    "home": "the home folder",
    "temporary": "the folder for temporary files",
    "here": "the working directory",
}
_PATIENCE: Final = 60.0
"""So many seconds more are waited for a process that is to end by itself when its time is over."""

_FRAME: Final = re.compile(r'^  File "(.+)", line (\d+) in ', re.MULTILINE)
_START: Final = (
    "import json, sys; spec = json.loads(sys.stdin.read()); sys.path[:] = spec['path']; "
    "from crystallize_core.cli.doctor.probe import main; main(spec)"
)


@attrs.frozen
class Answer:
    """What a process came to.

    Attributes:
        lines: What it wrote down.
        output, errors: What was printed in it.
        ended: How it ended, in words; None where it did all that was asked.
        timed_out: Whether its time was over.
        where: The line that it was at then, where that is known.

    """

    lines: tuple[Mapping[str, Any], ...]
    output: str
    errors: str
    ended: str | None
    timed_out: bool
    where: str | None = None

    def values(self, key: str) -> list[Any]:
        """What the lines with this key have there."""
        return [line[key] for line in self.lines if key in line]


def ask(spec: Mapping[str, Any], timeout: float, *, in_place: bool = False) -> Answer:
    """Have something examined in a process of its own.

    Args:
        spec: What the probe is to do.
        timeout: The seconds that each thing to do may take, not counting the start of Python.
        in_place: Whether it works in the current folder, as an experiment does, and not in an empty one.

    """
    with tempfile.TemporaryDirectory(prefix="crystallize-doctor-", ignore_cleanup_errors=True) as top:
        folders = {name: Path(top, name) for name in _FOLDERS}
        for folder in folders.values():
            folder.mkdir()
        log, stuck = Path(top, "log"), Path(top, "stuck")
        for file in (log, stuck):
            file.touch()
        whole = {
            **spec,
            "log": str(log),
            "stuck": str(stuck),
            "timeout": timeout,
            "project": str(Path.cwd()),
            "overrides": attrs.astuple(overrides()),
            "path": [os.path.abspath(entry) for entry in sys_path()],  # noqa: PTH100 - '' is the current folder
            "folders": {_FOLDERS[name]: str(folder) for name, folder in folders.items()},
        }
        environment = dict(os.environ) if in_place else _environment(folders)
        here = None if in_place else folders["here"]
        ended, timed_out, output, errors = _run(json.dumps(whole), environment, here, timeout + _PATIENCE)
        lines = tuple(json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}"))
        traceback = stuck.read_text(encoding="utf-8", errors="replace")
    return Answer(lines, output, errors, ended, timed_out or bool(traceback), _innermost(traceback))


def _innermost(traceback: str) -> str | None:
    """The innermost line of the thread that hangs which is not of the standard library, or else any."""
    lines = [(found[1], found[2]) for found in _FRAME.finditer(traceback.rpartition("(most recent call first):")[2])]
    own = [line for line in lines if not line[0].startswith((sys.base_prefix, "<frozen"))] or lines
    return f"{own[0][0]}:{own[0][1]}" if own else None


def _environment(folders: Mapping[str, Path]) -> dict[str, str]:
    """The environment with folders that are watched in place of the user's."""
    changed = {"HOME": folders["home"], "USERPROFILE": folders["home"]}
    changed |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folders["temporary"])
    base = {"PYTHONUSERBASE": site.getuserbase()} if site.ENABLE_USER_SITE else {}  # it is found by the home folder
    return {**os.environ, **{name: str(path) for name, path in changed.items()}, **base}


def _run(
    text: str, environment: Mapping[str, str], folder: Path | None, timeout: float
) -> tuple[str | None, bool, str, str]:
    command = [sys.executable, "-X", "importtime", "-c", _START]
    options: dict[str, Any] = {"start_new_session": True} if os.name == "posix" else {}
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603 - this Python, with our own text
        command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder, env=environment, **options
    ) as process:
        try:
            output, errors = process.communicate(text.encode(), timeout)
            timed_out = False
        except subprocess.TimeoutExpired:
            timed_out = True
            _end(process)
            output, errors = process.communicate()
        _end(process)  # what it has started may still run
    said = _ending(process.returncode)
    return said, timed_out, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, and what it has started."""
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _ending(code: int) -> str | None:
    if code == 0:
        return "with exit code 0"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"by {signal.Signals(-code).name}"
    return f"with exit code {code}"
