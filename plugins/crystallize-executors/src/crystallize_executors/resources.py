"""`ResourcesPlugin`: the step option `resources` on one machine."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal
from weakref import WeakKeyDictionary

import attrs

from crystallize_core import BasePlugin, ResourceRequest, StepOptionError, as_request
from crystallize_core.option_checks import one_of, true_or_false
from crystallize_executors.folder_ledger import can_lock, folder_ledger, remove_folder
from crystallize_executors.granting import EVENT, NAME, Policy, cell_name, surrounding_room
from crystallize_executors.machine import Machine
from crystallize_executors.usage import Usage

if TYPE_CHECKING:
    from crystallize_core import ReplicateOutcome

__all__ = ["ResourcesPlugin"]


def _check_available(_instance: Any, field: Any, value: Any) -> None:
    """A validator: what `resources` of a step may be, or None.

    Raises:
        DefinitionError: It is something else.

    """
    if value is not None:
        try:
            as_request(value)
        except ValueError as error:
            raise ValueError(f"{field.name}: {error}") from None


@attrs.define(eq=False)
class _Run:
    """What the coordinator remembers of a run while it goes on."""

    id: str
    machine: Machine
    folder: Path | None
    requested: Mapping[str, ResourceRequest]
    used: dict[str, Usage] = attrs.field(factory=dict)


_going_on: Final[WeakKeyDictionary[Any, _Run]] = WeakKeyDictionary()
"""By the experiment as a run sees it, which is the run's own."""


@attrs.frozen(eq=False, slots=False)
class ResourcesPlugin(BasePlugin):
    """Admit steps by the cores, memory, disk and GPUs that they ask for, and record what they used.

    A step asks by its option `resources={"cpu": 4, "memory": "16Gi"}`. It waits until the machine has that free, among all
    steps of all threads and worker processes of the run. A step that asks for more than there is is refused before
    anything runs. Steps that do not ask cost nothing and are not counted.

    Args:
        oversubscribe: Whether a step that asks for more than there is runs anyway, with all there is.
        record: Whose use to record: `requested` for steps that ask, `all`, or `none`.
        available: What steps may use in all, written like `resources` of a step; what is not mentioned is that of the
            machine.

    Raises:
        ValueError: An option has a value that it cannot have.

    """

    plugin_name: ClassVar[str | None] = NAME
    before: ClassVar[tuple[str, ...]] = ("retries",)  # why, says the file of the policy

    oversubscribe: bool = attrs.field(default=False, validator=true_or_false)
    record: Literal["requested", "all", "none"] = attrs.field(
        default="requested", validator=one_of("requested", "all", "none")
    )
    available: Mapping[str, Any] | None = attrs.field(default=None, validator=_check_available)

    # When the plan is made ------------------------------------------------------------------------

    def step_options(self) -> Mapping[str, Any]:
        """The option with its check."""
        return {NAME: _request_of}

    def wrap_step(self, experiment: Any, step: Any, call: Callable[[Any, Any], Any]) -> Any:
        """The call with the policy around it; None for a step that asks for nothing.

        Raises:
            StepOptionError: It asks for more than there is.

        """
        request = _request_of(step.options.get(NAME))
        if request is None and self.record != "all":
            return None
        machine = self._machine([] if request is None else [request])
        lacking = [] if request is None or self.oversubscribe or _is_allocated(experiment) else machine.lacks(request)
        if lacking:
            listed = "".join(f"\n  {line}" for line in lacking)
            message = (
                f"step {step.name!r} asks for {request}, and that is more than this machine has:{listed}\n"
                f"  ask for less, or let it run with what there is by ResourcesPlugin(oversubscribe=True)"
            )
            raise StepOptionError(message)
        policy = Policy(request, machine, self.record != "none", step.options.get("timeout") is not None)
        return policy.around(call, is_async=step.is_async)

    def _machine(self, requests: list[ResourceRequest]) -> Machine:
        with_gpus = any(request.gpu is not None for request in requests)
        machine = Machine.here(with_gpus=with_gpus)
        if self.available is None:
            return machine
        available = as_request(self.available)
        return machine.limited(available if with_gpus else attrs.evolve(available, gpu=None))

    def unneeded_hooks(self, experiment: Any) -> Collection[str]:
        """All of those of a run, where no step asks and nobody wants every step recorded."""
        is_asked = any(step.options.get(NAME) is not None for step in experiment.pipeline.steps)
        return () if is_asked or self.record == "all" else ("before_run", "replicate_done", "describe_run", "after_run")

    # In the coordinator ---------------------------------------------------------------------------

    def before_run(self, experiment: Any, run: Any) -> None:
        """Make the queue that worker processes share, and tell them where it is."""
        pipeline = experiment.pipeline
        asked = {
            name: _request_of(step.options.get(NAME))
            for name, step in zip(pipeline.step_names, pipeline.steps, strict=True)
        }
        requested = {name: request for name, request in asked.items() if request is not None}
        shares = run.concurrency == "process" and not _is_allocated(experiment)
        folder = _new_folder() if requested and shares else None
        room = surrounding_room()
        run.shared[NAME] = {
            "folder": None if folder is None else str(folder),
            "room": None if room is None else room.to_plain(),
        }
        _going_on[experiment] = _Run(run.id, self._machine(list(requested.values())), folder, requested)

    def replicate_done(self, experiment: Any, replicate: int, outcome: ReplicateOutcome) -> None:  # noqa: ARG002 - the hook's name
        """Count what the steps used."""
        mine = _going_on.get(experiment)
        if mine is None:
            return
        for event in (event for cell in outcome.cells for event in cell.events if event.name == EVENT):
            # A cached output brings the event of the cell along that made it, in this run or in another one.
            if event.payload["cell"] == cell_name(mine.id, event.condition, event.replicate):
                mine.used.setdefault(event.step or "", Usage()).add(event.payload)

    def describe_run(self, experiment: Any) -> Mapping[str, Any] | None:
        """Say what there was, who shared it, and what the steps asked for and used."""
        mine = _going_on.get(experiment)
        if mine is None:
            return None
        machine = mine.machine
        return {
            "shared_by": "process" if mine.folder is None else "machine",
            "available": {
                "cpu": machine.cpu,
                "memory": machine.memory,
                "storage": machine.storage,
                "gpus": [device.id for device in machine.devices],
            },
            "requested": {name: request.to_dict() for name, request in mine.requested.items()},
            "used": {name: usage.to_dict() for name, usage in mine.used.items()},
        }

    def after_run(self, experiment: Any, result: Any) -> None:  # noqa: ARG002 - the hook's name
        """Remove the queue."""
        mine = _going_on.pop(experiment, None)
        if mine is not None and mine.folder is not None:
            remove_folder(mine.folder)


def _is_allocated(experiment: Any) -> bool:
    """Whether the executor asks a cluster for what steps want, so that this machine need not have it."""
    executor = getattr(getattr(experiment, "stack", None), "executor", None)
    return executor is not None and getattr(executor.plugin, "allocates_resources", False) is True


def _request_of(value: Any) -> ResourceRequest | None:
    """What the option of a step means; None for none."""
    return None if value is None else as_request(value)


def _new_folder() -> Path | None:
    """A folder for the queue of a run, which nobody can guess; None where worker processes cannot share one."""
    folder = Path(tempfile.gettempdir()) / f"crystallize-resources-{secrets.token_hex(8)}"
    if not can_lock():
        return None
    try:
        folder_ledger(folder)
    except OSError:
        return None
    return folder
