"""Whether an object is a plugin: which hooks it implements, and whether it does so correctly."""

from __future__ import annotations

import contextlib
import difflib
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import Any, Final

from crystallize_core.errors import PluginError, did_you_mean
from crystallize_core.hookspecs import ANSWERING, HOOKS, PROJECT
from crystallize_core.plugin import BasePlugin

__all__ = ["hooks_of", "is_executor", "plugin_name"]

_MARK = f"{PROJECT}_impl"
_CLOSE = 0.84
"""How alike an undecorated public method and a hook must be to be taken for a misspelling."""


def hooks_of(plugin: object, name: str) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """The hooks that `plugin` implements: the function and its pluggy options, by hook.

    Raises:
        PluginError: It implements none, or some of them wrongly; everything that is wrong is listed.

    """
    if isinstance(plugin, type):
        message = f"plugin {name!r} is a class; have you forgotten the parentheses? {plugin.__name__}()"
        raise PluginError(message, plugin=name)
    found: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {}
    problems: list[str] = []
    own = _static(plugin)
    for hook, function, options in _marked(plugin, own):
        if hook not in HOOKS:
            problems.append(f"unknown hook {hook!r}; {did_you_mean(hook, HOOKS, listing='the hooks are')}")
        else:
            found[hook] = function, options
            problems += _wrong_wrapper(hook, options)
    if isinstance(plugin, BasePlugin):
        found |= {hook: pair for hook, pair in _overridden(plugin, own).items() if hook not in found}
        problems += _misspelt(plugin)
    for hook, (function, _) in found.items():
        problems += _wrong_signature(hook, function)
    if not found and not problems and not isinstance(plugin, BasePlugin):
        problems.append("it implements no hook; mark functions with @hookimpl or subclass BasePlugin")
    if problems:
        message = f"plugin {name!r} cannot be used:" + "".join(f"\n  {problem}" for problem in problems)
        raise PluginError(message, plugin=name)
    return {hook: found[hook] for hook in HOOKS if hook in found}


def _marked(plugin: object, own: Mapping[str, Any]) -> list[tuple[str, Callable[..., Any], dict[str, Any]]]:
    """The functions and methods that carry the mark of `@hookimpl`; properties are not run."""
    found = []
    for attribute, static in sorted(own.items()):
        options = getattr(getattr(static, "__func__", static), _MARK, None)
        if isinstance(options, dict):
            found.append((options.get("specname") or attribute, getattr(plugin, attribute), options))
    return found


def _static(plugin: object) -> dict[str, Any]:
    """What a plugin has of its own, by name, without asking it: its `__dir__`, metaclass and descriptors may do anything.

    What `BasePlugin` and `object` have is left out where it is not overridden.
    """
    if isinstance(plugin, ModuleType):
        return dict(vars(plugin))
    found: dict[str, Any] = {}
    for kind in reversed(type.__getattribute__(type(plugin), "__mro__")):
        found.update(type.__getattribute__(kind, "__dict__"))
    with contextlib.suppress(AttributeError):  # no dictionary, but slots
        found.update(object.__getattribute__(plugin, "__dict__"))
    return {name: value for name, value in found.items() if name not in _COMMON or _COMMON[name] is not value}


_COMMON: Final = {**vars(object), **vars(BasePlugin)}
_UNUSUAL: Final = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_SIGNATURES: Final = {name: inspect.signature(hook) for name, hook in HOOKS.items()}


def _overridden(plugin: BasePlugin, own: Mapping[str, Any]) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    found = {hook: getattr(plugin, hook) for hook in HOOKS if hook in own}
    return {hook: (function, _default_options()) for hook, function in found.items() if callable(function)}


def _default_options() -> dict[str, Any]:
    return dict.fromkeys(("wrapper", "hookwrapper", "optionalhook", "tryfirst", "trylast"), False) | {"specname": None}


def _misspelt(plugin: BasePlugin) -> list[str]:
    problems = []
    known = {*HOOKS, *dir(BasePlugin)}
    for kind in type(plugin).__mro__:
        if kind is BasePlugin or not issubclass(kind, BasePlugin):
            continue
        for name, value in vars(kind).items():
            if name.startswith("_") or name in known or not inspect.isfunction(value) or hasattr(value, _MARK):
                continue
            close = difflib.get_close_matches(name, HOOKS, n=1, cutoff=_CLOSE)
            if close:
                problems.append(
                    f"method {name!r} of {kind.__name__} looks like the hook {close[0]!r}; did you mean {close[0]!r}? "
                    f"(a helper of that name starts with an underscore)"
                )
    return problems


def _wrong_wrapper(hook: str, options: dict[str, Any]) -> list[str]:
    if options.get("hookwrapper"):
        return [f"hook {hook!r} is marked hookwrapper=True; write it as wrapper=True"]
    if options.get("wrapper") and hook in ANSWERING:
        return [f"hook {hook!r} cannot be a wrapper, because it returns something; only the others can"]
    return []


def _wrong_signature(hook: str, function: Callable[..., Any]) -> list[str]:
    if _is_plain(hook, function):
        return []
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return [f"hook {hook!r} is `async def`; hooks are plain functions"]
    known = list(_SIGNATURES[hook].parameters)
    problems = []
    own: str | None = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in known:
            own = own or parameter.name
        elif own is not None and parameter.kind is parameter.POSITIONAL_ONLY:
            problems.append(
                f"hook {hook!r} takes {parameter.name!r} by position only, behind {own!r}, which is none of its "
                f"arguments; put {own!r} last"
            )
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            problems.append(
                f"hook {hook!r} takes {parameter}; name the arguments that it needs: {', '.join(known) or 'none'}"
            )
        elif parameter.name not in known and parameter.default is parameter.empty:
            takes = f"{hook}({', '.join(known)})"
            hint = did_you_mean(parameter.name, known, listing="its arguments are")
            problems.append(f"hook {hook!r} has no argument {parameter.name!r}; {hint} The hook is {takes}")
    return problems


def _is_plain(hook: str, function: Callable[..., Any]) -> bool:
    """Whether it takes arguments of the hook and nothing else, as most do; what is left takes longer to look at."""
    bare = getattr(function, "__func__", function)
    if type(bare) is not FunctionType or bare.__dict__.keys() & {"__wrapped__", "__signature__"}:
        return False
    code = bare.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    taken = names if bare is function else names[1:]
    return not code.co_flags & _UNUSUAL and _SIGNATURES[hook].parameters.keys() >= set(taken)


def is_executor(plugin: object) -> bool:
    """Whether it runs replicates: it implements `run_experiment_loop`."""
    if isinstance(plugin, BasePlugin):
        own = inspect.getattr_static(type(plugin), "run_experiment_loop")
        return own is not inspect.getattr_static(BasePlugin, "run_experiment_loop")
    return any(hook == "run_experiment_loop" for hook, _, _ in _marked(plugin, _static(plugin)))


def plugin_name(plugin: object) -> tuple[str, bool]:
    """The name of a plugin, and whether it says so itself."""
    given = getattr(plugin, "plugin_name", None)
    if isinstance(given, str) and given:
        return given, True
    if isinstance(plugin, ModuleType):
        return plugin.__name__.rpartition(".")[2], False
    kind = plugin if isinstance(plugin, type) else type(plugin)
    words = "".join(f"_{char.lower()}" if char.isupper() else char for char in kind.__name__).strip("_")
    return words.removesuffix("_plugin") or words, False
