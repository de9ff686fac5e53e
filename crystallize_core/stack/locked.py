"""Whether a run has to keep to the lock of its project; what that takes is imported only where it has to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crystallize_core.stack.config import Environment, StackConfig, from_environment

if TYPE_CHECKING:
    from crystallize_core.stack.attached import Stack
    from crystallize_core.stack.lock.guard import Guard

__all__ = ["guard_of", "lock_of"]


def guard_of(config: StackConfig | None, environment: Environment, executor: Any = None) -> Guard | None:
    """What compares a stack with the lock; it has compared already what can be told before plugins are imported.

    Returns:
        None where `CRYSTALLIZE_LOCKED` is off.

    Raises:
        LockError: What is here is not what was locked, or there is no lock.

    """
    if not environment.locked:
        return None
    from crystallize_core.stack.lock.guard import Guard  # noqa: PLC0415 - few want it

    return Guard.before_import(config, environment, executor)


def lock_of(stack: Stack) -> str | None:
    """The digest of the lock that a stack was compared with; None where that is not asked for.

    Where it was not asked for when the stack was made and is now, what is here is compared now.

    Raises:
        LockError: As above.

    """
    if stack.lock_digest is None and (guard := guard_of(None, from_environment())) is not None:
        stack.lock_digest = None if guard.lock is None else guard.lock.digest
    return stack.lock_digest
