"""What a step needs of a machine: the value of the step option `resources`, in one normal form.

Nothing here looks at a machine. Executors and schedulers, ours and those of clusters, read a `ResourceRequest`.
Resources in the other sense, what a context makes once per worker, are in `resource.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from crystallize_core.accelerators import GPUConfig, best_type, gpu_of
from crystallize_core.errors import DefinitionError
from crystallize_core.quantities import attempted, cores, in_words, labels, quoted, read, size, table_of

__all__ = ["GPUConfig", "ResourceRequest", "as_request", "asked_by", "combined"]

KEYS: Final = ("cpu", "memory", "storage", "gpu", "gpu_count", "affinity")


def _read_cpu(value: Any) -> float | None:
    found: float | None = read("cpu", cores, value)
    return found


def _read_memory(value: Any) -> int | None:
    found: int | None = read("memory", size, value)
    return found


def _read_storage(value: Any) -> int | None:
    found: int | None = read("storage", size, value)
    return found


def _read_affinity(value: Any) -> tuple[str, ...]:
    found: tuple[str, ...] | None = read("affinity", labels, value)
    return found or ()


def _read_gpu(value: Any) -> GPUConfig | None:
    return gpu_of(value, None)


@attrs.frozen(repr=False, str=False)
class ResourceRequest:
    """What a step needs of a machine; None stands for whatever there is.

    Args:
        cpu: Cores, also parts of one.
        memory: Bytes of main memory, also written as `"16Gi"`.
        storage: Bytes on disk, also written as `"16Gi"`.
        gpu: Accelerators.
        affinity: Labels of the machines that it may run on, such as `zone=eu`; kept in order and each once.

    Raises:
        DefinitionError: One of them is something else.

    """

    cpu: float | None = attrs.field(default=None, converter=_read_cpu)
    memory: int | None = attrs.field(default=None, converter=_read_memory)
    storage: int | None = attrs.field(default=None, converter=_read_storage)
    gpu: GPUConfig | None = attrs.field(default=None, converter=_read_gpu)
    affinity: tuple[str, ...] = attrs.field(default=(), converter=_read_affinity)

    def to_dict(self) -> dict[str, Any]:
        """What was asked for, as plain values that `as_request` reads."""
        plain: dict[str, Any] = {"cpu": self.cpu, "memory": self.memory, "storage": self.storage}
        plain |= {"gpu": self.gpu and self.gpu.to_dict(), "affinity": list(self.affinity) or None}
        return {name: value for name, value in plain.items() if value is not None}

    def __str__(self) -> str:
        words = [] if self.cpu is None else [f"{self.cpu:g} core{'s' * (self.cpu != 1)}"]
        words += [] if self.memory is None else [f"{in_words(self.memory)} of memory"]
        words += [] if self.storage is None else [f"{in_words(self.storage)} of storage"]
        if self.gpu is not None:
            kind = f" of type {self.gpu.type}" if self.gpu.type else ""
            each = f" with {in_words(self.gpu.memory)}" if self.gpu.memory else ""
            words.append(f"{self.gpu.count} GPU{'s' * (self.gpu.count > 1)}{kind}{each}")
        words += [f"a machine with {label}" for label in self.affinity]
        return ", ".join(words) or "nothing"

    def __repr__(self) -> str:
        return f"ResourceRequest({', '.join(f'{name}={getattr(self, name)!r}' for name in self.to_dict())})"


_READERS: Final = {
    "cpu": _read_cpu,
    "memory": _read_memory,
    "storage": _read_storage,
    "affinity": _read_affinity,
}


def as_request(value: Any) -> ResourceRequest:
    """What `resources=` of a step means.

    Args:
        value: A `ResourceRequest`, or a mapping with some of these keys. `cpu`: 4, 0.5, `"4"` or `"500m"`. `memory` and
            `storage`: an int of bytes, `"16Gi"`, `"512Mi"`, `"16GB"`, `"1.5Gi"`; Ki, Mi, … are powers of 1024, k, M, …
            and KB, MB, … powers of 1000. `gpu`: how many, a type, a mapping with `type`, `count` and `memory`, or a
            `GPUConfig`; 0 is none. `gpu_count`: how many of the type in `gpu`. `affinity`: labels, or a mapping.

    Raises:
        DefinitionError: It is something else; every problem that was found is listed.

    """
    if isinstance(value, ResourceRequest):
        return value
    if not isinstance(value, Mapping):
        message = (
            f'resources must be a mapping such as {{"cpu": 4, "memory": "16Gi"}} or a ResourceRequest; '
            f"found {quoted(value)}"
        )
        raise DefinitionError(message)
    table, problems = table_of(value, KEYS, "resources")
    given: dict[str, Any] = {}
    for name, reader in _READERS.items():
        given[name] = attempted(problems, reader, table.get(name))
    given["gpu"] = attempted(problems, lambda held: gpu_of(held, table.get("gpu_count")), table.get("gpu"))
    if len(problems) == 1:
        raise DefinitionError(f"resources: {problems[0]}")
    if problems:
        raise DefinitionError("\n  ".join([f"resources: {len(problems)} problems", *problems]))
    return ResourceRequest(**given)


def combined(requests: Iterable[Any]) -> ResourceRequest:
    """What steps need that run one after the other in one place, as those of an execution group do.

    The most cores, memory, storage and GPUs that any of them asks for, the best type of GPU (`best_type` says which that
    is) with the most memory, and the labels of all.

    Raises:
        DefinitionError: One of them is no request.

    """
    found = [as_request(request) for request in requests]
    gpus = [request.gpu for request in found if request.gpu is not None]
    gpu = None
    if gpus:
        kind = best_type([(gpu.type, gpu.memory) for gpu in gpus])
        gpu = GPUConfig(kind, max(gpu.count for gpu in gpus), _most(gpu.memory for gpu in gpus))
    return ResourceRequest(
        cpu=_most(request.cpu for request in found),
        memory=_most(request.memory for request in found),
        storage=_most(request.storage for request in found),
        gpu=gpu,
        affinity=sorted({label for request in found for label in request.affinity}),
    )


def asked_by(experiment: Any) -> ResourceRequest:
    """What a replicate of this experiment needs: `combined` of what its steps ask for with their option `resources`.

    Raises:
        DefinitionError: A step asks for something that is no request.

    """
    asked = (step.options.get("resources") for step in experiment.pipeline.steps)
    return combined(request for request in asked if request is not None)


def _most(amounts: Iterable[Any]) -> Any:
    return max((amount for amount in amounts if amount is not None), default=None)
