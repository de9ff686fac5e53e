"""How many workers None stands for."""

from __future__ import annotations

from crystallize_executors.budget import budget

__all__ = ["worker_count"]


def worker_count(max_workers: int | None, pending: int) -> int:
    """How many workers to use for so many replicates; None stands for this process's share of the cores."""
    return max(1, min(budget() if max_workers is None else max_workers, pending))
