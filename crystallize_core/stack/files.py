"""Python files that are named by their path: the experiment of `crystallize run`, a project's `./hooks.py`.

They become modules under a name of their own. Which name belongs to which file is remembered, because a
worker that is to unpickle what they define has to load the same files first. Their text goes along, for workers on
machines that do not have them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import linecache
import sys
from pathlib import Path
from types import ModuleType

from crystallize_core.errors import PluginError, describe

__all__ = ["is_reloading", "load_file", "loaded_files", "reload_files", "text_of"]

_loaded: dict[str, str] = {}
_sources: dict[str, bytes] = {}
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


def _load(name: str, path: Path, sent: bytes | None = None) -> ModuleType:
    """Run a file; where its text was sent, that text, whatever is on this machine."""
    there = path.read_bytes() if path.is_file() else None
    source = there if sent is None else sent
    if source is None:
        message = f"there is no file {path}"
        raise PluginError(message)
    if source != there:  # so that tracebacks and digests of code look at what is run
        lines = source.decode("utf-8", "replace").splitlines(keepends=True)
        linecache.cache[str(path)] = (len(source), None, lines, str(path))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        message = f"{path} is not a Python file"
        raise PluginError(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)  # so that it can import what lies beside it, behind everything installed
    _loaded[name], _sources[name] = str(path), source  # before it runs: it may itself send things to workers
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - a module of the user
    except (Exception, SystemExit) as error:
        del sys.modules[name], _loaded[name], _sources[name]
        message = f"{path} cannot be run: {describe(error)}"
        raise PluginError(message) from error
    return module


def loaded_files() -> dict[str, str]:
    """The paths of the files that were loaded, by the names of their modules."""
    return dict(_loaded)


def text_of(path: str) -> bytes | None:
    """What a file that was loaded contained; None for one that was not."""
    wanted = str(Path(path).resolve())
    return next((_sources[name] for name, loaded in _loaded.items() if loaded == wanted), None)


def shipped_files(body: bytes) -> dict[str, tuple[str, bytes]]:
    """The files whose modules a pickle names, with what they contain; a worker has no use for others, and they may not run there."""
    return {name: (path, _sources[name]) for name, path in _loaded.items() if name.encode() in body}


def reload_files(files: dict[str, tuple[str, bytes]]) -> None:
    """Load the same files under the same names, in another process, by the text that was sent.

    Raises:
        PluginError: Running one failed.

    """
    for name, (path, source) in files.items():
        if name not in sys.modules:
            _reloading.append(path)
            try:
                _load(name, Path(path), source)
            finally:
                _reloading.pop()


def is_reloading() -> str | None:
    """The path of the file that this worker is loading again, or None."""
    return _reloading[-1] if _reloading else None
