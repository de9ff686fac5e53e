"""Where code comes from: the project, an installed distribution, or the standard library.

The file decides. What lies in `site-packages` belongs to the distribution that put it there and counts by name and
version; an editable install does not lie there and counts by content, like any file of the project. The standard
library counts by name alone.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import sysconfig
import threading
import types
from enum import Enum
from pathlib import Path
from typing import Any, Final

__all__ = ["Origin", "distribution_of", "file_of", "origin_of", "origin_of_module"]

_INSTALLED: Final = ("site-packages", "dist-packages")

# This library is a distribution also where it runs from a checkout: whoever works on it would otherwise lose every
# cache with each edit, and each walk over a step would walk through all of it.
_OWN: Final = __name__.partition(".")[0]

# Classes made by `type()` where there is no module, or by `make_dataclass`, claim to come from these.
_FACTORIES: Final = frozenset({"builtins", "types"})
_HEAP_TYPE: Final = 1 << 9  # made while Python runs, and not compiled into the interpreter


_reading: Final = threading.Lock()
"""The first to ask `sysconfig` fills its variables; whoever asks meanwhile may find some of them, or fail."""


class Origin(Enum):
    """The three ways in which code counts."""

    PROJECT = "project"
    INSTALLED = "installed"
    STANDARD = "standard library"


def origin_of(value: Any) -> tuple[Origin, str]:
    """Where a function, class or module comes from, with the label of its distribution or an empty text."""
    if isinstance(value, type) and value.__module__ in _FACTORIES and not _is_found(value):
        return Origin.PROJECT, ""
    return _classified(file_of(value), _module_name(value))


def origin_of_module(name: str) -> tuple[Origin, str]:
    """The same for a module that need not be imported; nothing is imported to find out."""
    module = sys.modules.get(name)
    if module is not None:
        return origin_of(module)
    try:
        spec = importlib.util.find_spec(name.partition(".")[0])
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None:
        return Origin.PROJECT, ""
    places = [*(spec.submodule_search_locations or ())]
    return _classified(spec.origin or (places[0] if places else None), name)


def _is_found(kind: type) -> bool:
    if not kind.__flags__ & _HEAP_TYPE:
        return True
    return vars(sys.modules[kind.__module__]).get(kind.__qualname__) is kind


def _module_name(value: Any) -> str:
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, types.FunctionType):
        return str(value.__globals__.get("__name__", "") or "")
    module = getattr(value, "__module__", None)
    if isinstance(module, str):
        return module
    owner = getattr(value, "__objclass__", None) or type(getattr(value, "__self__", None))
    return str(owner.__module__)


def file_of(value: Any) -> str | None:
    """The file that a function, class or module was read from; None if there is none."""
    if isinstance(value, types.FunctionType) and not value.__code__.co_filename.startswith("<"):
        return value.__code__.co_filename
    module = value if isinstance(value, types.ModuleType) else sys.modules.get(_module_name(value))
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return file
    places = list(getattr(module, "__path__", ()))  # a package without __init__.py
    return places[0] if places else None


@functools.lru_cache(maxsize=10_000)
def _classified(file: str | None, module: str) -> tuple[Origin, str]:
    top = module.partition(".")[0]
    if top == _OWN:
        return Origin.INSTALLED, distribution_of(top)
    if file is None or file in {"frozen", "built-in"}:
        # Cython keeps the types it needs for itself in a module without a file.
        standard = top in sys.stdlib_module_names or top.startswith("_cython_")
        return (Origin.STANDARD if standard else Origin.PROJECT), ""
    parts = file.replace(os.sep, "/").split("/")
    for place in _INSTALLED:
        if place in parts[:-1]:
            last = len(parts) - 1 - parts[::-1].index(place)
            label = distribution_of(parts[last + 1].partition(".")[0])
            return (Origin.INSTALLED, label) if label else (Origin.PROJECT, "")
    real = os.path.realpath(file)
    if any(real.startswith(folder + os.sep) for folder in _standard_folders()):
        return Origin.STANDARD, ""
    return Origin.PROJECT, ""


@functools.cache
def _standard_folders() -> frozenset[str]:
    with _reading:
        folders = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), str(Path(os.__file__).parent)}
    return frozenset(os.path.realpath(folder) for folder in folders)


@functools.cache
def _distributions() -> dict[str, list[str]]:
    import importlib.metadata  # noqa: PLC0415 - needs half of the email package

    return dict(importlib.metadata.packages_distributions())


@functools.lru_cache(maxsize=1_000)
def distribution_of(top: str) -> str:
    """`name version` of the distribution that a top-level module belongs to; of all, if several share it."""
    names = sorted(set(_distributions().get(top, ())))
    if not names and top == _OWN:
        names = [top.replace("_", "-")]
    return ", ".join(f"{name} {_version(name)}" for name in names)


def _version(name: str) -> str:
    import importlib.metadata  # noqa: PLC0415 - as above

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "of this checkout"
