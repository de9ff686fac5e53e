"""Which materializer is for which value: those that users registered by type, and then the built-in ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, overload

from crystallize_artifacts.materializers.arrays import Array, Arrays
from crystallize_artifacts.materializers.arrow import ArrowTable, PolarsFrame, PolarsSeries
from crystallize_artifacts.materializers.base import Materializer, UnsuitableError
from crystallize_artifacts.materializers.estimators import Estimator
from crystallize_artifacts.materializers.frames import Frame, Series
from crystallize_artifacts.materializers.pickled import Pickled
from crystallize_artifacts.materializers.plain import Plain
from crystallize_artifacts.materializers.raw import Raw, Text
from crystallize_artifacts.materializers.sparse import Sparse
from crystallize_artifacts.materializers.tensors import Module, State, Tensors
from crystallize_core import ArtifactError, DefinitionError
from crystallize_core.errors import did_you_mean

__all__ = ["by_id", "executes_code", "format_version", "materialize", "register_materializer"]

Made = TypeVar("Made", bound=type[Any])

BUILT_IN: Final[tuple[Materializer, ...]] = (
    Raw(), Text(), Array(), Arrays(), Frame(), Series(), PolarsFrame(), PolarsSeries(), ArrowTable(), Sparse(),
    Tensors(), State(), Module(), Estimator(), Plain(), Pickled(),
)  # fmt: skip
"""In the order in which they are asked: the closest formats first, what can hold anything last."""

_registered: dict[type | str, Materializer] = {}


@overload
def register_materializer(kind: type | str) -> Callable[[Made], Made]: ...


@overload
def register_materializer(kind: type | str, materializer: Materializer) -> Callable[[], None]: ...


def register_materializer(kind: type | str, materializer: Materializer | None = None) -> Any:
    """Say how the values of a type, and of the types derived from it, become bytes; before all that is built in.

    Every process that stores or loads such values has to have called it: do so where the type is defined.

    Args:
        kind: The type, or its name `module.Qualname` so that its module need not be imported.
        materializer: What is to be used; without it, this is a decorator for a class that is made without arguments.

    Returns:
        A function that takes the registration back; as a decorator, the class itself.

    Raises:
        DefinitionError: It is no materializer, or its `id` is that of another one.

    """
    if materializer is not None:
        return _register(kind, materializer)

    def decorate(made: Made) -> Made:
        _register(kind, made())
        return made

    return decorate


def _register(kind: type | str, materializer: Materializer) -> Callable[[], None]:
    problems = list(_problems(kind, materializer))
    if problems:
        message = f"{type(materializer).__qualname__} cannot be registered as a materializer: {'; '.join(problems)}"
        raise DefinitionError(message)
    before = _registered.get(kind)
    _registered[kind] = materializer

    def undo() -> None:
        if _registered.get(kind) is not materializer:  # somebody else registered the type since
            return
        if before is None:
            del _registered[kind]
        else:
            _registered[kind] = before

    return undo


def materialize(value: object) -> tuple[Materializer, bytes]:
    """The value as bytes, and the materializer that made them.

    Raises:
        UnsuitableError: Nothing can hold it; the message says who was asked and why each declined.

    """
    declined = []
    for materializer in _candidates(value):
        try:
            content = materializer.dump(value)
        except UnsuitableError as error:
            declined.append(f"{materializer.id}: {error}")
            continue
        if type(content) is not bytes:
            message = f"its dump() must return bytes, found {type(content).__qualname__}"
            raise TypeError(message)
        return materializer, content
    raise UnsuitableError("; ".join(declined))


def by_id(name: str, version: int) -> Materializer:
    """The materializer of that id, which can read that version of its format.

    Raises:
        ArtifactError: There is none here.

    """
    for materializer in (*BUILT_IN, *_registered.values()):
        if materializer.id == name:
            if version > format_version(materializer):
                message = (
                    f"it is in version {version} of the format {name!r}, and what is installed reads "
                    f"{format_version(materializer)}: update the package that it comes from"
                )
                raise ArtifactError(message)
            return materializer
    known = [materializer.id for materializer in (*BUILT_IN, *_registered.values())]
    message = (
        f"it is in the format {name!r}, which nothing here reads: import the module that registers it with "
        f"register_materializer(); {did_you_mean(name, known, listing='registered')}"
    )
    raise ArtifactError(message)


def executes_code(materializer: Materializer) -> bool:
    """Whether its `load` may run code that is named in the file; so it is unless it says that it does not."""
    return getattr(materializer, "executes_code", True) is not False


def format_version(materializer: Materializer) -> int:
    """The version of its format, from 1."""
    return int(getattr(materializer, "format_version", 1))


def _candidates(value: object) -> list[Materializer]:
    kinds = type(value).__mro__
    names = [(kind, f"{kind.__module__}.{kind.__qualname__}") for kind in kinds]
    own = [_registered[key] for pair in names for key in pair if key in _registered]
    return [materializer for materializer in (*own, *BUILT_IN) if materializer.handles(value)]


def _problems(kind: object, materializer: object) -> list[str]:
    if not isinstance(kind, (type, str)):
        return [f"it is to be for a type or its name 'module.Qualname', found {type(kind).__qualname__}"]
    problems = [
        f"it has no method {name}()"
        for name in ("handles", "dump", "load")
        if not callable(getattr(materializer, name, None))
    ]
    name, suffix = getattr(materializer, "id", None), getattr(materializer, "suffix", None)
    if not isinstance(name, str) or not name:
        problems.append(f"its id must be a non-empty str, found {name!r}")
    if not isinstance(suffix, str) or not suffix.startswith(".") or "/" in suffix or "\\" in suffix:
        problems.append(f"its suffix must be a str such as '.csv', found {suffix!r}")
    others = [other for other in (*BUILT_IN, *_registered.values()) if other.id == name]
    own = _class_name(materializer)
    problems += [f"its id {name!r} is that of {_class_name(other)}" for other in others if _class_name(other) != own]
    version = getattr(materializer, "format_version", 1)
    if type(version) is not int or version < 1:
        problems.append(f"its format_version must be an int of at least 1, found {version!r}")
    return problems


def _class_name(materializer: object) -> str:
    kind = type(materializer)  # by name: a module that is loaded again registers a new class of the same name
    return f"{kind.__module__}.{kind.__qualname__}"
