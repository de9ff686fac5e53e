"""The watchdog of a process: somebody outside who can end it.

C code that keeps the interpreter to itself cannot be ended from inside its process: no signal handler runs,
and no other thread. An executor that runs steps in processes of its own can end such a process, if it knows
until when a step may run. So a policy that limits attempts announces each of them here, and whoever runs in
a worker on behalf of an executor installs a `Watchdog` that passes the announcements on.

A watchdog ends the process some time *after* the limit, so that the ways inside the process come first: they
lose nothing else, and the attempt can be repeated. Where nobody has installed one, this costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from crystallize_core.errors import DefinitionError
from crystallize_core.state import CONDITION_KEY

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Announcement", "Watchdog", "announce", "install"]


@attrs.frozen
class Announcement:
    """An attempt of a step that is limited in time.

    Equal announcements are about the same step with the same limit in the same condition of the same run, and
    the error of one stands for all of them.

    Attributes:
        step: The name of the step.
        seconds: How long the attempt may take.
        error: Makes the error that the attempt fails with if the process is ended because of it.
        run: The id of the run; None outside of one.
        condition: The name of the condition; None outside of one.

    """

    step: str
    seconds: float
    error: Callable[[], BaseException] = attrs.field(eq=False, repr=False)
    run: str | None = None
    condition: str | None = None


class Watchdog(Protocol):
    """What passes on how long the steps of this process may run. Called from any thread."""

    def begin(self, announcement: Announcement) -> Any:
        """An attempt begins now. What this returns is given to `end`."""

    def end(self, token: Any) -> None:
        """That attempt is over, or was left behind."""


_installed: Watchdog | None = None
_is_announced: Final[ContextVar[bool]] = ContextVar("crystallize_is_announced", default=False)
"""Whether this context runs inside of an attempt that was announced."""


def install(watchdog: Watchdog | None) -> Watchdog | None:
    """Have all attempts of this process announced to a watchdog; returns the one before.

    Args:
        watchdog: Who is told from now on; None for nobody.

    Raises:
        DefinitionError: It has no `begin` and `end`.

    """
    global _installed
    missing = [name for name in ("begin", "end") if not callable(getattr(watchdog, name, None))]
    if watchdog is not None and missing:
        message = f"a watchdog has begin(announcement) and end(token); found {type(watchdog).__qualname__}"
        raise DefinitionError(message)
    before, _installed = _installed, watchdog
    return before


class announce:  # noqa: N801 - used like a function: `with announce(...):`
    """While this is open, the watchdog of this process knows of an attempt; for policies that limit attempts.

    Attempts inside of an announced one are not announced: when the one around them is over, so are they.

    Args:
        step: The name of the step.
        seconds: How long the attempt may take, from now.
        ctx: The context that the policy was given.
        error: Makes the error for the case that the process has to be ended; it has to survive pickling.

    """

    def __init__(self, step: str, seconds: float, ctx: Any, error: Callable[[], BaseException]) -> None:
        self._given = step, seconds, ctx, error
        self._open: tuple[Watchdog, Any, Token[bool]] | None = None

    def __enter__(self) -> None:
        watchdog = _installed
        if watchdog is None or _is_announced.get():
            return
        step, seconds, ctx, error = self._given
        info = getattr(ctx, "run", None)
        condition = None if info is None else ctx.get(CONDITION_KEY)
        announcement = Announcement(step, seconds, error, getattr(info, "id", None), condition)
        self._open = watchdog, watchdog.begin(announcement), _is_announced.set(True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._open is not None:
            watchdog, token, before = self._open
            _is_announced.reset(before)
            watchdog.end(token)
