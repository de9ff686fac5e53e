"""Replicates of Crystallize experiments on a Ray cluster. Importing this does not import Ray; a run does."""

from __future__ import annotations

from crystallize_ray.execution import RayExecution

__all__ = ["RayExecution"]
