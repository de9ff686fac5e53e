"""`crystallize.lock`: what it says, how it is written, and how it is read.

It is meant to be read by people and kept under version control: the stack comes first, in its order; the files of the
distributions come last. Two installations of the same give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from blake3 import blake3

from crystallize_core.cache.files import write_whole
from crystallize_core.errors import LockError
from crystallize_core.stack.lock.distributions import Source
from crystallize_core.stack.lock.markers import normalized
from crystallize_core.stack.lock.toml import document, name

__all__ = ["LOCK_FILE", "Lock", "LockedDistribution", "LockedPlugin", "read_lock", "write_lock"]

LOCK_FILE: Final = "crystallize.lock"
FORMAT: Final = 1
READABLE: Final = 0o644
"""Others may read it, unlike the temporary file that it was."""
SHORT: Final = 16
"""Digits of the digest of a single file: it is to name what changed, and the whole digest of all files stands beside it."""
_HEAD: Final = (
    "# The stack of this project, written by `crystallize lock`; not to be changed by hand.\n"
    "# `crystallize lock --check` compares it with what is here, `crystallize run --locked` refuses anything else.\n"
)


@attrs.frozen
class LockedPlugin:
    """One plugin.

    Attributes:
        name: Its name in the stack.
        distribution: What it was installed with; None for a local one.
        entry_point: What its entry point refers to; None for a local one.
        file: The path of a local one, relative to the lock; else None.
        contract: The version of the hook contract that it was written for.
        configured: What the project sets, as it is written there.
        options: What is in effect, defaults included.

    """

    name: str
    distribution: str | None = None
    entry_point: str | None = None
    file: str | None = None
    contract: str | None = None
    configured: Mapping[str, Any] = attrs.field(factory=dict)
    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class LockedDistribution:
    """One distribution that the stack needs.

    Attributes:
        name, version: As its metadata says.
        source: How it was installed; for those who rebuild it, and no drift where it differs.
        marker: On which machines it is needed; empty where on all.
        digest: That of its files; empty for what is only needed by others.
        files: The shortened digests of its files by path.

    """

    name: str
    version: str
    source: Source
    marker: str = ""
    digest: str = ""
    files: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Lock:
    """What a lock says.

    Attributes:
        python: The minor version of Python, such as `3.11`.
        python_full: Its whole version, for information.
        core: The version of the core.
        profile: The profile of the configuration; None for none.
        extends: The stacks that the project extends.
        executor: The name of the executor; None for none.
        disable: The names that are left out.
        broken: Installed plugins that were skipped because they cannot be used.
        also: Requirements that were locked besides those of the stack.
        plugins: The plugins in their order.
        local: The digests of the local files by path.
        distributions: By normalized name.

    """

    python: str
    python_full: str
    core: str
    profile: str | None = None
    extends: tuple[str, ...] = ()
    executor: str | None = None
    disable: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    plugins: tuple[LockedPlugin, ...] = ()
    local: Mapping[str, str] = attrs.field(factory=dict)
    distributions: Mapping[str, LockedDistribution] = attrs.field(factory=dict)

    @property
    def digest(self) -> str:
        """One digest of everything that counts: not the patch version of Python, nor how things were installed."""
        everything = [self._head(), self._stack(), [_plugin(p) for p in self.plugins], dict(self.local)]
        everything += [[key, d.version, d.marker, d.digest, dict(d.files)] for key, d in self.distributions.items()]
        return blake3(json.dumps(everything, default=str, sort_keys=True).encode()).hexdigest()

    def _head(self) -> dict[str, Any]:
        return _filled({"python": self.python, "core": self.core, "profile": self.profile})

    def _stack(self) -> dict[str, Any]:
        lists = {"extends": self.extends, "disable": self.disable, "broken": self.broken, "also": self.also}
        names = [plugin.name for plugin in self.plugins]
        kept = {key: list(value) for key, value in lists.items() if value}
        return _filled({"plugins": names, "executor": self.executor, **kept})

    def text(self) -> str:
        """The file."""
        values = {"format": FORMAT, "digest": self.digest, **self._head(), "python-full": self.python_full}
        tables: list[tuple[str, Mapping[str, Any]]] = [("[stack]", self._stack())]
        for plugin in self.plugins:
            said = _plugin(plugin)
            tables.append(("[[plugin]]", {k: v for k, v in said.items() if not isinstance(v, Mapping)}))
            tables += [(f"[plugin.{key}]", said[key]) for key in ("configured", "options")]
        tables.append(("[local]", self.local))
        tables += [("[[distribution]]", _distribution(d)) for d in self.distributions.values()]
        tables += [(f"[files.{name(key)}]", d.files) for key, d in self.distributions.items()]
        return document(_HEAD, values, tables)


def _filled(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}


def _plugin(plugin: LockedPlugin) -> dict[str, Any]:
    return _filled(
        {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "entry-point": plugin.entry_point,
            "file": plugin.file,
            "contract": plugin.contract,
            "configured": dict(plugin.configured),
            "options": dict(plugin.options),
        }
    )


def _distribution(found: LockedDistribution) -> dict[str, Any]:
    said = {"name": found.name, "version": found.version, "source": found.source.kind, "url": found.source.url}
    return {key: value for key, value in {**said, "marker": found.marker, "digest": found.digest}.items() if value}


# --- the file ------------------------------------------------------------------------------------------


def write_lock(lock: Lock, path: Path) -> None:
    """Write the file whole or not at all, and on the disk before it has its name.

    Raises:
        LockError: It cannot be written.

    """
    try:
        write_whole(path, [lock.text().encode()], must_last=True)
        path.chmod(READABLE)
    except OSError as error:
        raise LockError(f"{path} cannot be written: {error}") from error


def read_lock(path: Path) -> Lock:
    """What a file says.

    Raises:
        LockError: It is not there, cannot be read, was written by another version, or was changed by hand.

    """
    import tomllib  # noqa: PLC0415 - most runs have no lock to read

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LockError(f"there is no {path}; `crystallize lock` writes it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LockError(f"{path} cannot be read: {error}") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LockError(f"{path} is damaged: {error}; {_ADVICE}") from error
    return _checked(table, path)


_ADVICE: Final = "take it from version control again, or write it anew with `crystallize lock`"


def _checked(table: Mapping[str, Any], path: Path) -> Lock:
    written = table.get("format")
    if written != FORMAT:
        message = f"{path} has format {written!r}, and this version of Crystallize reads format {FORMAT}"
        raise LockError(f"{message}; write it anew with `crystallize lock`, or install the version that wrote it")
    try:
        lock = _from_table(table)
        said = table["digest"]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LockError(f"{path} is damaged: it lacks what a lock has ({error!r}); {_ADVICE}") from error
    if lock.digest != said:
        message = f"{path} was changed since it was written: its digest is {said!r}, of what it says {lock.digest!r}"
        raise LockError(f"{message}; {_ADVICE}")
    return lock


def _from_table(table: Mapping[str, Any]) -> Lock:
    stack, files = table["stack"], table.get("files", {})
    lists = {key: tuple(stack.get(key, ())) for key in ("extends", "disable", "broken", "also")}
    distributions = {}
    for said in table.get("distribution", ()):
        key = normalized(said["name"])
        source = Source(said["source"], said.get("url", ""))
        kept = {word: said.get(word, "") for word in ("marker", "digest")}
        distributions[key] = LockedDistribution(said["name"], said["version"], source, files=files.get(key, {}), **kept)
    return Lock(
        python=table["python"],
        python_full=table["python-full"],
        core=table["core"],
        profile=table.get("profile"),
        executor=stack.get("executor"),
        plugins=tuple(_plugin_from(said) for said in table.get("plugin", ())),
        local=table.get("local", {}),
        distributions=distributions,
        **lists,
    )


def _plugin_from(said: Mapping[str, Any]) -> LockedPlugin:
    return LockedPlugin(
        name=said["name"],
        distribution=said.get("distribution"),
        entry_point=said.get("entry-point"),
        file=said.get("file"),
        contract=said.get("contract"),
        configured=said.get("configured", {}),
        options=said.get("options", {}),
    )
