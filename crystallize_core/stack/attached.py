"""A stack: the plugins of one experiment in their order, registered with pluggy."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import attrs
import pluggy

from crystallize_core import hookspecs
from crystallize_core.errors import PluginError
from crystallize_core.stack.checking import hooks_of, is_executor
from crystallize_core.stack.instances import give_name
from crystallize_core.stack.order import Constraint, Place, ordered, places, turn

if TYPE_CHECKING:
    from crystallize_core.outcome import Note
    from crystallize_core.stack.config import StackConfig

__all__ = ["ActivePlugin", "Skipped", "Stack", "constraints"]


@attrs.frozen
class ActivePlugin:
    """One plugin of a stack.

    Attributes:
        name: Its name in the stack.
        plugin: The object.
        origin: Where it came from: `entry point`, `argument`, or the path of a local file.
        distribution, version: What it was installed with; None for a local one.
        instance_of: The plugin that it is an instance of, where it has another name; else None.
        essential: Whether a failing hook fails the cell or the run.
        constraint: What it says about its place.
        is_executor: Whether it runs replicates.
        concurrency: What the replicates of an executor share, if it says so.
        hooks: The hooks that it implements: the function and its pluggy options, by hook.

    What a plugin says about itself is read once, when its entry is made: it may be a property, which may fail.

    """

    name: str
    plugin: Any
    origin: str
    distribution: str | None = None
    version: str | None = None
    instance_of: str | None = None
    essential: bool = attrs.field(init=False)
    constraint: Constraint = attrs.field(init=False)
    is_executor: bool = attrs.field(init=False)
    concurrency: str | None = attrs.field(init=False)
    hooks: Mapping[str, tuple[Callable[..., Any], dict[str, Any]]] = attrs.field(init=False, repr=False, eq=False)

    @essential.default
    def _is_essential(self) -> bool:
        return getattr(self.plugin, "essential", True) is not False

    @constraint.default
    def _constraint(self) -> Constraint:
        return Constraint(self._names("before"), self._names("after"))

    def _names(self, attribute: str) -> tuple[str, ...]:
        value = getattr(self.plugin, attribute, ())
        if isinstance(value, str):
            return (value,)
        if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
            return tuple(value)
        return ()  # something else that happens to have this name, such as a function of a module

    @is_executor.default
    def _runs_replicates(self) -> bool:
        return is_executor(self.plugin)

    @concurrency.default
    def _shares(self) -> str | None:
        return getattr(self.plugin, "concurrency", None) or None

    @hooks.default
    def _implemented(self) -> Mapping[str, tuple[Callable[..., Any], dict[str, Any]]]:
        return hooks_of(self.plugin, self.name)


@attrs.frozen
class Skipped:
    """A plugin that is installed and not used: which, why, and where it was found."""

    name: str
    distribution: str | None
    reason: str
    error: BaseException | None = attrs.field(default=None, eq=False)
    place: str | None = attrs.field(default=None, eq=False)


class Stack:
    """The ordered plugins of one experiment; a plugin manager is never sent anywhere.

    Args:
        plugins: The plugins in the order of the project's list.
        skipped: What is installed and not used, for reports.
        disabled: The names that are to be left out, whether or not there are plugins of that name.
        config: What it was made by, and who said what.

    Attributes:
        config: As above; None in a worker, which has its stack from the coordinator.
        switched_off: The observers that failed when they were attached in this process.
        lock_digest: The digest of the lock that this is the stack of; None where that was not asked for.

    Raises:
        PluginError: A plugin is none, implements a hook wrongly, or has the name of another.
        PluginOrderError: Their constraints contradict each other.

    """

    def __init__(
        self,
        plugins: Sequence[ActivePlugin],
        skipped: Sequence[Skipped] = (),
        disabled: Collection[str] = (),
        config: StackConfig | None = None,
    ) -> None:
        by_name = _by_name(plugins)
        self._listed = tuple(by_name)
        names = ordered(self._listed, constraints(plugins))
        self.plugins = tuple(by_name[name] for name in names)
        self.skipped = tuple(skipped)
        self.disabled = frozenset(disabled)
        self.config = config
        self.switched_off: list[Note] = []
        self.lock_digest: str | None = None
        self.manager = _Manager()
        self._refuse_two_executors()
        # pluggy calls what was registered last first.
        for plugin in reversed(self.plugins):
            self.manager.register(_Registered(plugin), name=plugin.name)

    def _refuse_two_executors(self) -> None:
        executors = [plugin for plugin in self.plugins if plugin.is_executor]
        if len(executors) > 1:
            named = " and ".join(f"{p.name!r} ({p.distribution or p.origin})" for p in executors)
            message = f"a stack has one executor, and this one has {named}; leave one of them out"
            raise PluginError(message)

    def by_object(self, registered: Any) -> ActivePlugin:
        """The plugin that was registered as this object."""
        entry: ActivePlugin = registered.entry
        return entry

    def plugin(self, name: str) -> ActivePlugin:
        """The plugin of that name."""
        return next(plugin for plugin in self.plugins if plugin.name == name)

    def places(self) -> list[Place]:
        """Where each plugin stands, and why, in the order of the stack."""
        return places(self._listed, constraints(self.plugins))

    def in_turn(self, hook: str, *, wrappers: bool = False) -> list[tuple[ActivePlugin, pluggy.HookImpl]]:
        """The implementations of a hook in the order in which they are called, each with its plugin.

        Args:
            hook: The hook.
            wrappers: Whether those are wanted that go around the others, the outermost first.

        """
        place = {plugin.name: at for at, plugin in enumerate(self.plugins)}
        unwinds = hook in hookspecs.UNWINDING and not wrappers
        found = [
            (self.by_object(implementation.plugin), implementation)
            for implementation in getattr(self.manager.hook, hook).get_hookimpls()
            if implementation.wrapper is wrappers
        ]

        def key(pair: tuple[ActivePlugin, pluggy.HookImpl]) -> tuple[int, int]:
            plugin, implementation = pair
            first, last = implementation.tryfirst, implementation.trylast
            return turn(place[plugin.name], first=first, last=last, unwinds=unwinds)

        return sorted(found, key=key)

    @property
    def executor(self) -> ActivePlugin | None:
        """The plugin that runs the replicates; None for the plain loop."""
        return next((plugin for plugin in self.plugins if plugin.is_executor), None)

    def find(self, wanted: type | str) -> Any:
        """The plugin object of that name or class, or None."""
        for plugin in self.plugins:
            if plugin.name == wanted or (isinstance(wanted, type) and isinstance(plugin.plugin, wanted)):
                return plugin.plugin
        return None

    def __iter__(self) -> Iterator[ActivePlugin]:
        return iter(self.plugins)

    def __len__(self) -> int:
        return len(self.plugins)

    def __reduce__(self) -> tuple[Any, ...]:
        """The recipe of the stack: a worker builds its own manager from it."""
        recipe = []
        for entry in self.plugins:
            is_module = isinstance(entry.plugin, ModuleType)
            plugin = entry.plugin.__name__ if is_module else entry.plugin
            is_named = not is_module and "plugin_name" in getattr(plugin, "__dict__", {})
            rest = entry.origin, entry.distribution, entry.version, entry.instance_of
            recipe.append((is_module, is_named, (entry.name, plugin, *rest)))
        return _rebuilt, (recipe, self.disabled)


def _by_name(plugins: Sequence[ActivePlugin]) -> dict[str, ActivePlugin]:
    found: dict[str, ActivePlugin] = {}
    for plugin in plugins:
        if plugin.name in found:
            origins = " and ".join(p.distribution or p.origin for p in (found[plugin.name], plugin))
            message = f"two plugins are named {plugin.name!r} ({origins}); a stack has one of each name"
            raise PluginError(message, plugin=plugin.name)
        found[plugin.name] = plugin
    return found


def constraints(plugins: Sequence[ActivePlugin]) -> dict[str, Constraint]:
    """What each plugin says about its place, where the name of a plugin stands for its other instances, too."""
    instances: dict[str, list[ActivePlugin]] = {}
    for plugin in plugins:
        if plugin.instance_of is not None:
            instances.setdefault(plugin.instance_of, []).append(plugin)

    def meant(plugin: ActivePlugin, names: tuple[str, ...]) -> tuple[str, ...]:
        kind = plugin.instance_of or plugin.name
        others = [other.name for name in names if name != kind for other in instances.get(name, ())]
        return (*names, *others)

    return {
        plugin.name: Constraint(meant(plugin, plugin.constraint.before), meant(plugin, plugin.constraint.after))
        for plugin in plugins
    }


def _rebuilt(recipe: list[tuple[bool, bool, tuple[Any, ...]]], disabled: frozenset[str] = frozenset()) -> Stack:
    plugins = []
    for is_module, is_named, (name, plugin, *rest) in recipe:
        found = importlib.import_module(plugin) if is_module else plugin
        if is_named:
            give_name(found, name)  # not every class pickles what is no field of it
        plugins.append(ActivePlugin(name, found, *rest))
    return Stack(plugins, disabled=disabled)


class _Registered:
    """What pluggy gets in place of a plugin: its hooks and nothing else.

    pluggy compares what is registered with `==` and looks at every attribute, which would make two equal
    plugins one and run the properties of strangers.
    """

    def __init__(self, entry: ActivePlugin) -> None:
        self.entry = entry
        self.hook_options = {hook: options for hook, (_, options) in entry.hooks.items()}
        self.__dict__.update({hook: function for hook, (function, _) in entry.hooks.items()})

    def __dir__(self) -> list[str]:
        return list(self.hook_options)


class _Manager(pluggy.PluginManager):
    def __init__(self) -> None:
        super().__init__(hookspecs.PROJECT)
        self.add_hookspecs(hookspecs)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        return (
            plugin.hook_options[name] if isinstance(plugin, _Registered) else super().parse_hookimpl_opts(plugin, name)
        )
