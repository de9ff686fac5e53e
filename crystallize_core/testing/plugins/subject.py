"""The plugin under test, and the ways to run experiments with it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

import attrs

from crystallize_core.errors import CrystallizeError
from crystallize_core.experiment import Experiment
from crystallize_core.hookspecs import HOOKS
from crystallize_core.plugin import BasePlugin
from crystallize_core.result import Result
from crystallize_core.stack.checking import hooks_of, is_executor, plugin_name
from crystallize_core.stack.declared import declared
from crystallize_core.testing.plugins.check import DoesNotApply
from crystallize_core.testing.plugins.executors import Processes, Threads
from crystallize_core.testing.plugins.steps import EVERYTHING
from crystallize_core.testing.plugins.watched import Call, watched
from crystallize_core.testing.tiny import make_tiny, own_noise, scale, total

__all__ = ["STEPS", "Subject"]

T = TypeVar("T")

STEPS: Final = (scale, own_noise, total)
"""Steps that come to the same whatever plugins there are."""


@attrs.define(eq=False)
class Subject:
    """A plugin under test.

    Args:
        make: Makes the plugin: a new and equal one at each call, but for a module, which there is once.
        folders: Where it writes besides the folders that its options name, relative to the current one.
        entry_point: The name of its entry point; None where it has none.

    """

    make: Callable[[], Any]
    folders: Sequence[str] = ()
    entry_point: str | None = None
    _made: dict[str, Any] = attrs.field(factory=dict, init=False, repr=False)

    # What it is -----------------------------------------------------------------------------------------

    @property
    def sample(self) -> Any:
        """One that is only looked at."""
        return self.once("sample", self.make)

    @property
    def name(self) -> str:
        """Its name in a stack."""
        found, own = plugin_name(self.sample)
        return found if own else self.entry_point or found

    @property
    def is_module(self) -> bool:
        """Whether it is a module, of which there is one."""
        return isinstance(self.sample, ModuleType)

    @property
    def is_executor(self) -> bool:
        """Whether it runs replicates."""
        return is_executor(self.sample)

    @property
    def essential(self) -> bool:
        """Whether it may change results."""
        return getattr(self.sample, "essential", True) is not False

    @property
    def changes_process(self) -> frozenset[str]:
        """What of the process its hooks change on purpose."""
        found = getattr(self.sample, "changes_process", ())
        if isinstance(found, str):
            return frozenset([found])
        return frozenset(found) if isinstance(found, _LISTS) else frozenset()

    @property
    def hooks(self) -> dict[str, Any]:
        """The hooks that it implements: function and options by name."""
        return hooks_of(self.sample, self.name)

    @property
    def hook_functions(self) -> dict[str, Callable[..., Any]]:
        """What looks like a hook, whether or not it is a correct one."""
        found = {}
        for hook in HOOKS:
            own = inspect.getattr_static(self.sample, hook, None)
            if own is not None and own is not inspect.getattr_static(BasePlugin, hook):
                found[hook] = getattr(self.sample, hook)
        return {hook: function for hook, function in found.items() if callable(function)}

    def options(self, plugin: Any) -> dict[str, Any]:
        """The values of its options as they are, secrets included."""
        if isinstance(plugin, ModuleType):
            return {}
        pairs = list(declared(type(plugin)))
        return {o.name: getattr(plugin, at) for o, at in pairs if at is not None and hasattr(plugin, at)}

    # Which checks make sense ----------------------------------------------------------------------------

    def needs_class(self) -> None:
        """Leave the check out for a module, which has no options and is not copied."""
        if self.is_module:
            raise DoesNotApply("the plugin is a module: it has no options, and there is one of it")

    def needs_hook(self, hook: str) -> None:
        """Leave the check out where the hook is not implemented."""
        if hook not in self.hooks:
            raise DoesNotApply(f"the plugin does not implement {hook}")

    def needs_observer(self) -> None:
        """Leave the check out for a plugin that may change results."""
        if self.essential:
            raise DoesNotApply("the plugin is essential: it may change results")

    def needs_others_executor(self) -> None:
        """Leave the check out for an executor, which has a kit of its own."""
        if self.is_executor:
            raise DoesNotApply("the plugin is an executor itself: test it with ExecutorConformance")

    # Running --------------------------------------------------------------------------------------------

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What this makes, made once for all checks that only look at it."""
        if name not in self._made:
            self._made[name] = make()
        found: T = self._made[name]
        return found

    def experiment(self, *plugins: Any, steps: Sequence[Any] = STEPS, **options: Any) -> Experiment:
        """A tiny experiment with these plugins; default with a new one of the plugin."""
        return make_tiny(list(plugins or (self.make(),)), steps=steps, **options)

    def plain(self, *, steps: Sequence[Any] = STEPS, **options: Any) -> Result:
        """The result without the plugin."""
        return make_tiny((), steps=steps, **options).run()

    def under(self, kind: str, **options: Any) -> Result:
        """The result with the plugin under two threads, or in two processes."""
        executor = {"thread": Threads, "process": Processes}[kind]()
        return self.experiment(self.make(), executor, **options).run()

    def watched_run(self) -> Sequence[Call]:
        """The calls of its hooks in a run in which steps succeed, fail, are skipped and are cached."""
        return self.once("watched", self._watch)

    def _watch(self) -> Sequence[Call]:
        shell, calls = watched(self.make(), self.name)
        for _ in range(2):  # the second time with a warm cache
            with contextlib.suppress(CrystallizeError):  # the call has what was raised
                self.experiment(shell, steps=EVERYTHING).run()
        return tuple(calls)

    @property
    def own_folders(self) -> list[Path]:
        """Where it may write: the folders that were given, and those that its options name."""
        named = [value for value in self.options(self.sample).values() if isinstance(value, (str, Path))]
        return [Path(value).absolute() for value in (*self.folders, *named) if str(value)]


_LISTS: Final = (tuple, list, set, frozenset)
