"""How what is here differs from what a lock says, in words.

First everything that can be told without importing a plugin; only where none of that differs, and so nothing is
imported that was not locked, the plugins themselves are asked for their order and their options.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import attrs

from crystallize_core.stack.attached import Stack
from crystallize_core.stack.declared import MASK
from crystallize_core.stack.lock.contents import digest_of, file_digest, files_of
from crystallize_core.stack.lock.distributions import closure, installed_distribution, version_of
from crystallize_core.stack.lock.document import SHORT, Lock, LockedDistribution, LockedPlugin
from crystallize_core.stack.lock.project import Planned, Project, locked_plugin, roots_of
from crystallize_core.stack.lock.toml import shown
from crystallize_core.version import version

__all__ = ["Difference", "before_import", "of_stack"]

MOST_FILES: Final = 10
"""So many files of one distribution are named in a message."""


@attrs.frozen
class Difference:
    """One thing that is not as it was locked.

    Attributes:
        kind: What it is about: `python`, `core`, `profile`, `extends`, `distribution`, `files`, `local`, `plugin`,
            `executor`, `disable`, `option` or `order`.
        name: Of which distribution, plugin, file or option; empty where there is only one.
        locked: What the lock says; None for nothing.
        here: What was found; None for nothing.
        text: The difference in one line.

    """

    kind: str
    name: str
    locked: Any
    here: Any
    text: str


def _difference(kind: str, name: str, locked: Any, here: Any) -> Difference:
    what = f"{kind} {name}".strip() if kind in ("distribution", "plugin", "option", "local") else name or kind
    nothing = "none" if kind in ("profile", "executor", "extends", "disable") else "nothing"
    text = f"{what}: {_said(locked, nothing)} is locked, {_said(here, nothing)} is here"
    return Difference(kind, name, locked, here, text)


def _said(value: Any, nothing: str) -> str:
    if value is None or value in ((), []):
        return nothing
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


# --- without importing a plugin --------------------------------------------------------------------------


def before_import(lock: Lock, project: Project) -> list[Difference]:
    """Everything that differs, as far as it can be told before any plugin is imported."""
    found = [*_of_surroundings(lock, project), *_of_distributions(lock), *_of_local_files(lock, project)]
    if found and project.config.extends:
        return found  # what such a stack names is known when it is imported, and it may be what differs
    planned = project.planned()
    found += _of_plan(lock, planned)
    found += [d for plugin in lock.plugins for d in _of_configuration(plugin, project, planned)]
    return [*found, *_of_additions(lock, planned)]


def _of_surroundings(lock: Lock, project: Project) -> Iterator[Difference]:
    here = ".".join(map(str, sys.version_info[:2]))
    pairs = (
        ("python", "Python", lock.python, here),
        ("profile", "", lock.profile, project.profile),
        ("extends", "", lock.extends, tuple(project.config.extends)),
    )
    for kind, name, locked, found in pairs:
        if locked != found:
            yield _difference(kind, name, locked, found)
    if lock.core != version() and "crystallize-core" not in lock.distributions:
        yield _difference("core", "crystallize-core", lock.core, version())


def _of_distributions(lock: Lock) -> Iterator[Difference]:
    """What is another version, gone, or has other files."""
    for locked in lock.distributions.values():
        distribution = installed_distribution(locked.name)
        if distribution is None:
            if not locked.marker:
                yield _difference("distribution", locked.name, locked.version, None)
            continue
        here = version_of(distribution)
        if here != locked.version:
            yield _difference("distribution", locked.name, locked.version, here)
        elif locked.digest:
            yield from _of_files(locked, files_of(distribution))


def _of_files(locked: LockedDistribution, files: Mapping[str, str]) -> Iterator[Difference]:
    here = digest_of(files)
    if here == locked.digest:
        return
    short = {file: digest[:SHORT] for file, digest in files.items()}
    changed = sorted(f for f in short.keys() & locked.files.keys() if short[f] != locked.files[f])
    groups = {
        "changed": changed,
        "gone": sorted(locked.files.keys() - short),
        "new": sorted(short.keys() - locked.files),
    }
    words = "; ".join(f"{word}: {_named(names)}" for word, names in groups.items() if names)
    text = f"distribution {locked.name}: version {locked.version} as locked, but its files are not; {words}"
    yield Difference("files", locked.name, locked.digest, here, text)


def _named(files: list[str]) -> str:
    more = f" and {len(files) - MOST_FILES} more" if len(files) > MOST_FILES else ""
    return ", ".join(files[:MOST_FILES]) + more


def _of_local_files(lock: Lock, project: Project) -> Iterator[Difference]:
    for file, digest in lock.local.items():
        here = file_digest(project.folder / file)
        if here != digest:
            what = "its text is not the one that was locked" if here else "it is locked, and is not there"
            yield Difference("local", file, digest, here or None, f"local file {file}: {what}")


def _of_additions(lock: Lock, planned: Planned) -> Iterator[Difference]:
    """What the stack needs here and did not need when it was locked."""
    owners, also = roots_of(planned), lock.also
    for name, member in closure([*owners, *also], all_extras=owners).items():
        if name not in lock.distributions and not member.marker:
            yield _difference("distribution", name, None, version_of(member.distribution))


def _of_plan(lock: Lock, planned: Planned) -> Iterator[Difference]:
    """Which plugins there are, and what of."""
    locked = {plugin.name: plugin for plugin in lock.plugins if plugin.file is None}
    for name in sorted({*locked, *planned.points} - {*lock.broken}):
        points = planned.points.get(name, [])
        here = " and ".join(f"{point.value} of {point.distribution}" for point in points) or None
        plugin = locked.get(name)
        then = None if plugin is None else f"{plugin.entry_point} of {plugin.distribution}"
        if here != then:
            yield _difference("plugin", name, then, here)
    for file in sorted({*planned.files} - {*lock.local}):
        yield Difference("local", file, None, file, f"local file {file}: the stack names it, and the lock does not")
    for file in sorted({*lock.local} - {*planned.files}):
        yield Difference(
            "local", file, file, None, f"local file {file}: the lock has it, and the stack does not name it"
        )
    if planned.executor != lock.executor and not (planned.executor is None and _is_plugin(lock, planned)):
        yield _difference("executor", "", lock.executor, planned.executor)
    if lock.disable != planned.disabled:
        yield _difference("disable", "", lock.disable, planned.disabled)


def _is_plugin(lock: Lock, planned: Planned) -> bool:
    """Whether the locked executor is one of the plugins of the stack, and not named by `executor =`."""
    is_local = any(plugin.name == lock.executor and plugin.file is not None for plugin in lock.plugins)
    return is_local or lock.executor in planned.points


def _of_configuration(plugin: LockedPlugin, project: Project, planned: Planned) -> Iterator[Difference]:
    """The options that the project writes otherwise than it did."""
    here = project.configured(planned.config, plugin.name)
    for name in sorted({*here, *plugin.configured} - planned.as_text.get(plugin.name, frozenset())):
        written, now = plugin.configured.get(name), here.get(name)
        if not (_same(written, now) or (now is not None and _same(plugin.options.get(name), now))):
            yield _of_option(plugin.name, name, plugin.options.get(name, written), now)


def _of_option(plugin: str, option: str, locked: Any, here: Any) -> Difference:
    name = f"{plugin}.{option}"
    return Difference("option", name, locked, here, f"option {name}: {shown(locked)} is locked, {shown(here)} is here")


def _same(locked: Any, here: Any) -> bool:
    """Whether two values are the same; secrets are in no lock, and so are not compared."""
    if locked == MASK:
        return here is not None
    if isinstance(locked, Mapping) and isinstance(here, Mapping):
        return locked.keys() == here.keys() and all(_same(value, here[key]) for key, value in locked.items())
    if isinstance(locked, list) and isinstance(here, list):
        return len(locked) == len(here) and all(map(_same, locked, here))
    return repr(locked) == repr(here)  # 1 and True, 1 and 1.0 are not the same


# --- with the plugins ------------------------------------------------------------------------------------


def of_stack(lock: Lock, project: Project, stack: Stack, *, executor_given: bool = False) -> list[Difference]:
    """What differs once the plugins are made: their order, and the options in effect.

    Args:
        lock: What was locked.
        project: The project.
        stack: The stack. Plugins that were passed in Python belong to the experiment, not to the project, and are left
            out with those of the project that they replace.
        executor_given: Whether the caller chose another executor.

    """
    passed = {plugin.name for plugin in stack if plugin.origin == "argument"}
    planned = project.planned()
    chosen = [p for p in stack if p.name not in passed and not (executor_given and p.is_executor)]
    here = {plugin.name: locked_plugin(project, planned, plugin) for plugin in chosen}
    locked = {p.name: p for p in lock.plugins if p.name not in passed}
    if executor_given or any(plugin.is_executor for plugin in stack if plugin.name in passed):
        locked.pop(lock.executor or "", None)
    found = [
        _difference("plugin", name, _made_of(locked.get(name)), _made_of(here.get(name)))
        for name in sorted(locked.keys() ^ here.keys())
    ]
    for name in [name for name in locked if name in here]:
        found += _of_effect(locked[name], here[name])
    if not found and not passed and list(locked) != list(here):
        found.append(_difference("order", "", list(locked), list(here)))
    return found


def _made_of(plugin: LockedPlugin | None) -> str | None:
    return None if plugin is None else plugin.file or f"{plugin.entry_point} of {plugin.distribution}"


def _of_effect(locked: LockedPlugin, here: LockedPlugin) -> Iterable[Difference]:
    for name in sorted({*locked.options, *here.options}):
        then, now = locked.options.get(name), here.options.get(name)
        if not _same(then, now):
            yield _of_option(locked.name, name, then, now)
