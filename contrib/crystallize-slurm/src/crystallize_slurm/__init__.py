"""An executor for Crystallize on clusters that are run by Slurm."""

from __future__ import annotations

from crystallize_slurm.execution import SlurmExecution

__all__ = ["SlurmExecution"]
