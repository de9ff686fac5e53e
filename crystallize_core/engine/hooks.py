"""The compiled calls of a stack's hooks, with the isolation that pluggy leaves to us.

pluggy's own call costs 1 to 4 microseconds, stops at the first implementation that raises, and builds a
dictionary of arguments. Here the implementations of a hook are read once per run and become one
generated function that passes arguments by position; a hook without implementations is `None` and
is not called at all. Wrappers go around that function one by one, each with the same isolation.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import attrs

from crystallize_core.engine.answers import checked
from crystallize_core.engine.timing import hook_times
from crystallize_core.engine.tracing import tracer
from crystallize_core.engine.watching import Watcher, watched
from crystallize_core.errors import DefinitionError, HookError, Interruption, PluginError, add_note, describe
from crystallize_core.hookspecs import HOOKS
from crystallize_core.outcome import Note
from crystallize_core.stack.attached import ActivePlugin

if TYPE_CHECKING:
    from crystallize_core.stack.attached import Stack

__all__ = ["HookCalls"]

LEFT_OUT: Final = frozenset(HOOKS) - {"init_hook", "run_experiment_loop", "step_options", "cache_store", "wrap_step"}
"""The hooks that a plugin may have no use for in some run."""
_PASSING: Final = (KeyboardInterrupt, Interruption)
"""What somebody else raises into whatever runs at the moment."""
_ARGUMENTS = {name: tuple(inspect.signature(spec).parameters) for name, spec in HOOKS.items()}


@attrs.frozen
class Implementation:
    """One implementation of a hook: whose it is, and which arguments it takes how."""

    plugin: ActivePlugin
    function: Callable[..., Any]
    positional: tuple[str, ...]
    named: tuple[str, ...]
    source: Callable[..., Any] | None = None
    """What the plugin wrote, where `function` is around it."""

    @classmethod
    def of(cls, hook: str, plugin: ActivePlugin, function: Callable[..., Any]) -> Implementation:
        """Sort the parameters of the function into those passed by position and those passed by name."""
        positional: list[str] = []
        named: list[str] = []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name not in _ARGUMENTS[hook]:
                continue  # a parameter of its own with a default: what follows it must be named
            by_name = parameter.kind is parameter.KEYWORD_ONLY or len(positional) + len(named) < _place(
                function, parameter
            )
            (named if by_name or named else positional).append(parameter.name)
        return cls(plugin, function, tuple(positional), tuple(named))

    def __call__(self, hook: str, arguments: tuple[Any, ...]) -> Any:
        """Call it with the arguments of the specification, in their order."""
        given = dict(zip(_ARGUMENTS[hook], arguments, strict=True))
        return self.function(*[given[n] for n in self.positional], **{n: given[n] for n in self.named})

    def watched(self, hook: str, watchers: tuple[Watcher, ...], *, wraps: bool) -> Implementation:
        """The same with somebody watching, who gets all arguments of the specification."""
        call = watched(hook, self.plugin.name, lambda arguments: self(hook, arguments), watchers, wraps=wraps)
        return Implementation(self.plugin, call, _ARGUMENTS[hook], (), self.function)

    @property
    def passed(self) -> str:
        """The arguments as they stand in a generated call."""
        return ", ".join([*self.positional, *(f"{name}={name}" for name in self.named)])


def _place(function: Callable[..., Any], parameter: inspect.Parameter) -> int:
    return list(inspect.signature(function).parameters).index(parameter.name)


class HookCalls:
    """The hooks of one run in one process.

    Each hook that is called for all implementations is an attribute: a function of the arguments of its
    specification by position, or `None` where nothing implements it.

    Args:
        stack: The plugins.
        only: The hooks that take part; default all.
        experiment: What is run; plugins may have hooks that it has no use for.
        timed: Whether the coordinator wants the times of the calls, which are then taken with the notes.

    Attributes:
        notes: What was switched off since they were last taken with `take_notes`.
        times: Where the times of the calls are summed up; None where nobody wants them.

    """

    init_hook: Callable[..., None] | None
    before_run: Callable[..., None] | None
    before_replicate: Callable[..., None] | None
    before_step: Callable[..., None] | None
    after_step: Callable[..., None] | None
    step_failed: Callable[..., None] | None
    step_skipped: Callable[..., None] | None
    after_replicate: Callable[..., None] | None
    replicate_done: Callable[..., None] | None
    on_event: Callable[..., None] | None

    def __init__(
        self, stack: Stack, only: frozenset[str] = frozenset(HOOKS), experiment: Any = None, *, timed: bool = False
    ) -> None:
        self._stack = stack
        self._only = only
        self._unneeded = {} if experiment is None else {p.name: _unneeded(p, experiment) for p in stack}
        self.notes: list[Note] = list(stack.switched_off)
        self._off = {note.plugin for note in self.notes}
        self._lock = threading.Lock()
        self.times = hook_times(wanted=timed)
        self._watchers = tuple(watcher for watcher in (tracer(), self.times) if watcher is not None)
        self._scopes: list[dict[str, Any]] = []
        self._plain: dict[str, Callable[..., None] | None] = {}
        self._found: dict[tuple[str, bool], list[Implementation]] = {}
        self._compile()

    def _compile(self) -> None:
        retired, self._scopes = self._scopes, []
        for name in HOOKS:
            setattr(self, name, self._compiled(name))
        for scope in retired:  # when all new ones are there, because other threads are sent on to them
            scope["retired"] = True

    def is_disabled(self, name: str) -> bool:
        """Whether the project or the environment asks for something to be left out, such as a part of the core."""
        return name in self._stack.disabled

    @property
    def watchers(self) -> frozenset[str]:
        """The names of the plugins that say whether a step drew from the global generators."""
        return frozenset(p.name for p in self._stack if getattr(p.plugin, "watches_generators", False) is True)

    def has(self, hook: str) -> bool:
        """Whether anything implements it."""
        return bool(self._implementations(hook))

    def implementers(self, hook: str) -> list[str]:
        """The names of the plugins that implement it, in the order in which they are asked."""
        return [implementation.plugin.name for implementation in self._implementations(hook)]

    def collect(self, hook: str, *arguments: Any) -> Iterator[tuple[ActivePlugin, Any]]:
        """Call each implementation and give what it returned, with its plugin."""
        for implementation in self._implementations(hook):
            try:
                found = checked(hook, arguments, implementation(hook, arguments))
            except BaseException as error:  # noqa: BLE001 - foreign code may raise anything
                self._failed(hook, implementation.plugin, error, arguments)
            else:
                yield implementation.plugin, found

    def answers(self, hook: str, *arguments: Any) -> tuple[list[tuple[ActivePlugin, Any]], list[HookError]]:
        """What each implementation returned, and what essential plugins raised; every one is called."""
        found, errors = [], []
        for implementation in self._implementations(hook):
            try:
                found.append((implementation.plugin, checked(hook, arguments, implementation(hook, arguments))))
            except BaseException as error:  # noqa: BLE001 - foreign code may raise anything
                errors.append(self._noted(hook, implementation.plugin, error, arguments))
        return found, [error for error in errors if error is not None]

    def first(self, hook: str, *arguments: Any) -> tuple[ActivePlugin, Any] | None:
        """The first answer that is neither None nor NotImplemented, with the plugin that gave it."""
        for plugin, found in self.collect(hook, *arguments):
            if found is not None and found is not NotImplemented:
                return plugin, found
        return None

    def call_each(self, hook: str, *arguments: Any) -> list[HookError]:
        """Call every implementation whatever happens; what essential plugins raised comes back as one error."""
        call: Callable[..., None] | None = getattr(self, hook)
        try:
            if call is not None:
                call(*arguments)
        except HookError as error:
            return [error]
        return []

    def functions(self, hook: str) -> list[Callable[..., Any]]:
        """The functions that implement it, to be looked at."""
        return [found.source or found.function for found in self._implementations(hook)]

    def _attempt(self, hook: str, implementation: Implementation, arguments: tuple[Any, ...]) -> HookError | None:
        try:
            implementation(hook, arguments)
        except BaseException as error:  # noqa: BLE001 - foreign code may raise anything
            return self._noted(hook, implementation.plugin, error, arguments)
        return None

    def wrappers(self) -> Iterator[Callable[..., Any]]:
        """The implementations of `wrap_step`, each as a function of all its arguments."""
        for implementation in self._implementations("wrap_step"):
            yield self._guarded("wrap_step", implementation)

    def _guarded(self, hook: str, implementation: Implementation) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            try:
                return checked(hook, arguments, implementation(hook, arguments))
            except DefinitionError as error:  # what the user wrote is at fault, and not the plugin
                error.address = {**_where(hook, arguments), "plugin": implementation.plugin.name, **error.address}
                error.address = {word: value for word, value in error.address.items() if value is not None}
                raise
            except BaseException as error:  # noqa: BLE001 - foreign code may raise anything
                self._failed(hook, implementation.plugin, error, arguments)

        return call

    def take_notes(self) -> list[Note]:
        """The notes since the last call, and the times where somebody wants them."""
        notes, self.notes = self.notes, []
        return notes if self.times is None else [*notes, *self.times.note()]

    def _implementations(self, hook: str, *, wrappers: bool = False) -> list[Implementation]:
        """In the order of the stack, but for those that ask to be called first or last."""
        key = hook, wrappers
        if key not in self._found:
            self._found[key] = self._looked_up(hook, wrappers=wrappers) if hook in self._only else []
        return [implementation for implementation in self._found[key] if implementation.plugin.name not in self._off]

    def _looked_up(self, hook: str, *, wrappers: bool) -> list[Implementation]:
        found = [
            Implementation.of(hook, plugin, implementation.function)
            for plugin, implementation in self._stack.in_turn(hook, wrappers=wrappers)
            if hook not in self._unneeded.get(plugin.name, ())
        ]
        if self._watchers:
            return [implementation.watched(hook, self._watchers, wraps=wrappers) for implementation in found]
        return found

    def _compiled(self, hook: str) -> Callable[..., None] | None:
        found, wrappers = self._implementations(hook), self._implementations(hook, wrappers=True)
        call = self._plain[hook] = self._generated(hook, found) if found else None
        for wrapper in reversed(wrappers):
            call = self._around(hook, wrapper, call)
        return call

    def _generated(self, hook: str, found: list[Implementation]) -> Callable[..., None]:
        # `at` tells which implementation raised; a try block costs nothing as long as nothing does.
        names = ", ".join(_ARGUMENTS[hook])
        packed = f"({names},)" if names else "()"
        lines = [f"def {hook}({names}):", f"    if retired: return forward({names})", "    at = 0", "    try:"]
        for number, implementation in enumerate(found):
            lines += [f"        at = {number}", f"        call_{number}({implementation.passed})"]
        lines += ["    except BaseException as error:", f"        failed(at, error, {packed})"]
        scope: dict[str, Any] = {f"call_{n}": implementation.function for n, implementation in enumerate(found)}
        # A loop that still holds this function after a plugin was switched off must not call that plugin.
        scope["retired"], scope["forward"] = False, lambda *arguments: self._forward(hook, arguments)
        self._scopes.append(scope)
        scope["failed"] = lambda at, error, arguments: self._go_on(hook, found, at, error, arguments)
        exec("\n".join(lines), scope)  # noqa: S102 - made of the names of hooks and arguments that were checked
        compiled: Callable[..., None] = scope[hook]
        return compiled

    def _forward(self, hook: str, arguments: tuple[Any, ...]) -> None:
        current = self._plain[hook]
        if current is not None:
            current(*arguments)

    def _go_on(
        self, hook: str, found: list[Implementation], at: int, error: BaseException, arguments: tuple[Any, ...]
    ) -> None:
        """After implementation `at` raised: note or raise it, and call those behind it."""
        failures = [self._noted(hook, found[at].plugin, error, arguments)]
        rest = (implementation for implementation in found[at + 1 :] if implementation.plugin.name not in self._off)
        failures += [self._attempt(hook, implementation, arguments) for implementation in rest]
        _raise_together([failure for failure in failures if failure is not None])

    def _around(self, hook: str, wrapper: Implementation, inner: Callable[..., None] | None) -> Callable[..., None]:
        """A generator of a plugin around the others: what it raises itself costs them no call."""

        def call(*arguments: Any) -> None:
            if wrapper.plugin.name in self._off:
                if inner is not None:
                    inner(*arguments)
                return
            called = False
            failure = None
            try:
                with contextlib.contextmanager(wrapper)(hook, arguments):
                    called = True
                    try:
                        if inner is not None:
                            inner(*arguments)
                    except BaseException as error:
                        failure = error
                        raise
            except BaseException as error:
                if error is failure:
                    raise
                own = self._noted(hook, wrapper.plugin, error, arguments)
                others = None if called or inner is None else self._attempt_all(inner, arguments)
                _raise_together([found for found in (own, others) if found is not None])

        return call

    def _attempt_all(self, call: Callable[..., None], arguments: tuple[Any, ...]) -> HookError | None:
        try:
            call(*arguments)
        except HookError as error:
            return error
        return None

    def _noted(
        self, hook: str, plugin: ActivePlugin, error: BaseException, arguments: tuple[Any, ...]
    ) -> HookError | None:
        try:
            self._failed(hook, plugin, error, arguments)
        except HookError as failure:
            return failure
        return None

    def _failed(self, hook: str, plugin: ActivePlugin, error: BaseException, arguments: tuple[Any, ...]) -> None:
        """Raise for an essential plugin; switch an observer off."""
        if isinstance(error, _PASSING):  # this is not the doing of the plugin, but it may be what took so long
            if isinstance(error, KeyboardInterrupt) and hook != "run_experiment_loop":
                add_note(error, f"interrupted in hook {hook!r} of plugin {plugin.name!r} ({_owner(plugin)})")
            raise error
        if plugin.essential and isinstance(error, HookError) and _is_of(error, hook, plugin):
            raise error  # it came from a run that this hook started, and says all there is to say
        if plugin.essential:
            message = f"hook {hook!r} of plugin {plugin.name!r} raised {describe(error)}"
            address = {**_where(hook, arguments), "distribution": plugin.distribution, "plugin": plugin.name}
            raise HookError(message, **address, hook=hook) from error
        text = (
            f"plugin {plugin.name!r} ({_owner(plugin)}) was switched off for the rest of the run: "
            f"its hook {hook!r} raised {describe(error)}"
        )
        with self._lock:
            if plugin.name in self._off:
                return  # another thread was in the middle of the same call
            self._off.add(plugin.name)
            self.notes.append(Note("switched-off", text, plugin.name))
            self._compile()


def _is_of(error: HookError, hook: str, plugin: ActivePlugin) -> bool:
    return (error.address.get("hook"), error.address.get("plugin")) == (hook, plugin.name)


def _owner(plugin: ActivePlugin) -> str:
    return plugin.distribution or "local"


def _unneeded(entry: ActivePlugin, experiment: Any) -> frozenset[str]:
    """The hooks of a plugin that a run of this experiment has no use for.

    Raises:
        PluginError: The plugin cannot say, or names something that is no hook of a run.

    """
    ask = getattr(entry.plugin, "unneeded_hooks", None)
    if ask is None or isinstance(entry.plugin, ModuleType):
        return frozenset()
    address = {"distribution": entry.distribution, "plugin": entry.name}
    try:
        found = frozenset(ask(experiment))
    except Exception as error:
        message = f"unneeded_hooks of plugin {entry.name!r} raised {describe(error)}"
        raise PluginError(message, **address) from error
    wrong = sorted(map(repr, found - LEFT_OUT))
    if wrong:
        message = f"unneeded_hooks of plugin {entry.name!r} names {', '.join(wrong)}; it may name: {', '.join(sorted(LEFT_OUT))}"
        raise PluginError(message, **address)
    return found


def _where(hook: str, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """What the arguments of a call say about the place; the engine adds what they do not say."""
    given = dict(zip(_ARGUMENTS[hook], arguments, strict=True))
    step = getattr(given.get("ctx"), "step_name", None) or getattr(given.get("step"), "name", None)
    experiment = getattr(given.get("experiment"), "name", None)
    return {"experiment": experiment, "replicate": given.get("replicate"), "step": step}


def _raise_together(failures: list[HookError]) -> None:
    """Raise the first with what the others say."""
    for other in failures[1:]:
        failures[0].add_note(f"and: {other}")
    if failures:
        raise failures[0]
