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
    if not any(name.endswith(IMPORTABLE) for name in places):  # linked, or nobody wrote down what was installed
        places = dict(_sources(distribution))
    found = {name: file_digest(place) for name, place in places.items()}
    points = distribution.read_text(ENTRY_POINTS)
    if points is not None:
        found[ENTRY_POINTS] = blake3(points.encode()).hexdigest()
    return {name: found[name] for name in sorted(found) if found[name]}


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
        said = json.loads(distribution.read_text("direct_url.json") or "{}")
        return bool(said.get("dir_info", {}).get("editable"))
    except (AttributeError, OSError, ValueError):
        return False


# --- what was installed ------------------------------------------------------------------------------


def _recorded(distribution: Any) -> dict[str, str]:
    """The files that `RECORD` names, and what has come to lie among them since."""
    root = str(distribution.locate_file(""))
    rows = csv.reader((distribution.read_text("RECORD") or "").splitlines())
    names = [name for name in (row[0].replace("\\", "/") for row in rows if row) if _counts(name)]
    places = {name: f"{root}/{name}" for name in names}
    for package in _own_packages(names):
        places |= {name: place for name, place in _below(f"{root}/{package}", package) if name.endswith(IMPORTABLE)}
    return places


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
    """The files of the packages and modules that the entry points and `top_level.txt` name."""
    named = {point.value.partition(":")[0].strip() for point in distribution.entry_points}
    named.update((distribution.read_text("top_level.txt") or "").split())
    for module in sorted(named):
        yield from _of_module(module)


def _of_module(module: str) -> Iterator[tuple[str, str]]:
    """The files of the topmost package of a module that is no namespace; finding them runs nothing."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        try:
            spec = importlib.util.find_spec(".".join(parts[:count]))
        except (ImportError, ValueError):
            return
        if spec is None:
            return
        if spec.has_location and spec.origin is not None:
            if spec.submodule_search_locations:
                yield from _below(os.path.dirname(spec.origin), "/".join(parts[:count]))  # noqa: PTH120 - as above
            else:
                name = "/".join((*parts[: count - 1], os.path.basename(spec.origin)))  # noqa: PTH119 - as above
                yield name, spec.origin
            return
