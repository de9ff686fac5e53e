"""What the steps of an experiment ask of a machine, in the words of Ray: the resources of an actor and the labels of nodes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from crystallize_core import ResourceRequest
from crystallize_core.errors import WorkerError
from crystallize_core.requirements import asked_by

__all__ = ["Demands"]

MOST_LISTED: Final = 5
TRACE: Final = 0.001
"""So much of a resource that stands for a property of a node: everybody who needs the property may have it."""
KIND: Final = "accelerator_type:"
"""What Ray names the resource that stands for the type of the GPUs of a node begins with."""


@attrs.frozen
class Demands:
    """What each worker takes of the cluster.

    Attributes:
        request: The most that any of the steps asks for.

    """

    request: ResourceRequest

    @classmethod
    def of(cls, experiment: Any) -> Demands:
        """Those of the steps of an experiment."""
        return cls(asked_by(experiment))

    @property
    def amounts(self) -> dict[str, float]:
        """The resources of Ray of which each worker takes so much: a core, where no step says how many."""
        found = {"CPU": 1.0 if self.request.cpu is None else self.request.cpu}
        if self.request.gpu is not None:
            found["GPU"] = float(self.request.gpu.count)
        if self.request.memory is not None:
            found["memory"] = float(self.request.memory)
        return found

    def actor_options(self, nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The options of the actors; the type of a GPU is written as the nodes write it."""
        amounts = self.amounts
        options: dict[str, Any] = {"num_cpus": amounts["CPU"]}
        if "GPU" in amounts:
            options["num_gpus"] = amounts["GPU"]
        if "memory" in amounts:
            options["memory"] = int(amounts["memory"])
        traces = [label for label in self.request.affinity if "=" not in label]
        kinds = {kind for node in nodes for kind in self._kinds(node)}
        traces += sorted(kinds)[:1]
        if traces:
            options["resources"] = dict.fromkeys(traces, TRACE)
        labels = dict(label.split("=", 1) for label in self.request.affinity if "=" in label)
        if labels:
            options["label_selector"] = labels
        return options

    def _kinds(self, node: Mapping[str, Any]) -> list[str]:
        """The resources of a node that stand for GPUs of the type that is asked for."""
        kind = self.request.gpu and self.request.gpu.type
        if not kind:
            return []
        asked = set(_words(kind))
        return [name for name in node["Resources"] if name.startswith(KIND) and asked & set(_words(name[len(KIND) :]))]

    def fit(self, node: Mapping[str, Any]) -> int:
        """How many workers a node has room for when nothing else runs on it."""
        there: Mapping[str, float] = node["Resources"]
        labels: Mapping[str, str] = node.get("Labels") or {}
        for label in self.request.affinity:
            name, equals, value = label.partition("=")
            if (labels.get(name) != value) if equals else not there.get(label):
                return 0
        if self.request.gpu is not None and self.request.gpu.type and not self._kinds(node):
            return 0
        rooms = [int(there.get(name, 0.0) / amount) for name, amount in self.amounts.items() if amount > 0]
        return min(rooms, default=MOST_PER_NODE)

    def room(self, nodes: Iterable[Mapping[str, Any]]) -> int:
        """How many workers these nodes have room for in all."""
        return sum(self.fit(node) for node in nodes)

    def refuse_impossible(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """See that there is a node that could run a worker when nothing else runs on it.

        Raises:
            WorkerError: There is none; what the nodes have is listed.

        """
        if any(self.fit(node) for node in nodes):
            return
        listed = "".join(f"\n  {_described(node)}" for node in nodes[:MOST_LISTED]) or "\n  there is no node"
        more = f"\n  and {len(nodes) - MOST_LISTED} more" if len(nodes) > MOST_LISTED else ""
        asked = str(self.request) if self.request.to_dict() else "nothing, so that a worker takes 1 core"
        message = (
            f"the steps ask for {asked}, and no node of the Ray cluster has that:{listed}{more}\n"
            f"  ask for less with resources=..., or start a node that has it"
        )
        raise WorkerError(message)


MOST_PER_NODE: Final = 64
"""So many workers have room on a node where they take nothing of it."""


def _words(kind: str) -> list[str]:
    return [word for word in re.findall(r"[a-z0-9]+", kind.lower()) if word not in {"nvidia", "tesla", "amd", "intel"}]


def _described(node: Mapping[str, Any]) -> str:
    there: Mapping[str, float] = node["Resources"]
    shown = {
        name: f"{amount / 2**30:.1f} GiB" if name == "memory" else f"{amount:g}"
        for name, amount in sorted(there.items())
        if name != "object_store_memory" and not name.startswith("node:")
    }
    shown |= {name: value for name, value in (node.get("Labels") or {}).items() if not name.startswith("ray.io/")}
    return f"{node['NodeManagerAddress']}: {', '.join(f'{name}={value}' for name, value in shown.items())}"
