"""From what `crystallize run` is given to an experiment or a pipeline: `file.py[:NAME]`, `package.module[:NAME]`."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from crystallize_core.errors import CrystallizeError, DefinitionError, describe, did_you_mean
from crystallize_core.experiment import Experiment
from crystallize_core.pipeline import Pipeline
from crystallize_core.pipeline import pipeline as make_pipeline
from crystallize_core.stack.files import load_file
from crystallize_core.stack.here import current_folder

__all__ = ["find_target"]

_KINDS: Final = (Experiment, Pipeline)
_DEFAULTS: Final = ("experiment", "pipeline")
"""What is meant where no name is given and there are several; the first of them that is there."""


def find_target(target: str) -> Experiment | Pipeline:
    """The experiment or pipeline that a target names.

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
    here = str(current_folder())
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
    """The name of the experiment where none was given; of the pipeline, where there is no experiment."""
    for kind, default in zip(_KINDS, _DEFAULTS, strict=True):
        found = {name: value for name, value in vars(module).items() if isinstance(value, kind)}
        if default not in found and len({id(value) for value in found.values()}) == 1:
            return next(iter(found))
        if default in found or (not found and _makes(getattr(module, default, None))):
            return default
        if found:
            names = ", ".join(f"{place}:{name}" for name in found)
            message = f"{place} has several {default}s; say which: {names}"
            raise DefinitionError(message)
    message = f"{place} has no Experiment and no Pipeline; a function that returns one is named as {place}:NAME"
    raise DefinitionError(message)


def _makes(value: Any) -> bool:
    """Whether it may be a function that returns one; the function of ours that was imported is none."""
    return callable(value) and value is not make_pipeline


def _get(module: ModuleType, name: str, place: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        known = [known for known, value in vars(module).items() if isinstance(value, _KINDS)]
        message = f"{place} has no {name!r}; {did_you_mean(name, known, listing='it has')}"
        raise DefinitionError(message) from None


def _made(value: Any, where: str) -> Experiment | Pipeline:
    """The experiment or pipeline itself, or what a function without arguments returns."""
    if isinstance(value, (Experiment, Pipeline)):
        return value
    if not inspect.isroutine(value):
        message = (
            f"{where} is {type(value).__qualname__}; expected an Experiment, a Pipeline, or a function that returns one"
        )
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
    if not isinstance(made, (Experiment, Pipeline)):
        if inspect.iscoroutine(made):
            made.close()
        message = f"{where}() returned {type(made).__qualname__}; expected an Experiment or a Pipeline"
        raise DefinitionError(message)
    return made
