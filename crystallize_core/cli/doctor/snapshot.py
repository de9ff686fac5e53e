"""What an import must leave as it was, looked at before and after it in the process that is examined."""

from __future__ import annotations

import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from crystallize_core.imported import imported

__all__ = ["Audit", "differences", "snapshot"]

_CORE: Final = "crystallize_core"


def snapshot(folders: Mapping[str, str]) -> dict[str, Any]:
    """The state of this process by the code of what it is to change it.

    Args:
        folders: Folders that were empty when the process was started, by what they are.

    """
    return {code: look(folders) if code == "CZ302" else look() for code, look in _LOOKS.items()}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """What has changed, in words, by code."""
    return {code: words for code in before if (words := _CHANGES.get(code, _replaced)(before[code], after[code]))}


# What is looked at --------------------------------------------------------------------------------


def _files(folders: Mapping[str, str]) -> dict[str, None]:
    return {
        f"{path.relative_to(folder).as_posix()} in {what}": None
        for what, folder in folders.items()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def _random_states() -> dict[str, Any]:
    found: dict[str, Any] = {"random": random.getstate()}
    module = imported("numpy.random")
    if module is not None:
        kind, key, *rest = module.get_state()
        found["numpy.random"] = (kind, key.tobytes(), *rest)
    return found


def _handlers() -> dict[str, Any]:
    return {number.name: signal.getsignal(number) for number in sorted(signal.valid_signals()) if _is_named(number)}


def _is_named(number: object) -> bool:
    return isinstance(number, signal.Signals)


def _core() -> dict[str, Any]:
    return {name: value for name, module in sorted(sys.modules.items()) for name, value in _parts(name, module)}


def _parts(name: str, module: ModuleType) -> Iterator[tuple[str, Any]]:
    if name != _CORE and not name.startswith(f"{_CORE}."):
        return
    for key, value in list(vars(module).items()):
        yield f"{name}.{key}", value
        if isinstance(value, type) and value.__module__ == name:
            for attribute, inner in list(vars(value).items()):
                yield f"{name}.{key}.{attribute}", inner


def _logging() -> dict[str, Any]:
    root = logging.getLogger()
    return {"handlers of the root logger": list(root.handlers), "level of the root logger": root.level}


_LOOKS: Final[dict[str, Callable[..., Any]]] = {
    "CZ302": _files,
    "CZ303": lambda: dict(os.environ),
    "CZ304": os.getcwd,
    "CZ305": lambda: locale.setlocale(locale.LC_ALL),
    "CZ306": _random_states,
    "CZ307": lambda: {f"{thread.name} ({id(thread)})": thread for thread in threading.enumerate()},
    "CZ308": _handlers,
    "CZ309": lambda: list(warnings.filters),
    "CZ310": lambda: list(sys.path),
    "CZ311": _core,
    "CZ312": _logging,
}


# What has changed ---------------------------------------------------------------------------------


def _replaced(before: Any, after: Any) -> str:
    return "" if before == after else f"{before!r} became {after!r}"


def _names(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(changed)


def _new_names(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return ", ".join(name.rpartition(" (")[0] for name in after if name not in before)


def _items(before: list[Any], after: list[Any]) -> str:
    added = [f"added {item!r}" for item in after if item not in before]
    removed = [f"removed {item!r}" for item in before if item not in after]
    return ", ".join([*added, *removed]) or ("" if before == after else "another order")


def _patched(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What is another object than before; what is new comes from importing more of the core."""
    return ", ".join(name for name, value in before.items() if name not in after or after[name] is not value)


_CHANGES: Final[dict[str, Callable[[Any, Any], str]]] = {
    "CZ302": lambda before, after: ", ".join(name for name in after if name not in before),
    "CZ303": _names,
    "CZ306": _names,
    "CZ307": _new_names,
    "CZ308": _names,
    "CZ309": _items,
    "CZ310": _items,
    "CZ311": _patched,
    "CZ312": _names,
}


class Audit:
    """What the interpreter says that is being done, by code, while this is on.

    Args:
        folders: Folders in which nothing is heard, because what is left in them is looked at afterwards.

    """

    def __init__(self, folders: Mapping[str, str]) -> None:
        self.on = False
        self._folders = tuple(os.path.join(folder, "") for folder in folders.values())  # noqa: PTH118 - text to compare
        self.found: dict[str, dict[str, None]] = {}
        sys.addaudithook(self._heard)

    def words(self) -> dict[str, str]:
        """What was heard, in words."""
        return {code: ", ".join(heard) for code, heard in self.found.items()}

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        code = _code_of(event, arguments)
        if code == "CZ302" and os.path.abspath(os.fsdecode(arguments[0])).startswith(self._folders):  # noqa: PTH100 - text
            return
        if code is not None:
            self.found.setdefault(code, {})[_words(event, arguments)] = None


_PROCESSES: Final = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")
_NETWORK: Final = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
_FILES: Final = (
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.truncate",
    "os.link",
    "os.symlink",
    "shutil.rmtree",
)


def _code_of(event: str, arguments: tuple[Any, ...]) -> str | None:
    if event in _PROCESSES:
        return "CZ313"
    if event in _NETWORK:
        return "CZ314"
    if event in _FILES or (event == "open" and _writes(*arguments)):
        return "CZ302"
    return None


def _writes(path: Any, mode: Any, flags: Any) -> bool:
    """Whether a file is opened to be written; what the interpreter caches of its own is none of it."""
    if str(path).endswith((".pyc", os.devnull)) or "__pycache__" in str(path) or isinstance(path, int):
        return False
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _words(event: str, arguments: tuple[Any, ...]) -> str:
    if event == "open":
        return str(arguments[0])
    shown = arguments[1] if event == "socket.connect" else arguments[0] if arguments else ""
    return f"{event}({shown!r})"
