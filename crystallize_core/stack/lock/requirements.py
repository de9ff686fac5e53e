"""What pip and uv need to install again what a lock says: the lines of a requirements file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from crystallize_core.stack.lock.distributions import EDITABLE, INDEX, PATH
from crystallize_core.stack.lock.document import Lock, LockedDistribution

__all__ = ["requirements"]

_HEAD: Final = (
    "# What {digest} needs, for `pip install -r` or `uv pip install -r` with Python {python}.\n"
    "# Without --hash: a lock knows the files as installed, not the archives, of which there is one for each platform.\n"
    "# `crystallize lock --check` compares the files after the installation.\n"
)


def requirements(lock: Lock, folder: Path) -> str:
    """The lines, sorted by name.

    Args:
        lock: The lock.
        folder: The folder of the lock, which local paths are relative to.

    """
    head = _HEAD.format(digest=lock.digest, python=lock.python)
    return head + "".join(f"{_line(lock.distributions[name], folder)}\n" for name in sorted(lock.distributions))


def _line(found: LockedDistribution, folder: Path) -> str:
    kind, url = found.source.kind, found.source.url
    marker = f" ; {found.marker}" if found.marker else ""
    if kind == INDEX:
        return f"{found.name}=={found.version}{marker}"
    if kind in (PATH, EDITABLE):
        path = Path(folder, url).resolve()
        return f"# local path, on this machine only{_linked(kind)}:\n{found.name} @ {path.as_uri()}{marker}"
    return f"{found.name} @ {url}{marker}"


def _linked(kind: str) -> str:
    return "; it was linked (editable), and is copied here" if kind == EDITABLE else ""
