"""From what a project says and what is installed to the stack of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crystallize_core.stack.allowing import Shelf
from crystallize_core.stack.assigned import Assignments
from crystallize_core.stack.attached import Stack
from crystallize_core.stack.config import Environment, StackConfig, from_environment
from crystallize_core.stack.locked import guard_of
from crystallize_core.stack.resolver import Resolver, Survey

__all__ = ["Survey", "outline", "resolve", "survey"]


def resolve(
    given: Sequence[Any] = (),
    *,
    autoload: bool = True,
    executor: Any = None,
    config: StackConfig | None = None,
    environment: Environment | None = None,
) -> Stack:
    """The stack of an experiment.

    Args:
        given: Plugin objects that were passed in Python; each replaces the installed one of its name.
        autoload: Whether the project's configuration and what is installed count at all.
        executor: The executor to use, by name or as an object, instead of the configured one.
        config: Default: what is found from the current folder upwards.
        environment: Default: the environment variables of this process.

    Raises:
        StackError: Something that was asked for by name cannot be used. What is merely installed and
            cannot be used is skipped with a `PluginWarning`, unless `CRYSTALLIZE_STRICT` is on.
        LockError: `CRYSTALLIZE_LOCKED` is on, and the stack of the project is not the one that was locked.

    """
    environment = environment or from_environment()
    guard = guard_of(config, environment, executor)
    resolver = Resolver.here(autoload=autoload, config=config, environment=environment)
    stack = resolver.stack(list(given), executor)
    if guard is not None:
        guard.check(stack, autoload=autoload, executor_given=executor is not None)
    return stack


def outline(
    config: StackConfig | None = None, environment: Environment | None = None
) -> tuple[StackConfig, Shelf, Assignments]:
    """What counts of what was said, what is installed, and the options that came as text.

    The stacks that a project extends are imported, plugins are not.

    Raises:
        ConfigurationError: A stack that it names cannot be used.

    """
    resolver = Resolver.here(autoload=True, config=config, environment=environment)
    resolver.refuse_problems()
    return resolver.config, resolver.shelf, resolver.texts


def survey(*, config: StackConfig | None = None, environment: Environment | None = None) -> Survey:
    """Look at everything that an experiment which is made here would get; what is wrong is listed, not raised.

    Args:
        config, environment: As for `resolve`.

    Raises:
        ConfigurationError: The configuration or a variable cannot be read at all.

    """
    resolver = Resolver.here(autoload=True, config=config, environment=environment, goes_on=True)
    return resolver.survey()
