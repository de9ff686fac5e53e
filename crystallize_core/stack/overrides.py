"""What the command line of this process says about the stack; it counts more than files and the environment.

The code of a user makes its experiments by itself, so that a command cannot hand this on to whoever asks for a stack.
It is kept here for as long as the command runs, `resolve` looks at it, and workers get it with their work.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import attrs

__all__ = ["Overrides", "overridden", "overrides", "take_over"]


@attrs.frozen
class Overrides:
    """What was said on the command line.

    Args:
        profile: The profile, instead of that of `CRYSTALLIZE_PROFILE`.
        options: What `-o` was given, such as `seeding.seed=7` or `executor=serial`.
        executor: The name of the executor that the command will run with. It chooses none; options for it have an effect,
            although the stacks that are made before do not have it.

    """

    profile: str | None = None
    options: tuple[str, ...] = attrs.field(default=(), repr=False)  # some may be secret
    executor: str | None = None


_current = Overrides()


def overrides() -> Overrides:
    """What holds in this process."""
    return _current


@contextlib.contextmanager
def overridden(
    profile: str | None = None, options: tuple[str, ...] = (), executor: str | None = None
) -> Iterator[None]:
    """Let this hold for as long as the block runs, in all threads; what is None or empty stays as it is."""
    global _current  # noqa: PLW0603 - one command line, one process
    before = _current
    _current = Overrides(
        before.profile if profile is None else profile,
        (*before.options, *options),
        before.executor if executor is None else executor,
    )
    try:
        yield
    finally:
        _current = before


def take_over(sent: tuple[str | None, tuple[str, ...], str | None]) -> None:
    """Let what held where the work of this worker comes from hold here, too.

    Args:
        sent: The fields of the `Overrides` there; plain values, so that they can be read before anything else.

    """
    global _current  # noqa: PLW0603 - as above
    _current = Overrides(*sent)
