"""The annotation of one output of a step that declares several."""

from __future__ import annotations

import typing
from collections import abc
from typing import Any

from crystallize_core.annotations.contents import contents_of, fields_of
from crystallize_core.annotations.forms import UNKNOWN, bare, is_union, outer

__all__ = ["element_of"]


def element_of(produced: Any, position: int, count: int, key: str | None = None) -> Any:
    """The annotation of one of the declared outputs of a step, or `UNKNOWN`. Never raises.

    A single output is the whole value. Several are taken out of a tuple or a list of that many items, by position, or out of
    a mapping, by key.

    Args:
        produced: The annotation of what the step returns.
        position: Which of the outputs, from 0.
        count: How many outputs the step declares.
        key: The name of the output.

    """
    try:
        return produced if count <= 1 else _element(produced, position, count, key)
    except Exception:  # noqa: BLE001 - a foreign class may do anything when it is asked
        return UNKNOWN


def _element(produced: Any, position: int, count: int, key: str | None) -> Any:
    kind = bare(produced)
    if is_union(kind):
        # A step that returns None in place of its outputs fails, so the other members tell.
        found = [_element(member, position, count, key) for member in typing.get_args(kind) if member is not type(None)]
        return UNKNOWN if any(element is UNKNOWN for element in found) else typing.Union[tuple(found)]  # noqa: UP007 - their number is not known
    whole = outer(kind)
    if whole is UNKNOWN or not 0 <= position < count:
        return UNKNOWN
    fields = fields_of(whole)
    if fields is not None:
        return fields[key].annotation if key is not None and key in fields else UNKNOWN
    contents = contents_of(kind)
    if issubclass(whole, abc.Mapping):
        return contents.values[0] if contents.values else UNKNOWN
    if not issubclass(whole, tuple | list):
        return UNKNOWN
    if contents.positions is None:
        return contents.items
    return contents.positions[position] if len(contents.positions) == count else UNKNOWN
