"""Python files that are named by their path: the experiment of `crystallize run`, a project's `./hooks.py`.

They become modules under a name of their own. Which name belongs to which file is remembered, because a
worker that is to unpickle what they define has to load the same files first.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from crystallize_core.errors import PluginError, describe

__all__ = ["is_reloading", "load_file", "loaded_files", "reload_files"]

_loaded: dict[str, str] = {}
_reloading: list[str] = []
"""The file that a worker is loading again, if it is; an experiment that runs meanwhile would start workers without end."""


def load_file(path: Path) -> ModuleType:
    """The module made of a Python file; the same file gives the same module.

    Raises:
        PluginError: The file is not there, or running it failed.

    """
    path = path.resolve()
    # The name must be an identifier, and two files of one name must not be one module.
    stem = "".join(char if char.isalnum() else "_" for char in path.stem)
    name = f"{stem}_{hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()}"
    if name in _loaded and name in sys.modules:
        return sys.modules[name]
    return _load(name, path)


def _load(name: str, path: Path) -> ModuleType:
    if not path.is_file():
        message = f"there is no file {path}"
        raise PluginError(message)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        message = f"{path} is not a Python file"
        raise PluginError(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)  # so that it can import what lies beside it, behind everything installed
    _loaded[name] = str(path)  # before it runs: it may itself send things to workers
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name], _loaded[name]
        message = f"{path} cannot be run: {describe(error)}"
        raise PluginError(message) from error
    return module


def loaded_files() -> dict[str, str]:
    """The paths of the files that were loaded, by the names of their modules."""
    return dict(_loaded)


def reload_files(files: dict[str, str]) -> None:
    """Load the same files under the same names, in another process."""
    for name, path in files.items():
        if name not in sys.modules:
            _reloading.append(path)
            try:
                _load(name, Path(path))
            finally:
                _reloading.pop()


def is_reloading() -> str | None:
    """The path of the file that this worker is loading again, or None."""
    return _reloading[-1] if _reloading else None
