"""What the steps of an experiment ask of a machine, in the words of Dask: the resources that workers declare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from crystallize_core import ResourceRequest
from crystallize_core.requirements import asked_by

__all__ = ["Demands"]


@attrs.frozen
class Demands:
    """Which workers may run replicates, and what each replicate takes of them.

    Attributes:
        request: The most that any of the steps asks for.

    """

    request: ResourceRequest

    @classmethod
    def of(cls, experiment: Any) -> Demands:
        """Those of the steps of an experiment."""
        return cls(asked_by(experiment))

    def taken_of(self, worker: Mapping[str, Any]) -> dict[str, float] | None:
        """What a replicate takes of this worker while it runs; None if it cannot run there.

        GPUs, the type of GPU and labels must be declared by the worker. Cores, memory and disk are taken of what it
        declares; of a worker that declares none of them, only the limit of its memory is known.

        Args:
            worker: The worker as its scheduler describes it.

        """
        declared: Mapping[str, float] = worker.get("resources") or {}
        limit = worker.get("memory_limit") or 0
        if any(label not in declared for label in self._labels()):
            return None
        if "MEMORY" not in declared and self.request.memory is not None and 0 < limit < self.request.memory:
            return None
        known = {name: amount for name, amount in self._optional().items() if name in declared}
        taken = {**known, **self._required()}
        return taken if all(declared.get(name, 0) >= amount for name, amount in taken.items()) else None

    def _required(self) -> dict[str, float]:
        return {} if self.request.gpu is None else {"GPU": float(self.request.gpu.count)}

    def _optional(self) -> dict[str, float]:
        amounts = {"CPU": self.request.cpu, "MEMORY": self.request.memory, "STORAGE": self.request.storage}
        return {name: float(amount) for name, amount in amounts.items() if amount is not None}

    def _labels(self) -> list[str]:
        # `dask worker --resources` splits at every =
        labels = [label.replace("=", ":") for label in self.request.affinity]
        kind = self.request.gpu and self.request.gpu.type
        return [*labels, *([kind] if kind else [])]

    def refusal(self, workers: Mapping[str, Mapping[str, Any]]) -> str:
        """Why none of these workers will do."""
        needed = {**self._optional(), **self._required()}
        words = [f"{name}={amount:g}" for name, amount in needed.items()] + [f"{label}=1" for label in self._labels()]
        there = "".join(
            f"\n  {address}: {_words(worker.get('resources') or {})}, memory limit {worker.get('memory_limit') or 'none'}"
            for address, worker in sorted(workers.items())[:MOST_LISTED]
        )
        more = f"\n  and {len(workers) - MOST_LISTED} more" if len(workers) > MOST_LISTED else ""
        return (
            f"the steps ask for {self.request}, and no worker declares that:{there}{more}\n"
            f'  start workers with: dask worker --resources "{",".join(words)}"'
        )


MOST_LISTED: Final = 5


def _words(declared: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={amount:g}" for name, amount in sorted(declared.items())) or "declares nothing"
