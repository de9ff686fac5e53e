"""The checks of those options that only `SlurmExecution` has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["check_address", "mapping_of_names", "usable_folder", "word_or_none"]

ADDRESS: Final = re.compile(r"slurm://([\w.,-]+)")


def word_or_none(_instance: Any, field: Any, value: Any) -> None:
    """A validator: a name as Slurm knows it, or None for its default.

    Raises:
        ValueError: It is something else.

    """
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise ValueError(f"{field.name} must be a name, or None for the default of the cluster; found {value!r}")


def usable_folder(_instance: Any, field: Any, value: Any) -> None:
    """A validator: the path of a folder. Slurm replaces `%` in the names of log files, so that there must be none.

    Raises:
        ValueError: It is something else.

    """
    if not str(value) or "%" in str(value):
        raise ValueError(
            f"{field.name} must be a path without '%', which Slurm replaces in file names; found {value!r}"
        )


def mapping_of_names(_instance: Any, field: Any, value: Any) -> None:
    """A validator: parameters of submitit by their names.

    Raises:
        ValueError: It is something else, or asks for several tasks in one job.

    """
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError(f'{field.name} must be a mapping such as {{"slurm_gres": "gpu:1"}}; found {value!r}')
    for name in ("time", "slurm_time", "timeout_min", "slurm_timeout_min"):
        if name in value:
            raise ValueError(f"{field.name}: say it by the option timeout_minutes; found {name!r}")
    for name in ("nodes", "tasks_per_node", "slurm_nodes", "slurm_ntasks_per_node", "ntasks_per_node"):
        if value.get(name, 1) != 1:
            raise ValueError(f"{field.name}: each job is one worker, so that {name!r} must be 1; found {value[name]!r}")


def check_address(instance: Any, field: Any, value: Any) -> None:
    """A validator: None, or `slurm://PARTITION` for the partition that the option of that name says or leaves open.

    Raises:
        ValueError: It is something else, or names another partition.

    """
    if value is None:
        return
    found = ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{field.name} must be 'slurm://PARTITION'; found {value!r}")
    if instance.partition not in (None, found[1]):
        raise ValueError(
            f"{field.name} {value!r} names another partition than the option partition={instance.partition!r}"
        )
