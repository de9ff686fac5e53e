"""A plugin with each of its hooks looked at: what a call changed, what it returned, and what it did to its arguments."""

from __future__ import annotations

import functools
import inspect
import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import attrs

from crystallize_core.stack.checking import hooks_of
from crystallize_core.testing.plugins.process import Snapshot, changes, snapshot

__all__ = ["Call", "watched"]

_OURS: Final = (
    "essential",
    "before",
    "after",
    "concurrency",
    "watches_generators",
    "changes_process",
    "unneeded_hooks",
)
_KEPT: Final = ("data", "event")
"""The arguments that belong to others; an outcome and a context are there to be written to."""


@attrs.frozen
class Call:
    """One call of a hook.

    Attributes:
        hook: Which.
        changed: What it changed of the process, by part.
        answer: What it returned.
        again: What it returned when it was called again; only `describe_run` is.
        mutated: The arguments that were others afterwards.
        error: What it raised; None if nothing.

    """

    hook: str
    changed: dict[str, str]
    answer: Any = None
    again: Any = None
    mutated: tuple[str, ...] = ()
    error: BaseException | None = None


class _Shell:
    """Has the hooks and what a plugin says of itself as plain attributes."""


def watched(plugin: Any, name: str) -> tuple[Any, list[Call]]:
    """A plugin that does what this one does, and the list into which each call of a hook is written.

    Only for runs in this process. It is the plugin itself, of a class derived from its own, so that it finds itself in
    its experiment; for what cannot be given another class, such as a module, it is something that has the same hooks.
    """
    calls: list[Call] = []
    hooks: dict[str, Any] = {}
    for hook, (function, options) in hooks_of(plugin, name).items():
        hooks[hook] = _passed_on(function) if options.get("wrapper") else _looked_at(hook, function, calls)
        hooks[hook].crystallize_impl = dict(options)
    if isinstance(plugin, ModuleType) or any(hook in getattr(plugin, "__dict__", ()) for hook in hooks):
        return _shell(plugin, name, hooks), calls
    try:
        _give_class(plugin, hooks)
    except TypeError:  # a class that forbids it
        return _shell(plugin, name, hooks), calls
    return plugin, calls


def _give_class(plugin: Any, hooks: dict[str, Any]) -> None:
    kind: Any = type(plugin)
    words = {"__slots__": (), "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    methods = {hook: staticmethod(function) for hook, function in hooks.items()}  # they know whose they are
    metaclass: Any = type(kind)
    derived = metaclass(kind.__name__, (kind,), {**words, **methods})
    object.__setattr__(plugin, "__class__", derived)  # also where the class is frozen


def _shell(plugin: Any, name: str, hooks: dict[str, Any]) -> Any:
    shell = _Shell()
    said = {word: getattr(plugin, word) for word in _OURS if hasattr(plugin, word)}
    vars(shell).update(said | {"plugin_name": name} | hooks)
    return shell


def _passed_on(function: Callable[..., Any]) -> Any:
    """The same function as an object of its own, which can be marked; a generator goes around the calls of others."""

    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        return (yield from function(*args, **named))

    return call


def _looked_at(hook: str, function: Callable[..., Any], calls: list[Call]) -> Any:
    names = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        given = {**dict(zip(names, args, strict=False)), **named}
        contents = {key: _content(value) for key, value in given.items() if key in _KEPT}
        before = snapshot()
        try:
            answer = function(*args, **named)
            again = function(*args, **named) if hook == "describe_run" else None
        except BaseException as error:
            calls.append(Call(hook, _changed(before), error=error))
            raise
        mutated = tuple(key for key, content in contents.items() if content != _content(given[key]))
        calls.append(Call(hook, _changed(before), answer, again, mutated))
        return answer

    return call


def _changed(before: Snapshot) -> dict[str, str]:
    return changes(before, snapshot())


def _content(value: Any) -> bytes | None:
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001 - what cannot be compared is not looked at
        return None
