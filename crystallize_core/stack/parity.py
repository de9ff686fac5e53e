"""Whether a worker has the stack of its coordinator: the same versions, plugins and options.

The coordinator sends a description along with the experiment. A worker compares it with what it has before it makes
anything of the rest, which may not even be readable there.
"""

from __future__ import annotations

import functools
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from crystallize_core.errors import StackMismatchError
from crystallize_core.stack.options import values_of
from crystallize_core.version import version

if TYPE_CHECKING:
    from crystallize_core.stack.attached import ActivePlugin

__all__ = ["Parity", "refuse_another_stack", "refuse_other_options"]

_PLAIN: Final = (str, bytes, int, float, bool, type(None))
_CORE: Final = "crystallize-core"
_ABSENT: Final = "not there"


@attrs.frozen
class Parity:
    """What has to be the same in every process of a run. Plain values only: it is read before anything else.

    Attributes:
        place: Where all of it is installed, as it is now; a worker that has the same has the same versions. Empty
            where what this process uses is not what is installed.
        python: Its minor version, such as `3.11`: code that was sent by value and digests of code are those of one.
        core: The version of the core.
        distributions: The versions of the distributions that plugins come from.
        plugins: The options of each plugin by its name, as far as they are plain values.

    """

    place: Sequence[Any]
    python: str
    core: str
    distributions: Mapping[str, str]
    plugins: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, stack: Iterable[ActivePlugin]) -> Parity:
        """That of a stack in this process."""
        plugins = list(stack)
        distributions = {p.distribution: p.version or "" for p in plugins if p.distribution is not None}
        place = _place()
        # What was imported here long ago may not be what is installed by now, and what a worker would import.
        is_current = all(_known(name, place) == there for name, there in {_CORE: version(), **distributions}.items())
        options = {p.name: _plain_options(p) for p in plugins}
        return cls(place if is_current else (), _python(), version(), distributions, options)


def _place() -> tuple[Any, ...]:
    """The machine, the interpreter, and the folders that it imports from, with when each was changed last."""
    return platform.node(), sys.prefix, sys.version, tuple((folder, _changed(folder)) for folder in sys.path if folder)


def _changed(folder: str) -> int | None:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116 - a path costs as much as the rest
    except OSError:
        return None


def _python() -> str:
    return ".".join(map(str, sys.version_info[:2]))


def _plain_options(plugin: ActivePlugin) -> dict[str, Any]:
    return {name: value for name, value in values_of(plugin.plugin).items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(key) and _is_plain(item) for key, item in value.items())
    return isinstance(value, _PLAIN) or (isinstance(value, (list, tuple)) and all(map(_is_plain, value)))


def refuse_another_stack(sent: Parity) -> None:
    """Compare what is installed in this worker with what the coordinator has.

    Raises:
        StackMismatchError: Something is another version, or missing; all differences are named.

    """
    # To read the versions takes longer than all else that a worker does before its first replicate.
    if sent.place == _place():
        return
    found = [] if sent.python == _python() else [_line("Python", _python(), sent.python)]
    found += [] if sent.core == version() else [_line(_CORE, version(), sent.core)]
    installed = {name: _installed(name) for name in sent.distributions}
    other = {name: there for name, there in sent.distributions.items() if installed[name] != there}
    found += [_line(name, installed[name] or _ABSENT, there) for name, there in other.items()]
    if not found:
        return
    wanted = other if sent.core == version() else {_CORE: sent.core, **other}
    lines = " ".join(f"{name}=={there}" for name, there in wanted.items())
    advice = f"\n  install the same in the worker: pip install {lines}" if wanted else ""
    raise StackMismatchError(f"{_where()} has another stack than the coordinator:{''.join(found)}{advice}")


def refuse_other_options(sent: Parity, stack: Iterable[ActivePlugin]) -> None:
    """Compare the plugins that this worker has made with those of the coordinator.

    Raises:
        StackMismatchError: An option lost its value on the way, which is the fault of how its plugin is pickled.

    """
    found = []
    for plugin in stack:
        here = _plain_options(plugin)
        for name, value in sent.plugins.get(plugin.name, {}).items():
            if repr(here.get(name, _ABSENT)) != repr(value):
                option = f"option {name!r} of plugin {plugin.name!r}"
                found.append(_line(option, repr(here[name]) if name in here else _ABSENT, repr(value)))
    if found:
        advice = "\n  a plugin must be the same after it was pickled and read back"
        raise StackMismatchError(f"{_where()} has another stack than the coordinator:{''.join(found)}{advice}")


def _line(what: str, here: str, there: str) -> str:
    return f"\n  {what}: {here} in the worker, {there} in the coordinator"


def _where() -> str:
    return f"the worker on {platform.node() or 'this machine'}"


@functools.lru_cache(maxsize=256)
def _known(distribution: str, place: tuple[Any, ...]) -> str | None:  # noqa: ARG001 - for as long as nothing is installed
    """The version that is installed, read once for a place."""
    return _installed(distribution)


def _installed(distribution: str) -> str | None:
    from importlib_metadata import PackageNotFoundError  # noqa: PLC0415 - reading metadata is not free
    from importlib_metadata import version as read  # noqa: PLC0415 - as above

    try:
        return str(read(distribution))
    except PackageNotFoundError:
        return None
