"""`crystallize run --provision`: an environment made from the lock, and the same command in it.

It lies in `.crystallize/envs` beside the lock, named by the digest of the lock and the version of Python, so that another
lock is another environment and the same lock is made once. Environments know their own place and cannot be moved, so one
is made where it stays; what says that it is complete is written last, and one without is made anew.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import click

from crystallize_core.cache.files import write_whole
from crystallize_core.cache.locking import locked
from crystallize_core.errors import LockError
from crystallize_core.stack.lock.document import Lock, read_lock
from crystallize_core.stack.lock.project import Project
from crystallize_core.stack.lock.requirements import requirements

__all__ = ["run_there"]

READY: Final = "crystallize-ready"
LAST_LINES: Final = 25
OF_ENVIRONMENT: Final = ("python", "core", "distribution", "files")
"""The kinds of differences that are the fault of an environment."""
HERE: Final = ".".join(map(str, sys.version_info[:2]))
WINDOWS: Final = sys.platform == "win32"


def run_there(arguments: Sequence[str]) -> int:
    """Run `crystallize` with these arguments in the environment of the lock.

    Where the system can, the process becomes that one, so that signals, the terminal and the exit code are its own.

    Raises:
        LockError: There is no lock, or the environment cannot be made.

    """
    project = Project.found()
    environment = _Environment.of(read_lock(project.lock_file), project.folder)
    environment.make_ready()
    command = [*environment.crystallize(), *arguments]
    sys.stdout.flush()
    sys.stderr.flush()
    if not WINDOWS:
        os.execve(command[0], command, environment.variables())  # noqa: S606 - our own words
    return subprocess.run(command, env=environment.variables(), check=False).returncode  # noqa: S603 - as above


@attrs.frozen
class _Environment:
    """The environment of one lock.

    Attributes:
        lock: The lock.
        project: The folder of the lock.
        folder: Where the environment is.

    """

    lock: Lock
    project: Path
    folder: Path

    @classmethod
    def of(cls, lock: Lock, project: Path) -> _Environment:
        return cls(lock, project, project / ".crystallize" / "envs" / f"{lock.digest[:16]}-py{lock.python}")

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ("Scripts/python.exe" if WINDOWS else "bin/python")

    def crystallize(self) -> list[str]:
        """The command in it; like the script, it does not look for modules in the current folder first."""
        return [str(self.python), "-P", "-m", "crystallize_core"]

    def variables(self) -> dict[str, str]:
        """The variables of this process, as if the environment were activated."""
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "__PYVENV_LAUNCHER__")}
        path = os.pathsep.join([str(self.python.parent), *filter(None, [kept.get("PATH")])])
        return {**kept, "VIRTUAL_ENV": str(self.folder), "PATH": path}

    @property
    def is_ready(self) -> bool:
        return (self.folder / READY).is_file() and self.python.exists()

    def make_ready(self) -> None:
        """Make the environment, unless it is there and complete; of several processes, one does.

        Raises:
            LockError: It cannot be made.

        """
        try:
            if not self.is_ready:
                self._make_once()
        except OSError as error:
            raise LockError(f"the environment of the lock cannot be made: {error}") from error

    def _make_once(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        (self.folder.parent.parent / ".gitignore").write_text("*\n", encoding="utf-8")
        with locked(self.folder.parent):
            if self.is_ready:  # somebody else has made it meanwhile
                return
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self._make()
            self._verify()
            write_whole(self.folder / READY, [self.lock.digest.encode()], must_last=True)

    def _make(self) -> None:
        uv = shutil.which("uv")
        click.echo(f"making {self.folder} with {'uv' if uv else 'pip'}, once for this lock", err=True)
        if uv is None:
            self._with_pip()
        else:
            python = sys.executable if self.lock.python == HERE else self.lock.python
            self._call([uv, "venv", "--quiet", "--python", python, str(self.folder)])
            self._call([uv, "pip", "install", "--python", str(self.python), "-r", self._requirements()])

    def _with_pip(self) -> None:
        if self.lock.python != HERE:
            message = f"the lock is of Python {self.lock.python}, and this is Python {HERE}"
            raise LockError(
                f"{message}; run this command with Python {self.lock.python}, or install uv, which finds it"
            )
        python, installs_from_here = str(self.python), importlib.util.find_spec("pip") is not None
        without = ["--without-pip"] if installs_from_here else []  # a pip of its own costs seconds, and Debian has none
        pip = [sys.executable, "-m", "pip", "--python", python] if installs_from_here else [python, "-m", "pip"]
        self._call([sys.executable, "-m", "venv", *without, str(self.folder)])
        self._call([*pip, "install", "--no-input", "-r", self._requirements()])

    def _requirements(self) -> str:
        file = self.folder / "requirements.txt"
        file.write_text(requirements(self.lock, self.project), encoding="utf-8")
        return str(file)

    def _verify(self) -> None:
        """Compare what is installed in the environment with the lock; what the project says is compared by every run."""
        ours = {"CRYSTALLIZE_PROFILE": self.lock.profile or "", "CRYSTALLIZE_LOCKED": ""}
        command = [*self.crystallize(), "lock", "--check", "--json"]
        done = self._run(command, {**self.variables(), **ours}, subprocess.PIPE)
        if done.returncode not in (0, 1):
            raise LockError(f"{self.folder} cannot be compared with the lock\n{_indented(done.stderr)}")
        found = json.loads(done.stdout)["differences"]
        wrong = "".join(f"\n  {item['text']}" for item in found if item["kind"] in OF_ENVIRONMENT)
        if wrong:
            raise LockError(f"{self.folder} was made, and is not what the lock says:{wrong}")

    def _call(self, command: Sequence[str]) -> None:
        """Run a command of the installer.

        Raises:
            LockError: It failed; the end of what it wrote is in the message.

        """
        done = self._run(command, dict(os.environ), subprocess.STDOUT)
        if done.returncode:
            shown = " ".join(command)
            message = f"the environment of the lock cannot be made: `{shown}` ended with {done.returncode}"
            last = "\n".join(done.stdout.splitlines()[-LAST_LINES:])
            raise LockError(f"{message}\n{_indented(last)}\n{_ADVICE}")

    def _run(
        self, command: Sequence[str], variables: dict[str, str], errors_to: int
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own words
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors_to,
            text=True,
            errors="replace",
            check=False,
        )


_ADVICE: Final = (
    "what it was to install is printed by `crystallize lock --requirements`; "
    "indexes and proxies are those of the environment variables of pip and uv"
)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
