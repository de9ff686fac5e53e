"""What `crystallize plugins list` shows: each plugin is looked at on its own, so that a broken one hides no other.

Only what the stack names is imported, and what is asked for by name; of the others there is what their metadata says.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from crystallize_core.errors import CrystallizeError, describe
from crystallize_core.stack.allowing import NOT_ALLOWED, Allowance
from crystallize_core.stack.attached import ActivePlugin, Stack
from crystallize_core.stack.checking import hooks_of
from crystallize_core.stack.config import Environment, StackConfig, from_environment
from crystallize_core.stack.discovery import EXECUTORS, PLUGINS, Installed, installed
from crystallize_core.stack.files import load_file
from crystallize_core.stack.foreign import PluginSideEffectWarning, watched
from crystallize_core.stack.instances import is_path, listed
from crystallize_core.stack.resolve import resolve, survey

__all__ = ["Catalog", "Entry", "Found", "Here", "catalog", "reason_of"]

Status = Literal[
    "active", "broken", "disabled", "duplicate", "not active", "not allowed", "not chosen", "not in the stack"
]
_GROUPS: Final = (("plugin", PLUGINS), ("executor", EXECUTORS))


@attrs.frozen
class Entry:
    """One plugin.

    Attributes:
        name: Its name in stacks.
        kind: `plugin`, `executor` or `local`.
        distribution, version: What it was installed with; None for a local one.
        origin: What its entry point refers to, or its file.
        hooks: The hooks that it implements; none where it cannot be imported, or was not, because the stack does not
            name it.
        status: Whether an experiment that is made here uses it, and why not, in a word or two.
        reason: The reason in full, where the status does not say it all.
        instance_of: The plugin that it is an instance of, where it has another name; else None.

    """

    name: str
    kind: str
    distribution: str | None
    version: str | None
    origin: str
    hooks: tuple[str, ...]
    status: Status
    reason: str | None = None
    instance_of: str | None = None

    @property
    def active(self) -> bool:
        """Whether an experiment that is made here uses it."""
        return self.status == "active"


@attrs.frozen
class Catalog:
    """All plugins, the active ones first and in the order of the stack.

    Attributes:
        configuration: Where the stack of this folder is configured; None where it is not.
        error: Why an experiment that is made here would be refused; None if it would not.
        plugins: The plugins.

    """

    configuration: str | None
    error: str | None
    plugins: tuple[Entry, ...]


def catalog() -> Catalog:
    """Every entry point of plugins and executors, and the local plugins of the stack."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is skipped is listed with its reason
        warnings.simplefilter("default", PluginSideEffectWarning)
        here = Here.found()
        entries = [found.entry for found in here.everything()]
    places = {name: at for at, name in enumerate(here.order)}
    entries.sort(key=lambda entry: (not entry.active, places.get(entry.name, 0), entry.name, entry.distribution or ""))
    return Catalog(here.config.source, here.error, tuple(entries))


@attrs.frozen
class Found:
    """One plugin, with what there is to look at.

    Attributes:
        entry: What is known about it.
        installed: Its entry point; None for a local one.
        loaded: What its entry point or its file has: a class, an object or a module; None where it was not imported.
        plugin: What stands in the stack; None where it does not.

    """

    entry: Entry
    installed: Installed | None = None
    loaded: Any = None
    plugin: ActivePlugin | None = None


