"""What Slurm is asked for: the options of the executor and the `resources` of the steps, in the words of submitit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from crystallize_core import DefinitionError, ResourceRequest

if TYPE_CHECKING:
    from crystallize_slurm.execution import SlurmExecution

__all__ = ["parameters_of"]

SHARED: Final = (
    "name",
    "timeout_min",
    "mem_gb",
    "nodes",
    "cpus_per_task",
    "gpus_per_node",
    "tasks_per_node",
    "stderr_to_stdout",
)
"""The parameters that submitit has for all clusters; all others carry the name of theirs."""
PREFIXES: Final = ("slurm_", "local_", "debug_")
MIB: Final = 2**20
FEATURE: Final = re.compile(r"[\w.=:+-]+")
"""A feature of a node; the other characters mean something in a constraint."""


def parameters_of(options: SlurmExecution, request: ResourceRequest, name: str) -> dict[str, Any]:
    """The parameters for submitit. What the user has given as `parameters` counts most.

    Args:
        options: The executor.
        request: What the steps ask for.
        name: That of the experiment, for the name of the jobs.

    Raises:
        DefinitionError: The steps ask for something that Slurm cannot be asked for.

    """
    given = {_full_name(key): value for key, value in options.parameters.items()}
    words = re.sub(r"[^\w.-]+", "-", name)[:50].strip("-") or "experiment"
    found: dict[str, Any] = {"name": f"crystallize-{words}", "timeout_min": options.timeout_minutes}
    partition = options.partition or (options.address or "").removeprefix("slurm://") or None
    found |= {"slurm_partition": partition, "slurm_account": options.account, "slurm_qos": options.qos}
    found |= _of_request(request, given)
    # 90 s, as everywhere; in a job of a few minutes the signal would come before anybody listens.
    found |= {"slurm_signal_delay_s": min(90, 6 * options.timeout_minutes)}
    # A job that Slurm puts back into its queue would run beside the one that we submit in its place.
    more = {"no-requeue": True, **found.pop("slurm_additional_parameters", {})}
    more |= given.pop("slurm_additional_parameters", {})
    found |= {"slurm_additional_parameters": more, "slurm_array_parallelism": options.max_workers}
    return {key: value for key, value in (found | given).items() if value is not None}


def _full_name(key: str) -> str:
    return key if key in SHARED or key.startswith(PREFIXES) else f"slurm_{key}"


def _of_request(request: ResourceRequest, given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if request.cpu is not None:
        found["cpus_per_task"] = max(1, math.ceil(request.cpu))
    if request.memory is not None:
        found["mem_gb"] = math.ceil(request.memory / MIB) / 1024  # submitit counts in steps of one MiB
    if request.storage is not None:
        found["slurm_additional_parameters"] = {"tmp": f"{math.ceil(request.storage / MIB)}M"}
    if request.gpu is not None:
        found |= _of_gpu(request, given)
    if request.affinity and "slurm_constraint" not in given:
        found["slurm_constraint"] = _constraint(request.affinity)
    return found


def _of_gpu(request: ResourceRequest, given: Mapping[str, Any]) -> dict[str, Any]:
    assert request.gpu is not None
    asked = {"gpus_per_node", "slurm_gpus_per_node", "slurm_gpus_per_task", "slurm_gres"} & set(given)
    if asked:
        return {}
    if request.gpu.memory is not None and "slurm_constraint" not in given:
        message = (
            f"steps ask for {request}, but Slurm cannot be asked for GPUs by their memory\n  say which nodes or GPUs have "
            'it, by parameters={"slurm_constraint": ...} or parameters={"slurm_gres": "gpu:TYPE:COUNT"} of SlurmExecution'
        )
        raise DefinitionError(message)
    if request.gpu.type is None:
        return {"gpus_per_node": request.gpu.count}
    return {"slurm_gres": f"gpu:{request.gpu.type}:{request.gpu.count}"}


def _constraint(labels: tuple[str, ...]) -> str:
    """The features that a node must have, all of them.

    Raises:
        DefinitionError: One of them cannot be the name of a feature.

    """
    wrong = [label for label in labels if FEATURE.fullmatch(label) is None]
    if wrong:
        message = (
            f"steps ask for machines with {', '.join(map(repr, wrong))}, which cannot be a feature of a Slurm node\n"
            '  say it as parameters={"slurm_constraint": ...} of SlurmExecution'
        )
        raise DefinitionError(message)
    return "&".join(labels)
