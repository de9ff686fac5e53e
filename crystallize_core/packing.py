"""Outcomes as bytes and back: on their way from worker to coordinator, where most are small and there are many.

As plain tuples they take a third of the time that their objects take: pickle knows tuples by heart, and has to ask
for every attribute of an object.
"""

from __future__ import annotations

import copyreg
import importlib.util
import pickle
from array import array
from collections.abc import Iterable
from typing import Any

from crystallize_core.errors import CrystallizeError
from crystallize_core.outcome import CellOutcome, ReplicateOutcome
from crystallize_core.pickling import dumped_by_value

__all__ = ["dumped", "dumped_outcomes", "keep_own_errors", "loaded_outcomes"]


def dumped(item: Any) -> bytes:
    """Bytes of the standard pickle; by value for what was defined in a script or a function.

    Raises:
        Exception: It cannot be pickled in either way.

    """
    try:
        return pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
    except Exception:
        if keep_own_errors():
            return dumped(item)
        if importlib.util.find_spec("cloudpickle") is None:
            raise  # what is the matter with the item says more than that there is no other way
        return dumped_by_value(item)


def keep_own_errors() -> bool:
    """Let our errors be pickled in their own way, which survives a cause that cannot be; says whether they were not.

    tblib, which Dask installs as it is imported, registers another way for all exceptions that are there by then, whatever
    `__reduce__` they have.
    """
    errors = [
        kind for kind in list(copyreg.dispatch_table) if isinstance(kind, type) and issubclass(kind, BaseException)
    ]
    others = [k for k in errors if issubclass(k, CrystallizeError) or k.__module__.startswith("crystallize")]
    for kind in others:
        copyreg.dispatch_table.pop(kind, None)
    return bool(others)


def dumped_outcomes(outcomes: Iterable[ReplicateOutcome]) -> bytes:
    """Outcomes as bytes.

    Raises:
        Exception: A part of them cannot be pickled.

    """
    return dumped([(found.replicate, [_cell(cell) for cell in found.cells], found.notes) for found in outcomes])


def _cell(cell: CellOutcome) -> tuple[Any, ...]:
    durations = cell.durations
    spent = durations.tobytes() if type(durations) is array else durations
    artifacts, events, error, seed = cell.artifacts, cell.events, cell.error, cell.seed
    rest: tuple[Any, ...] | None = (artifacts, events, error, seed, cell.provenance, cell.output)
    is_plain = not artifacts and not events and error is None and seed is None
    if is_plain and cell.provenance is None and cell.output is None:
        rest = None
    return cell.replicate, cell.condition, cell.metrics, spent, rest


def loaded_outcomes(body: bytes) -> list[ReplicateOutcome]:
    """What `dumped_outcomes` was given. Only for bytes from a worker of this run: reading them runs code.

    Raises:
        Exception: A part of them cannot be read back.

    """
    found = pickle.loads(body)  # noqa: S301 - from a process of this run
    return [
        ReplicateOutcome(replicate, [_cell_of(*parts) for parts in cells], notes) for replicate, cells, notes in found
    ]


def _cell_of(
    replicate: int, condition: str, metrics: list[Any], spent: Any, rest: tuple[Any, ...] | None
) -> CellOutcome:
    if type(spent) is bytes:
        durations = array("q")
        durations.frombytes(spent)
        spent = durations
    if rest is None:
        return CellOutcome(replicate, condition, metrics, [], [], None, spent)
    artifacts, events, error, seed, provenance, output = rest
    return CellOutcome(replicate, condition, metrics, artifacts, events, error, spent, seed, provenance, output)
