"""The files of a distribution and their digests, without importing anything of it.

The same bytes give the same digest on every machine, whether pip or uv installed them, and whether they were copied or
linked (an editable install). So what installers and build tools write for themselves is left out, and with it scripts,
which hold the path of the interpreter.
"""

from __future__ import annotations

import csv
import importlib.machinery
import importlib.util
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

__all__ = ["UNREADABLE", "digest_of", "file_digest", "files_of"]

UNREADABLE: Final = "unreadable"
"""Stands for the digest of a file that is there and cannot be read."""
ENTRY_POINTS: Final = "entry_points.txt"
"""All that counts of the metadata: the rest is the version, which is locked, and what the build tool says about itself."""
IMPORTABLE: Final = (".py", *importlib.machinery.EXTENSION_SUFFIXES)


def files_of(distribution: Any) -> dict[str, str]:
    """The digests of the files that a distribution consists of, by their paths with forward slashes, sorted."""
    places = {} if _is_editable(distribution) else _recorded(distribution)
    if any(name.endswith(IMPORTABLE) for name in places):
        places |= dict(_shadowing(distribution, places))
    else:  # linked, or nobody wrote down what was installed
        places = dict(_sources(distribution))
    found = {name: file_digest(place) for name, place in places.items()}
    points = _text(distribution, ENTRY_POINTS)
    if points is not None:
        found[ENTRY_POINTS] = blake3(points.encode()).hexdigest()
    return {name: found[name] for name in sorted(found) if found[name]}


def _text(distribution: Any, name: str) -> str | None:
    """A file of the metadata; None where it is not there or no text."""
    try:
        found: str | None = distribution.read_text(name)
    except (OSError, UnicodeDecodeError):
        return None
    return found


def digest_of(files: Mapping[str, str]) -> str:
    """One digest of all files."""
    return blake3(json.dumps(sorted(files.items())).encode()).hexdigest()


def file_digest(path: str | Path) -> str:
    """The digest of one file; empty where it is not there."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - hundreds of files, and a Path for each costs as much as reading
            return blake3(file.read()).hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""
    except OSError:
        return UNREADABLE


def _is_editable(distribution: Any) -> bool:
    try:
        said = json.loads(_text(distribution, "direct_url.json") or "{}")
        return bool(said.get("dir_info", {}).get("editable"))
    except (AttributeError, ValueError):
        return False


# --- what was installed ------------------------------------------------------------------------------


def _recorded(distribution: Any) -> dict[str, str]:
    """The files that `RECORD` names, and what has come to lie among them since."""
    root = str(distribution.locate_file(""))
    rows = csv.reader((_text(distribution, "RECORD") or "").splitlines())
    names = [name for name in (row[0].replace("\\", "/") for row in rows if row) if _counts(name)]
    places = {name: f"{root}/{name}" for name in names}
    for package in _own_packages(names):
        places |= {name: place for name, place in _below(f"{root}/{package}", package) if name.endswith(IMPORTABLE)}
    return places


def _shadowing(distribution: Any, places: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What would be imported in place of what was installed, because it comes earlier on the path."""
    for module in _named(distribution):
        found = _found(module)
        if found is None:
            continue
        name, place = found
        if os.path.realpath(places.get(name, "")) != os.path.realpath(place):
            yield from (item for item in _files(name, place) if item[0] in places or item[0].endswith(IMPORTABLE))


def _counts(name: str) -> bool:
    folder = name.partition("/")[0]
    is_outside = name.startswith("../") or os.path.isabs(name)  # noqa: PTH117 - a name, no path of this machine
    return not (is_outside or folder.endswith((".dist-info", ".data")) or _is_compiled(name) or name.endswith(".pth"))


def _is_compiled(name: str) -> bool:
    return name.endswith(".pyc") or "__pycache__" in name


def _own_packages(names: Iterable[str]) -> list[str]:
    """The topmost packages with an `__init__.py` of this distribution; namespaces belong to several."""
    packages = sorted(name.rpartition("/")[0] for name in names if name.endswith("/__init__.py"))
    return [package for package in packages if not any(package.startswith(f"{other}/") for other in packages)]


def _below(folder: str, name: str) -> Iterator[tuple[str, str]]:
    """Every file below a folder: its name, which begins with the given one, and its path."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if f != "__pycache__" and not f.startswith("."))
        below = here[len(folder) :].replace(os.sep, "/")
        for file in files:
            if not (_is_compiled(file) or file.startswith(".")):
                yield f"{name}{below}/{file}", os.path.join(here, file)  # noqa: PTH118 - as above


# --- what is linked ----------------------------------------------------------------------------------


def _sources(distribution: Any) -> Iterator[tuple[str, str]]:
    """The files of the packages and modules that are imported for a distribution."""
    for module in _named(distribution):
        found = _found(module)
        if found is not None:
            yield from _files(*found)


def _named(distribution: Any) -> list[str]:
    """The modules that the entry points and `top_level.txt` name."""
    try:
        named = {point.value.partition(":")[0].strip() for point in distribution.entry_points}
    except Exception:  # noqa: BLE001 - damaged metadata of a stranger may fail in any way
        named = set()
    return sorted({*named, *(_text(distribution, "top_level.txt") or "").split()})


def _found(module: str) -> tuple[str, str] | None:
    """The first file of the topmost package of a module that is no namespace, as its name and path; nothing runs."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        try:
            spec = importlib.util.find_spec(".".join(parts[:count]))
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        if spec.has_location and spec.origin is not None:
            above = parts[:count] if spec.submodule_search_locations else parts[: count - 1]
            return "/".join((*above, os.path.basename(spec.origin))), spec.origin  # noqa: PTH119 - as above
    return None


def _files(name: str, place: str) -> Iterator[tuple[str, str]]:
    """A module, or all of a package whose first file it is."""
    folder, _, file = name.rpartition("/")
    if file.partition(".")[0] == "__init__":
        yield from _below(os.path.dirname(place), folder)  # noqa: PTH120 - as above
    else:
        yield name, place
