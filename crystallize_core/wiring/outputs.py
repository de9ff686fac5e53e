"""What a step returned, as the assets that it declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crystallize_core.copying import hand_out
from crystallize_core.errors import OutputError

__all__ = ["splitter"]


def splitter(step: str, outputs: Sequence[str]) -> Callable[[Any], Mapping[str, Any]]:
    """What makes a mapping of what a step with several declared outputs returned.

    Args:
        step: The name of the step, for the message.
        outputs: The names of its outputs, at least two.

    """
    names, count = tuple(outputs), len(outputs)

    def split(returned: Any) -> Mapping[str, Any]:
        if isinstance(returned, Mapping):
            if all(name in returned for name in names):
                return _apart({name: returned[name] for name in names})
        elif isinstance(returned, (tuple, list)) and len(returned) == count:
            return _apart(dict(zip(names, returned, strict=True)))
        message = f"step {step!r} declares {count} outputs ({', '.join(names)}), returned {_form(returned, names)}"
        raise OutputError(message, step=step)

    return split


def _apart(made: dict[str, Any]) -> dict[str, Any]:
    """The outputs, of which no two are one object: whoever takes one could change the other."""
    if len(set(map(id, made.values()))) == len(made):
        return made
    met: set[int] = set()
    for name, value in made.items():
        if id(value) in met:
            made[name] = hand_out(value)
        met.add(id(value))
    return made


def _form(returned: Any, names: Sequence[str]) -> str:
    kind = "None" if returned is None else type(returned).__qualname__
    if isinstance(returned, Mapping):
        missing = ", ".join(repr(name) for name in names if name not in returned)
        return f"{kind} without {missing}; return a mapping with all of them, or so many values in this order"
    if isinstance(returned, (tuple, list)):
        return f"{kind} of {len(returned)}; return {len(names)} values in this order"
    return f"{kind}; return {len(names)} values in this order, or a mapping with these keys"