@attrs.frozen
class Here:
    """The stack of the current folder, as far as there is one.

    Attributes:
        config: What the project says; nothing where it cannot be read.
        environment: What the environment variables say.
        stack: The plugins that an experiment would get; None where it would be refused.
        error: Why it would be refused.
        allowance: The distributions of which something may be imported.
        wanted: The name of a plugin that is imported although the stack does not name it, if it is allowed.

    """

    config: StackConfig
    environment: Environment
    stack: Stack | None
    error: str | None
    allowance: Allowance
    wanted: str | None = None

    @classmethod
    def found(cls, wanted: str | None = None) -> Here:
        """What there is, whatever is wrong with it."""
        config, environment, allowance = StackConfig(), Environment(), Allowance()
        try:
            environment = from_environment()
            allowance = Allowance.here(StackConfig(), environment)
            stack = resolve(environment=environment)
            config = stack.config or config
            return cls(config, environment, stack, None, Allowance.here(config, environment), wanted)
        except CrystallizeError as error:
            text = str(error)
        except Exception as error:  # noqa: BLE001 - a stranger's plugin may fail in any way while it is made
            text = describe(error)
        with contextlib.suppress(Exception):  # where there is no stack, what can be read of the configuration
            config = survey(environment=environment).config
            allowance = Allowance.here(config, environment)
        return cls(config, environment, None, text, allowance, wanted)

    @property
    def order(self) -> list[str]:
        """The names of the active plugins in their order."""
        return [plugin.name for plugin in self.stack or ()]

    def everything(self) -> list[Found]:
        """Every plugin and executor that is installed, and the local ones."""
        return [*self.installed(), *self.local()]

    # What is installed --------------------------------------------------------------------------

    def installed(self) -> list[Found]:
        """The entry points of plugins and executors."""
        found = []
        for kind, group in _GROUPS:
            by_name: dict[str, list[Installed]] = {}
            for item in installed(group):
                by_name.setdefault(item.name, []).append(item)
            found += [one for same in by_name.values() for item in same for one in self._found(kind, item, same)]
        return found

    def _found(self, kind: str, item: Installed, same: Sequence[Installed]) -> list[Found]:
        """The instances that the stack has of it; where it has none, itself with the reason."""
        about = kind, item.distribution, item.version, item.value
        if not self.allowance.permits(item.distribution):
            refusal = self.allowance.refusal(f"{kind} {item.name!r}", [item])
            return [Found(Entry(item.name, *about, (), NOT_ALLOWED, refusal), item)]
        same = [other for other in same if self.allowance.permits(other.distribution)]
        active = [plugin for plugin in self.stack or () if _is_made_of(plugin, item)]
        looks = not active and len(same) == 1 and self._would_have(kind, item.name)
        wanted = self.wanted in (item.name, *(plugin.name for plugin in active))
        loaded, hooks, problem = _looked_at(item) if looks or wanted else (None, (), None)
        if active:
            return [Found(_active(plugin, *about), item, loaded, plugin) for plugin in active]
        status, reason = self._status(kind, item, same, problem)
        return [Found(Entry(item.name, *about, hooks, status, reason), item, loaded)]

    def _would_have(self, kind: str, name: str) -> bool:
        """Whether a stack that is refused would have this plugin, as far as that is known."""
        config = self.config
        if self.stack is not None or not self.environment.autoload or name in config.disable:
            return False
        if kind == "executor":
            return config.executor is not None and name == config.executor.partition("://")[0]
        return config.plugins is None or name in {listed(text).plugin for text in config.plugins}

    def _status(
        self, kind: str, item: Installed, same: Sequence[Installed], problem: str | None
    ) -> tuple[Status, str | None]:
        if item.name in self.config.disable:
            return "disabled", self._who_disabled(item.name)
        if len(same) > 1:
            owners = " and ".join(f"{other.distribution} {other.version}" for other in same)
            return "duplicate", f"shipped by {owners}; uninstall one of them, or disable = [{item.name!r}]"
        if problem is not None:
            return "broken", problem
        return self._left_out(kind, item.name)

    def _left_out(self, kind: str, name: str) -> tuple[Status, str | None]:
        """Why a plugin that could be used is not."""
        if self.stack is None:
            return "not active", None  # the catalog has the error
        skipped = next((s for s in self.stack.skipped if s.name == name), None)
        if skipped is not None and skipped.error is not None:
            return "broken", skipped.reason
        if kind == "executor":
            return "not chosen", None
        if not self.environment.autoload:
            return "not in the stack", "CRYSTALLIZE_AUTOLOAD is off"
        return "not in the stack", f"{self._who_said('plugins')} does not name it"

    def _who_disabled(self, name: str) -> str:
        if name in self.environment.disable:
            return "disabled by CRYSTALLIZE_DISABLE"
        said = self._who_said("disable", name)
        return f"disabled {'in' if said == str(self.config.source) else 'by'} {said}"

    def _who_said(self, setting: str, name: str | None = None) -> str:
        """Who said a setting, or had this name in it."""
        told = self.config.trace.told((setting,))
        found = next((one.origin for one in told if name is None or name in one.value), None)
        return str(self.config.source) if found is None or found.kind in ("file", "profile") else str(found)

    # What lies beside the configuration ---------------------------------------------------------

    def local(self) -> list[Found]:
        """The plugins of local files: as they are in the stack, or by file where there is no stack."""
        if self.stack is None:
            paths = [listed(name).plugin for name in self.config.plugins or ()]
            return [_local_file(self.config.folder / path) for path in dict.fromkeys(paths) if is_path(path)]
        return [
            Found(_active(plugin, "local", None, None, plugin.origin), None, plugin.plugin, plugin)
            for plugin in self.stack
            if plugin.origin != "entry point"
        ]


def _active(plugin: ActivePlugin, kind: str, distribution: str | None, version: str | None, origin: str) -> Entry:
    """What stands in the stack."""
    hooks = tuple(plugin.hooks)
    return Entry(plugin.name, kind, distribution, version, origin, hooks, "active", instance_of=plugin.instance_of)


def _local_file(path: Path) -> Found:
    status: Status = "not active"
    reason = loaded = None
    try:
        loaded = load_file(path)
    except CrystallizeError as error:
        status, reason = "broken", str(error)
    return Found(Entry(path.stem, "local", None, None, str(path), (), status, reason), None, loaded)


def reason_of(error: BaseException) -> str:
    """What an error says; its type too, where it is none of ours."""
    return str(error) if isinstance(error, CrystallizeError) else describe(error)


def _hooks(loaded: Any, name: str) -> tuple[str, ...]:
    """The hooks of what an entry point refers to; a class is not called, as its options are not known here."""
    plugin = object.__new__(loaded) if isinstance(loaded, type) else loaded
    found: Mapping[str, Any] = hooks_of(plugin, name)
    return tuple(found)


def _looked_at(item: Installed) -> tuple[Any, tuple[str, ...], str | None]:
    """What an entry point refers to, its hooks, and what is wrong with it."""
    loaded: Any = None
    try:
        with watched(item.name, item.value, f"{item.distribution} {item.version}"):
            loaded = item.load()
            return loaded, _hooks(loaded, item.name), None
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it is what is to be listed
        return loaded, (), reason_of(error)


def _is_made_of(plugin: ActivePlugin, item: Installed) -> bool:
    is_of_it = (plugin.instance_of or plugin.name, plugin.distribution) == (item.name, item.distribution)
    return plugin.origin == "entry point" and is_of_it
