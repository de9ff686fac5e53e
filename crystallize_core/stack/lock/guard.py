"""`CRYSTALLIZE_LOCKED=1`, and with it `crystallize run --locked`: no stack but the one that was locked.

What can be told without importing a plugin is told first, once in a process: what was imported stays what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from crystallize_core.errors import LockError
from crystallize_core.stack import discovery
from crystallize_core.stack.attached import Stack
from crystallize_core.stack.config import Environment, StackConfig
from crystallize_core.stack.discovery import installed
from crystallize_core.stack.files import is_reloading
from crystallize_core.stack.lock.document import Lock, read_lock
from crystallize_core.stack.lock.drift import Difference, before_import, of_stack
from crystallize_core.stack.lock.markers import normalized
from crystallize_core.stack.lock.project import Project

__all__ = ["Guard", "refuse"]

_passed: dict[str, Guard] = {}
"""Those that had nothing to say in this process, by all that they compared."""


@attrs.frozen
class Guard:
    """Stands before a stack that has to be the locked one.

    Attributes:
        project: The project.
        lock: What its lock says; None in a worker that makes an experiment again, which was compared with the
            coordinator already.

    """

    project: Project
    lock: Lock | None

    @classmethod
    def before_import(cls, config: StackConfig | None, environment: Environment, executor: Any = None) -> Guard:
        """Compare what is here with the lock, as far as it can be told before any plugin is imported.

        Args:
            config: Default that of the current folder.
            environment: What the environment variables say.
            executor: The executor that the caller wants, by name or as an object; None for that of the project.

        Raises:
            LockError: There is no lock, it cannot be read, or something differs; all of it is named.

        """
        project = Project.found(config, environment)
        if is_reloading() is not None:
            return cls(project, None)
        path = project.lock_file
        key = repr((_stamp(path), project))  # options may be of types that cannot be hashed
        guard = _passed.get(key)
        if guard is None:
            lock = read_lock(path)
            refuse(path, before_import(lock, project))
            guard = _passed[key] = cls(project, lock)
        if isinstance(executor, str) and guard.lock is not None:
            refuse(path, _of_chosen(guard.lock, executor.partition("://")[0]))
        return guard

    def check(self, stack: Stack, *, autoload: bool, executor_given: bool) -> None:
        """Compare the stack itself, and note in it that it is the locked one.

        Args:
            stack: The stack.
            autoload: Whether the project's plugins take part; without them, there is nothing left to compare.
            executor_given: Whether the caller chose another executor.

        Raises:
            LockError: Something differs; all of it is named.

        """
        if self.lock is None:
            return
        if autoload:
            refuse(self.project.lock_file, of_stack(self.lock, self.project, stack, executor_given=executor_given))
        stack.lock_digest = self.lock.digest


def _stamp(path: Path) -> tuple[str, int]:
    try:
        return str(path), path.stat().st_mtime_ns
    except OSError:
        return str(path), 0


def _of_chosen(lock: Lock, name: str) -> list[Difference]:
    """What differs where the caller chose an executor: it need not be the locked one, but of a distribution that is."""
    for point in installed(discovery.EXECUTORS):
        found = lock.distributions.get(normalized(point.distribution))
        if point.name == name and (found is None or not found.digest):
            made_of = f"{point.value} of {point.distribution}"
            text = (
                f"executor {name}: {made_of} was asked for, and the files of this distribution are not locked; "
                f"`crystallize lock --also {point.distribution}` locks them"
            )
            return [Difference("executor", name, None, made_of, text)]
    return []


def refuse(path: Path, found: Sequence[Difference]) -> None:
    """Raise what differs, if anything does.

    Raises:
        LockError: All of it; `differences` has it one by one.

    """
    if not found:
        return
    lines = "".join(f"\n  {difference.text}" for difference in found)
    error = LockError(f"what is here is not what {path} says:{lines}\n{ADVICE}")
    error.differences = tuple(found)
    raise error


ADVICE = (
    "`crystallize lock` locks what is here; `crystallize lock --requirements` prints what pip needs for what is locked"
)
