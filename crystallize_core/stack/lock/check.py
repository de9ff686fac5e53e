"""Comparing a project with its lock as a whole."""

from __future__ import annotations

import attrs

from crystallize_core.stack.lock.document import Lock
from crystallize_core.stack.lock.drift import Difference, before_import, of_stack
from crystallize_core.stack.lock.project import Project
from crystallize_core.stack.resolve import resolve

__all__ = ["differences"]


def differences(lock: Lock, project: Project) -> list[Difference]:
    """Everything that differs; plugins are imported only where nothing does that can be told without.

    Raises:
        StackError: The stack cannot be made.

    """
    found = before_import(lock, project)
    if found:
        return found
    environment = attrs.evolve(project.environment, locked=False)  # it is compared here
    return of_stack(lock, project, resolve(config=project.config, environment=environment))
