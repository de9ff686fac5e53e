"""The stack of a project as far as it is known before any plugin is imported, and the lock of the whole of it.

Entry points, versions, files and the tables of the configuration are read, and nothing of them runs. Only a stack that
a distribution ships (`extends`) has to be imported to know what it names.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from crystallize_core.errors import LockError
from crystallize_core.stack import discovery
from crystallize_core.stack.attached import ActivePlugin, Stack
from crystallize_core.stack.config import Environment, StackConfig, find_config, from_environment
from crystallize_core.stack.contract import contract_of
from crystallize_core.stack.declared import MASK, SECRET, options_of
from crystallize_core.stack.discovery import Installed
from crystallize_core.stack.instances import is_path, listed
from crystallize_core.stack.lock.contents import digest_of, file_digest, files_of
from crystallize_core.stack.lock.distributions import closure, name_of, source_of, version_of
from crystallize_core.stack.lock.document import LOCK_FILE, SHORT, Lock, LockedDistribution, LockedPlugin
from crystallize_core.stack.lock.markers import normalized, parse
from crystallize_core.stack.lock.toml import plain
from crystallize_core.stack.options import values_of
from crystallize_core.stack.resolve import outline, resolve
from crystallize_core.version import version

__all__ = ["Planned", "Project", "distributions_of", "lock_of", "locked_plugin", "roots_of"]

CORE = "crystallize-core"


@attrs.define
class Project:
    """What a project says, and where.

    Attributes:
        config: The configuration, as it is written there.
        environment: What the environment variables say.
        profile: The profile that was applied; None for none.

    """

    config: StackConfig
    environment: Environment
    profile: str | None
    _planned: Planned | None = attrs.field(default=None, init=False, repr=False, eq=False)

    @classmethod
    def found(cls, config: StackConfig | None = None, environment: Environment | None = None) -> Project:
        """The project of the current folder.

        Raises:
            ConfigurationError: The configuration cannot be read.

        """
        found = config or find_config()
        profile = next((said.value for said in found.trace.told(("profile",))), None)
        return cls(found, environment or from_environment(), profile)

    @property
    def folder(self) -> Path:
        """The folder of the configuration; the current one where there is none."""
        return self.config.folder

    @property
    def lock_file(self) -> Path:
        """Where the lock is."""
        return self.folder / LOCK_FILE

    def planned(self) -> Planned:
        """What the stack is going to be made of; imports the stacks that it extends, and nothing else.

        Raises:
            ConfigurationError: A stack that it extends cannot be used.

        """
        if self._planned is None:
            self._planned = self._plan()
        return self._planned

    def _plan(self) -> Planned:
        config, shelf, texts = outline(self.config, self.environment)
        available = shelf.allowed(discovery.PLUGINS)
        everything = map(listed, sorted(available) if config.plugins is None else config.plugins)
        entries = [entry for entry in everything if not {entry.name, entry.text} & {*config.disable}]
        points = {e.name: available[e.plugin] for e in entries if e.plugin in available and not is_path(e.plugin)}
        files = tuple(_relative(entry.plugin) for entry in entries if is_path(entry.plugin))
        executor = config.executor.partition("://")[0] if config.executor else None
        if executor is not None:
            points[executor] = shelf.allowed(discovery.EXECUTORS).get(executor, [])
        as_text = {name: frozenset(path[0] for path, _ in texts.of(name)) for name in points}
        stacks = tuple(_extended(self.config.extends, shelf.allowed(discovery.STACKS)))
        return Planned(config, points, files, executor, tuple(sorted(config.disable)), as_text, stacks)

    def configured(self, config: StackConfig, plugin: str) -> dict[str, Any]:
        """The options of a plugin as files and stacks write them."""
        said = {name: plain(value, self.folder) for name, value in config.options.get(plugin, {}).items()}
        return {name: value for name, value in said.items() if value is not None}


@attrs.frozen
class Planned:
    """What a stack is going to be made of.

    Attributes:
        config: What counts of what was said: the configuration over the stacks that it extends, and under what the
            environment and the command line say.
        points: The entry points of each name; several where several distributions ship it.
        files: The paths of the local files, relative to the project.
        executor: The name of the executor; None for none.
        disabled: The names that are left out.
        as_text: The options of each name that the environment or the command line gives as text; what it means is known
            when the plugin is there.
        stacks: The stacks that are extended, directly or not.

    """

    config: StackConfig
    points: Mapping[str, list[Installed]]
    files: tuple[str, ...]
    executor: str | None
    disabled: tuple[str, ...]
    as_text: Mapping[str, frozenset[str]]
    stacks: tuple[Installed, ...]


def _extended(names: Iterable[str], shipped: Mapping[str, list[Installed]]) -> Iterator[Installed]:
    """The stacks of these names and those that they extend; there are no circles, and all of them are imported."""
    for name in names:
        for item in shipped[name]:
            yield item
            yield from _extended(item.load().get("extends", ()), shipped)


def _relative(name: str) -> str:
    return Path(os.path.normpath(name)).as_posix()


# --- the lock of what is here ----------------------------------------------------------------------------


def lock_of(project: Project, also: Iterable[str] = ()) -> Lock:
    """The lock of the stack that an experiment would get here; imports its plugins.

    Args:
        project, also: What is locked, and requirements besides it, such as `pandas`.

    Raises:
        StackError: The stack cannot be made.
        LockError: The distribution of a plugin cannot be read, or a requirement is not installed.

    """
    stack = resolve(config=project.config, environment=attrs.evolve(project.environment, locked=False))
    planned = project.planned()
    owners = {*roots_of(planned), *(entry.distribution for entry in stack if entry.distribution)}
    extra = tuple(sorted({*also}))
    distributions = distributions_of(owners, extra, project.folder)
    _refuse_missing(stack, extra, distributions)
    return Lock(
        python=".".join(map(str, sys.version_info[:2])),
        python_full=platform.python_version(),
        core=version(),
        profile=project.profile,
        extends=project.config.extends,
        executor=stack.executor.name if stack.executor is not None else None,
        disable=planned.disabled,
        broken=_broken(stack),
        also=extra,
        plugins=tuple(locked_plugin(project, planned, entry) for entry in stack),
        local={file: file_digest(project.folder / file) for file in planned.files},
        distributions=distributions,
    )


def _refuse_missing(stack: Stack, also: Iterable[str], found: Mapping[str, LockedDistribution]) -> None:
    """Refuse what would not be covered."""
    problems = [
        f"plugin {entry.name!r} cannot be locked: the metadata of its distribution {entry.distribution!r} cannot be read"
        for entry in stack
        if entry.distribution is not None and (entry.version == "?" or normalized(entry.distribution) not in found)
    ]
    for text in also:
        needed = parse(text)
        if needed is None or needed.name not in found:
            problems.append(f"{text!r} cannot be locked: it is not installed")
    if problems:
        raise LockError("\n  ".join(problems))


def _broken(stack: Stack) -> tuple[str, ...]:
    return tuple(sorted(skipped.name for skipped in stack.skipped if skipped.error is not None))


def roots_of(planned: Planned) -> list[str]:
    """The normalized names of the distributions that a stack is made of: the core, its plugins, and stacks that it extends."""
    points = [item for found in planned.points.values() for item in found]
    return sorted({CORE, *(normalized(item.distribution) for item in (*points, *planned.stacks))})


def distributions_of(owners: Iterable[str], also: Iterable[str], folder: Path) -> dict[str, LockedDistribution]:
    """The distributions of a stack with their files, and without files those that they need.

    Args:
        owners: The names of the distributions that it is made of.
        also: Further requirements.
        folder: What local paths are written relative to.

    """
    own = {normalized(owner) for owner in owners}
    found = {}
    for name, member in closure([*sorted(own), *also], all_extras=own).items():
        distribution = member.distribution
        counts = name in own or _ships_plugins(distribution)
        files = files_of(distribution) if counts else {}
        found[name] = LockedDistribution(
            name=name_of(distribution, name),
            version=version_of(distribution),
            source=source_of(distribution, folder),
            marker=member.marker,
            digest=digest_of(files) if counts else "",
            files={file: digest[:SHORT] for file, digest in files.items()},
        )
    return found


def _ships_plugins(distribution: Any) -> bool:
    """Whether an executor of it may be asked for, say."""
    try:
        return any(point.group.startswith("crystallize.") for point in distribution.entry_points)
    except Exception:  # noqa: BLE001 - damaged metadata of a stranger may fail in any way
        return False


def locked_plugin(project: Project, planned: Planned, entry: ActivePlugin) -> LockedPlugin:
    """What a lock says of a plugin; secrets are left out."""
    said, options = project.configured(planned.config, entry.name), _options(entry, project.folder)
    if entry.origin == "entry point":
        points = planned.points.get(entry.name, ())
        point = next((item.value for item in points if item.distribution == entry.distribution), None)
        where: dict[str, Any] = {"distribution": entry.distribution, "entry_point": point}
    else:
        where = {"file": _relative(os.path.relpath(entry.origin, project.folder))}
    return LockedPlugin(
        entry.name,
        contract=contract_of(entry.plugin),
        configured=_masked(said, options, entry.plugin),
        options=options,
        **where,
    )


def _options(entry: ActivePlugin, folder: Path) -> dict[str, Any]:
    said = {name: plain(value, folder) for name, value in values_of(entry.plugin).items()}
    return {name: value for name, value in said.items() if value is not None}


def _masked(said: Mapping[str, Any], options: Mapping[str, Any], plugin: Any) -> dict[str, Any]:
    """What the project writes, without what the options in effect hide."""
    declared = options_of(type(plugin))
    hidden = {name for name in said if SECRET.search(name) or (name in declared and declared[name].secret)}
    return {name: MASK if name in hidden else _like(value, options.get(name)) for name, value in said.items()}


def _like(said: Any, shown: Any) -> Any:
    if shown == MASK:
        return MASK
    if isinstance(said, Mapping):
        below = shown if isinstance(shown, Mapping) else {}
        return {key: MASK if SECRET.search(key) else _like(value, below.get(key)) for key, value in said.items()}
    if isinstance(said, list):
        others = shown if isinstance(shown, list) and len(shown) == len(said) else [None] * len(said)
        return [_like(value, other) for value, other in zip(said, others, strict=True)]
    return said
