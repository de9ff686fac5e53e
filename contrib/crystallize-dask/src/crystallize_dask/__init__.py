"""Dask for Crystallize: the replicates of an experiment on a cluster, with the result of a plain loop."""

from __future__ import annotations

from crystallize_dask.execution import DaskExecution

__all__ = ["DaskExecution"]
