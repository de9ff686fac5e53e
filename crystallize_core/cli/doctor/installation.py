"""What can be found without importing anything: names, files, sources and requirements of distributions."""

from __future__ import annotations

import base64
import csv
import hashlib
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from crystallize_core.cli.doctor.finding import Finding, Subject
from crystallize_core.cli.metadata import editable_folder
from crystallize_core.stack.discovery import EXECUTORS, PLUGINS

__all__ = ["duplicates", "installed_twice", "of_distribution"]

_GROUP: Final = "crystallize."
_SHOWN: Final = 5
"""So many files are named."""


def duplicates(subjects: Iterable[Subject]) -> Iterator[Finding]:
    """Names that several distributions ship, and entry points that one has twice."""
    owners: dict[tuple[str, str], list[Subject]] = {}
    for subject in subjects:
        for group, name, _ in dict.fromkeys(subject.entries):
            if subject not in owners.setdefault((group, name), []):
                owners[group, name].append(subject)
        yield from _twice(subject)
    for (group, name), found in owners.items():
        if len(found) > 1 and group in (PLUGINS, EXECUTORS):
            titles = " and ".join(subject.title for subject in found)
            yield Finding("CZ501", f"{name!r} in the group {group} is shipped by {titles}", name)


def _twice(subject: Subject) -> Iterator[Finding]:
    names = Counter((group, name) for group, name, _ in subject.entries)
    for (group, name), count in names.items():
        if count > 1:
            yield Finding("CZ502", f"it has {count} entry points in the group {group}", name, subject.title)
    values: dict[str, list[str]] = {}
    for group, name, value in subject.entries:
        if group == PLUGINS and names[group, name] == 1:
            values.setdefault(value, []).append(name)
    for value, same in values.items():
        if len(same) > 1:
            named = " and ".join(map(repr, same))
            yield Finding(
                "CZ502", f"{value} has the names {named}, and would be attached twice", same[0], subject.title
            )


def installed_twice(distributions: Iterable[Any]) -> Iterator[Finding]:
    """Distributions whose metadata is there more than once, which is what failed installations leave behind."""
    places: dict[str, dict[str, str]] = {}
    for distribution in distributions:
        name, version = _read(lambda d=distribution: d.metadata["Name"]), _read(lambda d=distribution: d.version)
        if name and version:
            where = str(distribution.locate_file(""))
            places.setdefault(name, {}).setdefault(f"{version} in {where}", where)
    for name, found in places.items():
        if len(found) > 1:
            yield Finding("CZ509", f"it is installed {len(found)} times: {', '.join(found)}", None, name)


def _read(get: Any) -> Any:
    try:
        return get()
    except Exception:  # noqa: BLE001 - broken metadata of a stranger must not stop us
        return None


def of_distribution(distribution: Any, title: str) -> Iterator[Finding]:
    """What is wrong with the installation of one distribution."""
    for look in (_files_changed, _source, _requirements):
        try:
            yield from look(distribution, title)
        except Exception as error:  # noqa: BLE001 - as above
            yield Finding("CZ508", f"{type(error).__qualname__}: {error}", None, title)
            return


# Files ----------------------------------------------------------------------------------------------


def _files_changed(distribution: Any, title: str) -> Iterator[Finding]:
    """Files that are not as they were installed."""
    changed = []
    for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        name, digest = row[0], row[1] if len(row) > 1 else ""
        path = Path(distribution.locate_file(name))
        if not digest or name.endswith(".pyc"):
            continue
        if not path.is_file():
            changed.append(f"{name} is missing")
        elif not _is_as_recorded(path, digest):
            changed.append(f"{name} was changed")
    if changed:
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        yield Finding("CZ503", f"since it was installed, {', '.join(changed[:_SHOWN])}{more}", None, title)


def _is_as_recorded(path: Path, recorded: str) -> bool:
    method, _, digest = recorded.partition("=")
    if method not in hashlib.algorithms_guaranteed or method.startswith("shake"):
        return True
    found = hashlib.new(method, path.read_bytes()).digest()
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode() == digest.rstrip("=")


# Editable installations -----------------------------------------------------------------------------


def _source(distribution: Any, title: str) -> Iterator[Finding]:
    folder = editable_folder(distribution)
    if folder is None:
        return
    if not folder.is_dir():
        yield Finding("CZ504", f"it is installed from {folder}, which is not there any more", None, title)
        return
    written = _written_entry_points(folder / "pyproject.toml")
    if written is None:
        return
    known = {(p.group, p.name): p.value for p in distribution.entry_points if p.group.startswith(_GROUP)}
    new = [f"{name!r} is new" for group, name in written if (group, name) not in known]
    gone = [f"{name!r} is gone" for group, name in known if (group, name) not in written]
    other = [
        f"{key[1]!r} is {written[key]}, not {known[key]}" for key in known if known[key] != written.get(key, known[key])
    ]
    if new or gone or other:
        said = ", ".join([*new, *gone, *other])
        yield Finding("CZ505", f"{folder / 'pyproject.toml'} has other entry points now: {said}", None, title)


def _written_entry_points(path: Path) -> dict[tuple[str, str], str] | None:
    """The entry points of ours that a source says; None where it says them in another way."""
    if not path.is_file():
        return None
    project = tomllib.loads(path.read_text(encoding="utf-8")).get("project")
    if not isinstance(project, Mapping) or "entry-points" in project.get("dynamic", ()):
        return None
    groups = project.get("entry-points", {})
    return {
        (group, name): value
        for group, found in groups.items()
        if group.startswith(_GROUP)
        for name, value in found.items()
    }


# Requirements ---------------------------------------------------------------------------------------


def _requirements(distribution: Any, title: str) -> Iterator[Finding]:
    """What a distribution asks for and does not get."""
    from importlib_metadata import PackageNotFoundError, version  # noqa: PLC0415 - only where there is something to compare
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - as above

    for line in distribution.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            yield Finding(
                "CZ507", f"its requirement {line!r} cannot be read: {str(error).splitlines()[0]}", None, title
            )
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield Finding("CZ506", f"it needs {line}, which is not installed: pip install '{line}'", None, title)
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wanted = f"{requirement.name}{requirement.specifier}"
            text = f"it needs {wanted}, and {requirement.name} {found} is installed: pip install '{wanted}'"
            yield Finding("CZ506", text, None, title)
