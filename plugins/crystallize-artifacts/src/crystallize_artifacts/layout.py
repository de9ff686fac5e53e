"""Where things lie below the root, and how a name becomes one part of a path.

::

    root/
      <experiment>/
        v0/                                  the results of one run, complete
          metadata.json  manifest.json  metrics.jsonl
          <condition>/results.json
          replicate_0/<condition>/<step>/<artifact>
        .run-<id>/                           a run that has not finished, laid out in the same way
        .old-<id>/                           what that run is replacing right now
        .lock                                held while versions change

People name experiments, conditions and steps as they like; file systems are more particular. So whatever
is not safe everywhere is percent-encoded, as in a URL, and `%` itself always is: reading the encoding
backwards gives the name again, which is why no two names share a path.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "LOCK",
    "MANIFEST",
    "METADATA",
    "METRICS",
    "RESULTS",
    "artifact_path",
    "component",
    "folders",
    "original",
    "replaced_folder",
    "run_folder",
    "run_of",
    "version_folder",
    "version_of",
]

METADATA: Final = "metadata.json"
"""Who wrote a version: experiment, run, conditions, digest of the result."""
MANIFEST: Final = "manifest.json"
"""Every artifact of a version with its place, size and digest."""
RESULTS: Final = "results.json"
"""The metrics of one condition, in a folder of its name."""
METRICS: Final = "metrics.jsonl"
"""The metrics that steps returned as assets, one line each; only where there are any."""
LOCK: Final = ".lock"
"""The file that is locked while versions are put into place or pruned."""

LONGEST: Final = 200
"""Bytes of one part of a path; file systems allow 255."""

_RUN, _OLD = ".run-", ".old-"
_EMPTY = "%"  # not the start of any encoded character, so it is free to stand for the empty name
_SHORTENED = "%~"  # the same; what follows is a digest
_UNSAFE = frozenset('%/\\:*?"<>|')
_VERSION = re.compile(r"v(0|[1-9][0-9]*)", re.ASCII)
# Names that mean something beside a condition in a version, and names that Windows gives to devices.
_TAKEN = re.compile(
    rf"replicate_[0-9]+|{re.escape(METADATA)}|{re.escape(MANIFEST)}|{re.escape(METRICS)}|(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)


def component(name: str, *, case: bool = True) -> str:
    """One part of a path for any name, different for different names.

    Args:
        name: Any text, also the empty one.
        case: Whether capital letters stay as they are. Without it the result also differs from those of
            other names where a file system takes `A` and `a` for the same.

    """
    composed = unicodedata.is_normalized("NFC", name)  # if not, a file system might take it for another name
    parts = [char if _is_safe(char, composed=composed, case=case) else _encoded(char) for char in name]
    if not parts:
        return _EMPTY
    if name[0] in ". " or _TAKEN.fullmatch(name):
        parts[0] = _encoded(name[0])
    if name[-1] in ". ":
        parts[-1] = _encoded(name[-1])
    text = "".join(parts)
    if len(text.encode()) <= LONGEST:
        return text
    start = text.encode()[: LONGEST // 2].decode(errors="ignore")
    return start + _SHORTENED + blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def original(part: str) -> str | None:
    """The name that `component` made this of; None where the name was too long to be kept in it."""
    if part == _EMPTY:
        return ""
    if _SHORTENED in part:
        return None
    return unquote_to_bytes(part).decode("utf-8", "surrogatepass")


def folders(names: Iterable[str]) -> dict[str, str]:
    """Parts of a path for names that lie side by side, different on every file system."""
    distinct = list(dict.fromkeys(names))
    alike = Counter(component(name).casefold() for name in distinct)
    return {name: component(name, case=alike[component(name).casefold()] == 1) for name in distinct}


def artifact_path(replicate: int, condition: str, step: str, name: str) -> tuple[str, ...]:
    """The parts of an artifact's path inside the folder of its run.

    Args:
        replicate: The number of the replicate.
        condition: The folder of the condition, as `folders` gives it.
        step: The name of the step.
        name: The name of the artifact, as `check_artifact_name` accepts it.

    """
    parts = name.split("/")
    if os.name == "nt":  # elsewhere any name that the core accepts is the name of a file
        parts = [component(part) for part in parts]
    return (f"replicate_{replicate}", condition, component(step), *parts)


def version_folder(number: int) -> str:
    """The name of the folder of a version."""
    return f"v{number}"


def version_of(folder: str) -> int | None:
    """The number of the version that a folder of this name holds; None if it holds none."""
    found = _VERSION.fullmatch(folder)
    return int(found[1]) if found else None


def run_folder(run: str) -> str:
    """The name of the folder that a run writes into."""
    return _RUN + component(run)


def replaced_folder(run: str) -> str:
    """The name under which a version waits to be deleted while this run takes its place."""
    return _OLD + component(run)


def run_of(folder: str) -> tuple[str, bool] | None:
    """The run that a folder of this name belongs to, and whether it holds what that run replaces."""
    for start in (_RUN, _OLD):
        if folder.startswith(start):
            return original(folder.removeprefix(start)) or "", start == _OLD
    return None


def _is_safe(char: str, *, composed: bool, case: bool) -> bool:
    if not case and char.casefold() != char:
        return False
    if char.isascii():
        return char.isprintable() and char not in _UNSAFE
    return composed and char.isalnum()


def _encoded(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
