"""How a hook, or an argument of one, is given up: it still works, and who uses it is told once.

    @hookspec
    @deprecated(since="1.2", removal="2.0", replacement="before_step")
    def step_starts(...): ...

    @hookspec
    @deprecated("rep", since="1.2", removal="2.0", replacement="replicate")
    def replicate_done(experiment, rep, replicate, outcome): ...

pluggy has `warn_on_impl` and `warn_on_impl_args` for that. They warn with one text that is written beside the
specification, which can name neither the plugin nor its distribution and version, and warn again for every stack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import attrs

__all__ = ["Deprecation", "PluginDeprecationWarning", "deprecated", "deprecations_of"]

F = TypeVar("F", bound=Callable[..., Any])
_MARK: Final = "crystallize_deprecations"


class PluginDeprecationWarning(FutureWarning):
    """A plugin uses a part of the contract that will be gone.

    No `DeprecationWarning`, because Python hides those from everyone but the author of the code that warns, and here it
    is the user of a plugin who has to know that an update is due.
    """


@attrs.frozen
class Deprecation:
    """A part of the contract that is given up.

    Attributes:
        since: The version of the contract that has something better.
        removal: The version of the contract that no longer has it.
        replacement: What to use instead.
        argument: The argument; None for the whole hook.

    """

    since: str
    removal: str
    replacement: str
    argument: str | None = None


def deprecated(argument: str | None = None, *, since: str, removal: str, replacement: str) -> Callable[[F], F]:
    """Mark the specification of a hook, or one of its arguments; may be repeated."""

    def mark(spec: F) -> F:
        setattr(spec, _MARK, (Deprecation(since, removal, replacement, argument), *deprecations_of(spec)))
        return spec

    return mark


def deprecations_of(spec: Callable[..., Any]) -> tuple[Deprecation, ...]:
    """What is given up of a hook."""
    found: tuple[Deprecation, ...] = getattr(spec, _MARK, ())
    return found
