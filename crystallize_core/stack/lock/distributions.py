"""The distributions of a stack: what each needs of the others that are installed, and where each came from."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import attrs

from crystallize_core.stack.lock.markers import Needed, holds, parse

__all__ = [
    "Member",
    "Source",
    "closure",
    "installed_distribution",
    "name_of",
    "requirements_of",
    "source_of",
    "version_of",
]

INDEX: Final = "index"
EDITABLE: Final = "editable"
PATH: Final = "path"
ARCHIVE: Final = "archive"
"""The other kinds of sources are the names of version control systems, such as `git`."""


@attrs.frozen
class Source:
    """How a distribution was installed.

    Attributes:
        kind: `index`, `editable`, `path` (a file or a folder), `archive` (a URL), or a version control system.
        url: Where from: a URL as pip reads it, or a path relative to the folder of the lock, with forward slashes;
            empty for an index.

    """

    kind: str
    url: str = ""


@attrs.frozen
class Member:
    """One distribution among those that a stack needs.

    Attributes:
        distribution: What importlib_metadata knows of it.
        marker: On which machines it is needed; empty where on all.

    """

    distribution: Any
    marker: str = ""


def installed_distribution(name: str) -> Any | None:
    """The distribution of that name that an import would find first, or None."""
    from importlib_metadata import PackageNotFoundError, distribution  # noqa: PLC0415 - reading metadata is not free

    try:
        return distribution(name)
    except (PackageNotFoundError, ValueError):
        return None


def name_of(distribution: Any, default: str) -> str:
    """The name as its metadata writes it."""
    try:
        return str(distribution.metadata["Name"] or default)
    except Exception:  # noqa: BLE001 - damaged metadata of a stranger may fail in any way
        return default


def version_of(distribution: Any) -> str:
    """The version, or `?` where its metadata cannot be read."""
    try:
        return str(distribution.version)
    except Exception:  # noqa: BLE001 - as above
        return "?"


def requirements_of(distribution: Any) -> list[str]:
    """What it says that it needs; nothing where its metadata cannot be read."""
    try:
        return list(distribution.requires or ())
    except Exception:  # noqa: BLE001 - as above
        return []


# --- what is needed ----------------------------------------------------------------------------------


def closure(roots: Iterable[str], *, all_extras: Collection[str] = ()) -> dict[str, Member]:
    """The distributions of these requirements and all that they need, as far as they are installed, by normalized name.

    Args:
        roots: Requirements, such as `crystallize-seeding` or `torch[opt]`.
        all_extras: Normalized names of distributions whose optional requirements count wherever they are installed:
            a plugin that finds NumPy uses it.

    """
    waiting = [needed for needed in map(parse, roots) if needed is not None and holds(needed.marker)]
    found: dict[str, Any] = {}
    markers: dict[str, set[str]] = {}
    seen: set[tuple[str, tuple[str, ...], str]] = set()
    while waiting:
        needed = waiting.pop()
        name, marker = needed.name, needed.marker
        distribution = found[name] if name in found else installed_distribution(name)
        if distribution is None or (name, needed.extras, marker) in seen:
            continue
        seen.add((name, needed.extras, marker))
        found[name] = distribution
        markers.setdefault(name, set()).add(marker)
        waiting += _next(distribution, needed, every=name in all_extras)
    return {name: Member(found[name], "" if "" in markers[name] else min(markers[name])) for name in sorted(found)}


def _next(distribution: Any, parent: Needed, *, every: bool) -> list[Needed]:
    """The requirements that hold here; each carries the marker of the platform that it, or its parent, depends on."""
    following = []
    for text in requirements_of(distribution):
        needed = parse(text)
        if needed is None or not _is_wanted(needed, parent.extras, every=every):
            continue
        is_plain = needed.of_platform and "extra" not in needed.marker
        following.append(attrs.evolve(needed, marker=needed.marker if is_plain else parent.marker))
    return following


def _is_wanted(needed: Needed, extras: Iterable[str], *, every: bool) -> bool:
    if every:
        named = re.findall(r"extra\s*==\s*[\"']([^\"']+)", needed.marker)
        extras = [*extras, *named]
    return any(holds(needed.marker, extra) for extra in ("", *extras))


# --- where it came from ------------------------------------------------------------------------------


def source_of(distribution: Any, folder: Path) -> Source:
    """How it was installed, by the `direct_url.json` that pip and uv leave (PEP 610).

    Args:
        distribution: What importlib_metadata knows of it.
        folder: What local paths are written relative to.

    """
    try:
        said = json.loads(distribution.read_text("direct_url.json") or "{}")
        url = str(said.get("url", ""))
        vcs, local, archive = (said.get(f"{key}_info") or {} for key in ("vcs", "dir", "archive"))
        if vcs:
            return Source(str(vcs["vcs"]), _vcs_url(url, vcs, said.get("subdirectory")))
        if urlsplit(url).scheme == "file":
            path = Path(url2pathname(urlsplit(url).path))
            return Source(EDITABLE if local.get("editable") else PATH, _relative(path, folder))
        return Source(ARCHIVE, _without_password(url) + _hash(archive)) if url else Source(INDEX)
    except (AttributeError, KeyError, OSError, TypeError, ValueError):  # a damaged file says nothing
        return Source(INDEX)


def _vcs_url(url: str, vcs: dict[str, Any], subdirectory: str | None) -> str:
    below = f"#subdirectory={subdirectory}" if subdirectory else ""
    return f"{vcs['vcs']}+{_without_password(url)}@{vcs['commit_id']}{below}"


def _hash(archive: dict[str, Any]) -> str:
    hashes = archive.get("hashes") or {}
    return f"#sha256={hashes['sha256']}" if "sha256" in hashes else ""


def _without_password(url: str) -> str:
    """The address without what nobody else may read; `git@` is no secret."""
    return re.sub(r"//[^/@]*:[^/@]*@", "//", url)


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return path.as_posix()
