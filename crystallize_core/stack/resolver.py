"""One resolution: what was said and what is installed, looked at together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from crystallize_core.errors import ConfigurationError, PluginError, StackError, did_you_mean
from crystallize_core.errors import listed as all_listed
from crystallize_core.stack import discovery
from crystallize_core.stack.allowing import NOT_ALLOWED, Allowance, Shelf
from crystallize_core.stack.assigned import Assignments, with_texts
from crystallize_core.stack.attached import ActivePlugin, Skipped, Stack
from crystallize_core.stack.checking import plugin_name
from crystallize_core.stack.config import Environment, StackConfig, from_environment, look_for_config
from crystallize_core.stack.contract import warn_of_deprecated
from crystallize_core.stack.discovery import Installed
from crystallize_core.stack.files import load_file
from crystallize_core.stack.foreign import watched
from crystallize_core.stack.here import current_folder
from crystallize_core.stack.instances import Listed, is_path, listed
from crystallize_core.stack.layers import effective, owners
from crystallize_core.stack.making import Order, check_executor, plugins_in
from crystallize_core.stack.missing import no_executor, not_installed
from crystallize_core.stack.notices import tell
from crystallize_core.stack.origins import Origin
from crystallize_core.stack.overrides import overrides
from crystallize_core.stack.passed import passed_plugins
from crystallize_core.stack.together import put_together

__all__ = ["Resolver", "Survey"]

CORE_PARTS = ("cache",)
"""What `disable` can leave out besides plugins."""


@attrs.frozen
class Survey:
    """What a stack would be made of, also where something is wrong with it.

    Attributes:
        config: What counts, and who said it.
        plugins: What can be used; in the order of the stack where there is one.
        skipped: What cannot be used or is left out, with the reason.
        problems: Why an experiment that is made here would be refused; empty if it would not.
        idle: What the environment and the command line say in vain.

    """

    config: StackConfig
    plugins: tuple[ActivePlugin, ...]
    skipped: tuple[Skipped, ...]
    problems: tuple[str, ...]
    idle: tuple[str, ...]


@attrs.define
class Resolver:
    """One resolution.

    Attributes:
        config: What counts of what was said.
        environment: What the environment says.
        texts: Options that came as text.
        shelf: What is installed.
        asked_off: What the environment and the command line leave out, even of what was passed in Python.
        goes_on: Whether what was named and is broken is noted, where otherwise it would be raised.
        is_open: Whether more counts than what was passed in Python.
        unsound: Whether the configuration has mistakes, so that nothing is imported: it may name too much.
        unread: Whether a local file was not looked at, and it is not known what is in it.
        idle: What has no effect, in words.
        skipped: What is not used, and why.
        listed: What the list of plugins has, whether or not it is there.
        named: The names of plugins of local files.

    """

    config: StackConfig
    environment: Environment
    texts: Assignments
    shelf: Shelf
    problems: list[str]
    asked_off: frozenset[str]
    goes_on: bool = False
    is_open: bool = True
    unsound: bool = False
    unread: bool = False
    idle: list[str] = attrs.field(factory=list)
    skipped: list[Skipped] = attrs.field(factory=list)
    refused: ConfigurationError | None = None
    listed: set[str] = attrs.field(factory=set)
    named: set[str] = attrs.field(factory=set)

    @classmethod
    def here(
        cls, *, autoload: bool, config: StackConfig | None, environment: Environment | None, goes_on: bool = False
    ) -> Resolver:
        """With what the environment and the command line of this process say."""
        environment = environment or from_environment()
        problems: list[str] = []
        is_open = autoload and environment.autoload
        if not is_open:
            config = StackConfig(plugins=(), folder=current_folder())
            environment = Environment(environment.disable, strict=environment.strict, allow=environment.allow)
        elif config is None:
            config, problems = look_for_config()
        unsound = bool(problems)
        config = attrs.evolve(config, trace=config.trace.copy(), extends=() if unsound else config.extends)
        texts = Assignments(environment.options, overrides().options)
        told = texts.settings if is_open else {k: v for k, v in texts.settings.items() if k in ("disable", "allow")}
        shelf = Shelf(Allowance.of(config, environment, told.get("allow")))
        problems += texts.problems
        config = effective(config, environment, told, shelf, problems)
        texts.names = frozenset(listed(name).name for name in config.plugins or ()) | shelf.names()
        off = frozenset(
            name for said in config.trace.told(("disable",)) if said.origin.is_outside for name in said.value
        )
        return cls(config, environment, texts, shelf, problems, off, goes_on, is_open, unsound)

    def stack(self, given: list[Any], executor: Any) -> Stack:
        """The stack.

        Raises:
            StackError: What was asked for cannot be used; everything that is wrong with configurations is listed.

        """
        plugins, passed = self._everything(given, executor)
        self.refuse_problems()
        stack = self._put_together(plugins)
        self._report(stack, passed, executor)
        return stack

    def refuse_problems(self) -> None:
        """Raise what was found so far.

        Raises:
            ConfigurationError: All of it.

        """
        if self.problems:
            where = self.config.source or "the stack"
            message = f"{where}:" + "".join(f"\n  {line}" for line in all_listed(self.problems))
            raise ConfigurationError(message) from (self.refused and self.refused.__cause__)

    def _put_together(self, plugins: list[ActivePlugin]) -> Stack:
        return put_together(plugins, self.skipped, self.config, strict=self.environment.strict)

    def survey(self) -> Survey:
        """What the stack would be made of."""
        plugins, _ = self._everything([], None)
        try:
            plugins = list(self._put_together(plugins).plugins)
        except StackError as error:
            self.problems.append(str(error))
        idle = (*self.idle, *self.texts.idle(())) if not self.problems else ()
        return Survey(self.config, tuple(plugins), tuple(self.skipped), tuple(self.problems), idle)

    def _everything(self, given: list[Any], executor: Any) -> tuple[list[ActivePlugin], set[str]]:
        """All plugins, those that were passed behind the others; and the names of those that were passed."""
        if executor is not None and not isinstance(executor, str):
            check_executor(executor, plugin_name(executor)[0])
            given = [*given, executor]
        passed = passed_plugins(given, self.shelf)
        taken = {plugin.name for plugin in passed}
        passed = [plugin for plugin in passed if not self._left_out(plugin)]
        for plugin in passed:  # who asks where its options come from is to see what does not count
            with_texts(type(plugin.plugin), plugin.name, {}, self.texts.about(plugin.name), self.config.trace)
        if isinstance(executor, str):
            passed = [plugin for plugin in passed if not plugin.is_executor]
        found = self._installed_or_named(taken)
        if executor is not None:  # it takes the place of whatever the project has
            found = [plugin for plugin in found if not plugin.is_executor]
        self._trace_executor(executor, passed)
        chosen = executor if isinstance(executor, str) else self.config.executor
        if chosen is not None and not any(plugin.is_executor for plugin in passed):
            found += self._executor(chosen, self.asked_off if isinstance(executor, str) else self.config.disable)
        self._check_names({plugin.name for plugin in found} | taken)
        return [*found, *passed], taken

    def _trace_executor(self, executor: Any, passed: list[ActivePlugin]) -> None:
        own = next((plugin.name for plugin in passed if plugin.is_executor), None)
        name = executor if isinstance(executor, str) else own
        if name is not None:
            origin = Origin("argument", f"{'plugins' if executor is None else 'executor'}= in Python")
            self.config.trace.replace(("executor",), name, origin)

    # What the project says ----------------------------------------------------------------------

    def _installed_or_named(self, taken: set[str]) -> list[ActivePlugin]:
        available, forbidden = self.shelf.allowed(discovery.PLUGINS), self.shelf.forbidden(discovery.PLUGINS)
        everything = self.config.plugins is None
        if everything:
            self.skipped += [Skipped(name, owners(items), NOT_ALLOWED) for name, items in forbidden.items()]
        entries = [Listed(n, n) for n in sorted(available)] if everything else map(listed, self.config.plugins or ())
        found: list[ActivePlugin] = []
        for entry in entries:
            self.listed |= {entry.name, entry.text}
            candidates = available.get(entry.plugin)
            if entry.problem is not None:
                self.problems.append(entry.problem)
            elif entry.name in taken:
                continue
            elif {entry.name, entry.text} & {*self.config.disable}:
                self.unread |= is_path(entry.plugin) and not everything
                self.skipped.append(Skipped(entry.name, owners(candidates), "disabled"))
            elif is_path(entry.plugin) and not everything:
                found += self._local(entry, taken)
            elif candidates is not None:
                found += self._entry_point(entry, candidates, optional=everything)
            elif entry.plugin in forbidden:
                refusal = self.shelf.allowance.refusal(f"plugin {entry.plugin!r}", forbidden[entry.plugin])
                self.problems.append(f"plugins: {refusal}")
            else:
                self.problems.append(not_installed(entry.plugin, available))
        return found

    def _entry_point(
        self, entry: Listed, candidates: list[Installed], *, optional: bool, more: Mapping[str, Any] | None = None
    ) -> list[ActivePlugin]:
        """The plugin of that name; where it cannot be used, the reason is kept or raised."""
        name, item = entry.name, candidates[0]
        if self.unsound:
            return []
        try:
            if len(candidates) > 1:
                message = (
                    f"plugin name {name!r} is shipped by {owners(candidates)}; uninstall one, or disable = [{name!r}]"
                )
                raise PluginError(message, plugin=name)
            instance_of = None if entry.alias is None else entry.plugin
            order = self._order(entry, name, more or {}, asked=not optional, needs=item.bound_on_core)
            with watched(name, item.value, owners(candidates)):
                plugin = order.made(item.load())
                found = ActivePlugin(name, plugin, "entry point", item.distribution, item.version, instance_of)
        except ConfigurationError as error:
            self._refuse(error)
            return []
        except StackError as error:
            if len(candidates) == 1:
                error.address = {"distribution": owners(candidates), **error.address}
            asked = not optional or self.environment.strict
            self._broken(name, owners(candidates), error, asked=asked, place=item.place)
            return []
        return [found]

    def _order(
        self, entry: Listed, name: str, more: Mapping[str, Any], *, asked: bool, needs: Callable[[], str] = str
    ) -> Order:
        options = {**self.config.options.get(name, {}), **more}
        return Order(name, options, self.texts.of(name), self.config.trace, asked, entry.alias is not None, needs)

    def _refuse(self, error: ConfigurationError) -> None:
        """Keep what is wrong with the options of one plugin, to be told together with the rest."""
        self.refused = self.refused or error
        if error.message not in self.problems:  # it may be about what all of them stand on
            self.problems.append(error.message)

    def _broken(
        self, name: str, distribution: str | None, error: StackError, *, asked: bool, place: str | None = None
    ) -> None:
        """Keep why a plugin cannot be used; raise it where the plugin was asked for."""
        if asked and not self.goes_on:
            raise error
        if asked:
            self.problems.append(str(error))
        self.skipped.append(Skipped(name, distribution, str(error), error, place))

    def _local(self, entry: Listed, taken: set[str]) -> list[ActivePlugin]:
        if self.unsound:
            self.unread = True
            return []
        path = self.config.folder / entry.plugin
        try:
            with watched(entry.name, str(path), None):
                plugins = plugins_in(load_file(path))
        except StackError as error:
            self.unread = True
            self._broken(entry.name, None, error, asked=True)
            return []
        if not plugins:
            self.problems.append(f"{path} has no plugin: no @hookimpl function and no BasePlugin subclass")
        if entry.alias is not None and len(plugins) > 1:
            names = ", ".join(repr(own) for own, _ in plugins)
            self.problems.append(f"plugins: {entry.text!r}: one name for several plugins, the file has {names}")
            return []
        found = []
        for own, plugin in plugins:
            name = own if entry.alias is None else entry.alias
            self.named.add(name)
            if name in taken:
                continue
            if name in self.config.disable:
                self.skipped.append(Skipped(name, None, "disabled"))
                continue
            found += self._of_file(entry, name, own, plugin, path)
        return found

    def _of_file(self, entry: Listed, name: str, own: str, plugin: Any, path: Path) -> list[ActivePlugin]:
        try:
            with watched(name, str(path), None):
                made = self._order(entry, name, {}, asked=True).made(plugin)
                active = ActivePlugin(name, made, str(path), instance_of=None if entry.alias is None else own)
        except ConfigurationError as error:
            self._refuse(error)
            return []
        except StackError as error:
            error.address = {"file": str(path), **error.address}
            self._broken(name, None, error, asked=True)
            return []
        return [active]

    def _executor(self, name: str, disabled: Iterable[str]) -> list[ActivePlugin]:
        kind, _, address = name.partition("://")
        available, forbidden = self.shelf.allowed(discovery.EXECUTORS), self.shelf.forbidden(discovery.EXECUTORS)
        if kind in forbidden:
            self.problems.append(self.shelf.allowance.refusal(f"executor {kind!r}", forbidden[kind]))
            return []
        if kind not in available:
            self.problems.append(no_executor(kind, available))
            return []
        if kind in disabled:
            self.skipped.append(Skipped(kind, owners(available[kind]), "disabled"))
            return []
        more = {"address": name} if address else {}
        found = self._entry_point(Listed(kind, kind), available[kind], optional=False, more=more)
        try:
            for plugin in found:
                check_executor(plugin.plugin, kind, owners(available[kind]))
        except StackError as error:
            self._broken(kind, owners(available[kind]), error, asked=True)
            return []
        return found

    # What was passed ----------------------------------------------------------------------------

    def _left_out(self, plugin: ActivePlugin) -> bool:
        """Whether the environment or the command line leaves out what was passed in Python."""
        if plugin.name not in self.asked_off:
            return False
        version = f"{plugin.distribution} {plugin.version}" if plugin.distribution else None
        self.skipped.append(Skipped(plugin.name, version, "disabled"))
        return True

    # Names, and what has no effect --------------------------------------------------------------

    def _check_names(self, active: set[str]) -> None:
        """Find names of nothing: of options, and of what is to be left out."""
        if not self.is_open or self.unread:  # what was not looked at may have these names
            return
        known = {*active, *self.named, *self.shelf.names()}
        for name in self.config.options:
            if name not in known and name not in self.listed:
                hint = did_you_mean(name, known, listing="known")
                self.problems.append(f"options.{name}: there is no plugin {name!r}; {hint}")
        self.problems += self.texts.of_nobody(known, self.listed)
        for said in self.config.trace.told(("disable",)):
            for name in said.value:
                if name not in known and name not in self.listed and name not in CORE_PARTS:
                    hint = did_you_mean(name, known | {*CORE_PARTS}, listing="known")
                    self._nothing_to_disable(said.origin, name, hint)

    def _nothing_to_disable(self, origin: Origin, name: str, hint: str) -> None:
        if origin.kind in ("file", "profile"):
            self.problems.append(f"disable: there is no plugin {name!r}; {hint}")
        elif origin.is_outside:  # of what is passed in Python, another experiment may have it
            self.idle.append(f"{origin} has no effect on {name!r}: there is no plugin of this name; {hint}")

    def _report(self, stack: Stack, passed: set[str], executor: Any) -> None:
        chosen = None if executor is not None else overrides().executor
        self.idle += self.texts.idle(passed, chosen and chosen.partition("://")[0])
        said = [name for name in ("executor", "plugins") if name in self.texts.settings]
        if not self.is_open:
            self.idle += [f"-o {name} has no effect: only what was passed in Python counts here" for name in said]
        elif executor is not None and "executor" in said:
            self.idle.append("-o executor has no effect: an executor was passed in Python, which counts more")
        tell(self.skipped, self.idle)
        for plugin in stack:
            warn_of_deprecated(plugin)
