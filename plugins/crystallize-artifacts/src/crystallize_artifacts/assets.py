"""The types of assets that need no explanation: a model, a dataset, and metrics."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

from crystallize_core import Asset, DefinitionError

__all__ = ["Dataset", "Metrics", "Model"]


class Model(Asset):
    """Something that was fitted: `Model(fitted, name="classifier", framework="sklearn")`."""


class Dataset(Asset):
    """Data that is worth keeping: `Dataset(frame, name="cleaned")`."""


class Metrics(Asset):
    """Numbers by name: `Metrics({"acc": 0.9})` and `Metrics(acc=0.9)` are the same.

    A step that returns it records them, as if it had returned `(data, {"acc": 0.9})`.

    Args:
        data: The numbers by name; those of array libraries become plain numbers.
        name, version, metadata: As for every asset.
        values: More numbers. A text or the like belongs in `metadata`.

    Raises:
        DefinitionError: A name that is no str, a value that is no number, or a name that is said twice; all at once.

    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        name: str | None = None,
        version: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> None:
        super().__init__(_checked(type(self).__qualname__, data, values), name, version, metadata)

    def recorded(self) -> Mapping[str, Any]:
        """The numbers by name."""
        return dict(self.data)


def _checked(kind: str, data: object, values: Mapping[str, Any]) -> dict[str, Any]:
    if data is not None and not isinstance(data, Mapping):
        message = (
            f"{kind}: expected numbers by name, such as {kind}({{'acc': 0.9}}) or {kind}(acc=0.9), "
            f"found {type(data).__qualname__}"
        )
        raise DefinitionError(message)
    found = {key: _as_number(value) for key, value in [*(data or {}).items(), *values.items()]}
    problems = [
        f"the name {_shown(key)} must be a non-empty str" for key in found if not (isinstance(key, str) and key)
    ]
    problems += [
        f"{_shown(key)} must be a number, found {type(value).__qualname__}; what describes numbers belongs in metadata="
        for key, value in found.items()
        if not isinstance(value, numbers.Number)
    ]
    problems += [f"{key!r} is said twice, in data and as a keyword" for key in values if key in (data or {})]
    if problems:
        message = f"{kind}: {'; '.join(problems)}"
        raise DefinitionError(message)
    return found


def _as_number(value: Any) -> Any:
    """The plain number that a scalar of an array library is; everything else as it is."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "dtype") and hasattr(value, "item"):
        return value.item()
    return value


def _shown(key: object) -> str:
    """A name as it is, or what stands in its place; the repr of a stranger may be long or raise."""
    return repr(key) if isinstance(key, (str, int)) else f"<{type(key).__qualname__}>"
