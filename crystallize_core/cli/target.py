"""From what `crystallize run` is given to an experiment: `file.py`, `file.py:NAME`, `package.module[:NAME]`."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from crystallize_core.errors import CrystallizeError, DefinitionError, describe, did_you_mean
from crystallize_core.experiment import Experiment
from crystallize_core.stack.files import load_file

__all__ = ["find_experiment"]

DEFAULT_NAME: Final = "experiment"


def find_experiment(target: str) -> Experiment:
    """The experiment that a target names.

    Raises:
        CrystallizeError: There is no such file, module or name, several would do, or running it failed.

    """
    place, name = _split(target)
    module = _load_file(place) if _is_file(place) else _load_module(place)
    if name is None:
        name = _only_name(module, place)
    return _made(_get(module, name, place), f"{place}:{name}")


def _split(target: str) -> tuple[str, str | None]:
    place, colon, name = target.rpartition(":")
    if not colon or name.startswith(("/", "\\")):  # the colon of a Windows drive
        return target, None
    if not place or not name.isidentifier():
        message = f"target {target!r}: expected file.py, file.py:NAME, package.module or package.module:NAME"
        raise DefinitionError(message)
    return place, name


def _is_file(place: str) -> bool:
    path = Path(place)
    is_plain_folder = path.is_dir() and not (path / "__init__.py").exists()
    return place.endswith(".py") or "/" in place or "\\" in place or path.is_file() or is_plain_folder


def _load_file(place: str) -> ModuleType:
    path = Path(place)
    if path.is_dir():
        files = sorted(file.name for file in path.glob("*.py"))
        hint = f"name one of its files: {', '.join(files)}" if files else "it has no Python file"
        message = f"{place} is a folder; {hint}"
        raise DefinitionError(message)
    if not path.is_file():
        beside = [str(path.with_name(file.name)) for file in path.parent.glob("*.py")]
        hint = did_you_mean(place, beside, listing="beside it are") if beside else "nothing lies beside it."
        message = f"there is no file {place}; {hint}"
        raise DefinitionError(message)
    return load_file(path)


def _load_module(place: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # as for a file: behind everything installed
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{place}.".startswith(f"{error.name}."):
            message = f"there is no module {error.name!r}, neither installed nor in {here}; a file ends with .py"
            raise DefinitionError(message) from error
        raise _not_importable(place, error) from error
    except (Exception, SystemExit) as error:
        raise _not_importable(place, error) from error


def _not_importable(place: str, error: BaseException) -> DefinitionError:
    return DefinitionError(f"{place} cannot be imported: {describe(error)}")


def _only_name(module: ModuleType, place: str) -> str:
    """The name of the experiment where none was given."""
    found = {name: value for name, value in vars(module).items() if isinstance(value, Experiment)}
    if DEFAULT_NAME not in found and len({id(value) for value in found.values()}) == 1:
        return next(iter(found))
    if DEFAULT_NAME in found or (not found and callable(getattr(module, DEFAULT_NAME, None))):
        return DEFAULT_NAME
    if found:
        names = ", ".join(f"{place}:{name}" for name in found)
        message = f"{place} has several experiments; say which: {names}"
    else:
        message = f"{place} has no Experiment; a function that returns one is named as {place}:NAME"
    raise DefinitionError(message)


def _get(module: ModuleType, name: str, place: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        known = [known for known, value in vars(module).items() if isinstance(value, Experiment)]
        message = f"{place} has no {name!r}; {did_you_mean(name, known, listing='its experiments are')}"
        raise DefinitionError(message) from None


def _made(value: Any, where: str) -> Experiment:
    """The experiment itself, or what a function without arguments returns."""
    if isinstance(value, Experiment):
        return value
    if not inspect.isroutine(value):
        message = f"{where} is {type(value).__qualname__}; expected an Experiment, or a function that returns one"
        raise DefinitionError(message)
    needed = [
        parameter.name
        for parameter in inspect.signature(value).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if needed:
        message = f"{where} needs {', '.join(needed)}; only a function without arguments can be run"
        raise DefinitionError(message)
    try:
        made = value()
    except CrystallizeError:
        raise
    except Exception as error:
        message = f"{where}() failed: {describe(error)}"
        raise DefinitionError(message) from error
    if not isinstance(made, Experiment):
        if inspect.iscoroutine(made):
            made.close()
        message = f"{where}() returned {type(made).__qualname__}; expected an Experiment"
        raise DefinitionError(message)
    return made
