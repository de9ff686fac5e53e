"""What an experiment is given, checked one by one, so that all that is wrong can be said at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from crystallize_core.errors import DefinitionError
from crystallize_core.state import CONDITION_KEY, REPLICATE_KEY
from crystallize_core.treatment import Treatment, TreatmentFactory, check_condition_name

__all__ = [
    "checked_context",
    "checked_name",
    "checked_replicates",
    "checked_treatments",
    "collected",
    "iterable",
    "list_of",
]


def collected(problems: list[str], check: Callable[[Any], Any], value: Any) -> Any:
    """What the check makes of the value; what it objects to joins the problems."""
    try:
        return check(value)
    except DefinitionError as error:
        problems.append(str(error))
        return None


def checked_name(value: Any, what: str = "experiment") -> str:
    """The name of an experiment or a pipeline, which is also that of a folder."""
    return check_condition_name(value, what)


def checked_replicates(value: Any) -> int:
    """A number of replicates."""
    if type(value) is not int or value < 1:
        message = f"replicates must be an int of at least 1, found {type(value).__name__} {value!r}"
        raise DefinitionError(message)
    return value


def checked_context(value: Any) -> dict[str, Any]:
    """What the context of every cell starts with."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        message = f"initial_ctx must be a mapping of names to values, found {type(value).__name__} {value!r}"
        raise DefinitionError(message)
    for key in value:
        if not isinstance(key, str) or not key or key in (REPLICATE_KEY, CONDITION_KEY):
            message = (
                f"initial_ctx: {key!r} cannot be a key; keys are non-empty str, and not 'replicate' or 'condition'"
            )
            raise DefinitionError(message)
    return dict(value)


def checked_treatments(value: Any) -> list[Treatment]:
    """A list of treatments with different names, made of treatments and of what `@treatment` gives."""
    made: list[Treatment] = []
    for item in iterable(value, "treatments"):
        treatment = item() if isinstance(item, TreatmentFactory) else item
        if not isinstance(treatment, Treatment):
            message = f"treatments: expected Treatment, found {type(item).__name__} {item!r}"
            raise DefinitionError(message)
        if treatment.name in {other.name for other in made}:
            message = f"treatments: two are named {treatment.name!r}"
            raise DefinitionError(message)
        made.append(treatment)
    return made


def list_of(kind: type, value: Any, name: str) -> list[Any]:
    """A list of things of one kind."""
    items = list(iterable(value, name))
    for item in items:
        if not isinstance(item, kind):
            message = f"{name}: expected {kind.__name__}, found {type(item).__name__} {item!r}"
            raise DefinitionError(message)
    return items


def iterable(value: Any, name: str) -> Iterable[Any]:
    """Something to go through one by one; None is nothing."""
    if value is None:
        return ()
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        message = f"{name} must be a list, found {type(value).__name__} {value!r}"
        raise DefinitionError(message)
    return value
