"""What a plugin writes: what the interpreter announces, and what is new in the folders afterwards."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

__all__ = ["files_below", "listened", "outside"]

_ALWAYS: Final = ("/dev/", "/proc/self/")
_PATHS: Final = {
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.rename": (0, 1),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "sqlite3.connect": (0,),
}
"""What the interpreter announces of writing, besides opening, and which of the arguments are paths."""
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_heard: list[str] | None = None
_is_installed = False


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if _heard is None:
        return
    if event == "open":
        path, mode, flags = arguments
        if (isinstance(flags, int) and flags & _WRITING) or (isinstance(mode, str) and set(mode) & set("wax+")):
            _note(path)
    elif event in _PATHS:
        for at in _PATHS[event]:
            _note(arguments[at])


def _note(path: Any) -> None:
    if _heard is not None and isinstance(path, (str, bytes, os.PathLike)):
        with contextlib.suppress(ValueError, OSError):
            _heard.append(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - `resolve` would follow links


@contextlib.contextmanager
def listened() -> Iterator[list[str]]:
    """The paths that are opened for writing, made, moved or removed meanwhile, in order.

    An audit hook stays for as long as the process does; it does nothing while nobody listens.
    """
    global _heard, _is_installed  # noqa: PLW0603 - of the process, as the hook is
    if not _is_installed:
        sys.addaudithook(_listen)
        _is_installed = True
    heard: list[str] = []
    _heard = heard
    try:
        yield heard
    finally:
        _heard = None


def files_below(*folders: Path) -> set[str]:
    """Every file and folder below these, in whatever way it was made."""
    return {str(path) for folder in folders for path in folder.rglob("*")}


def outside(paths: set[str], allowed: list[Path]) -> list[str]:
    """The paths that are in none of the allowed folders, sorted; compiled code and devices do not count."""
    return sorted(path for path in paths if not _is_allowed(path, allowed))


def _is_allowed(path: str, allowed: list[Path]) -> bool:
    if path.startswith(_ALWAYS) or "__pycache__" in path:
        return True
    # the folders above an own one have to be made as well
    return any(Path(path).is_relative_to(folder) or folder.is_relative_to(path) for folder in allowed)
