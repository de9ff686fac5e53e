"""What a run is about: an experiment, or a pipeline that runs on its own as an experiment of one cell."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Self

from crystallize_core.artifact import Artifact
from crystallize_core.context import BASELINE_CONDITION
from crystallize_core.datasource import DataSource
from crystallize_core.engine.condition import Condition
from crystallize_core.engine.hooks import HookCalls
from crystallize_core.engine.timing import kept
from crystallize_core.hypothesis import Hypothesis
from crystallize_core.stack.attached import Stack
from crystallize_core.treatment import Treatment
from crystallize_core.wiring import Sources

__all__ = ["Subject"]


class Subject:
    """What plugins get as the experiment of a run, and what the engine reads of it.

    Attributes:
        name, description: What it is called, and what it says about itself.
        pipeline: The steps.
        stack: The plugins in their order.
        inputs: The names of what a run is given besides the data.
        retains: Whether everything that steps make is kept until the end of the run.

    """

    name: str
    description: str
    datasource: DataSource
    pipeline: Any
    initial_ctx: Mapping[str, Any]
    outputs: Sequence[Artifact]
    treatments: Sequence[Treatment]
    hypotheses: Sequence[Hypothesis]
    replicates: int
    stack: Stack
    inputs: frozenset[str] = frozenset()
    has_data: bool = True
    retains: bool = False

    def attach(self, stack: Stack) -> None:
        """Take these plugins, and let them configure this in `init_hook`."""
        self.stack = stack
        hooks = HookCalls(stack, only=frozenset({"init_hook"}))
        if hooks.init_hook is not None:
            hooks.init_hook(self)
        stack.switched_off = kept(hooks.take_notes())

    @property
    def title(self) -> str:
        """Words for messages."""
        return f"experiment {self.name!r}"

    @property
    def plugins(self) -> list[Any]:
        """The plugin objects in the order of the stack."""
        return [plugin.plugin for plugin in self.stack]

    def get_plugin(self, wanted: type | str) -> Any:
        """The plugin of that class or name, or None."""
        return self.stack.find(wanted)

    def conditions(self) -> list[Condition]:
        """The baseline and the treatments, with what their contexts start with.

        Raises:
            DefinitionError: A treatment meets a key of `initial_ctx` and does not say that it overrides.

        """
        by_name = {treatment.name: treatment for treatment in self.treatments}
        baseline = by_name.pop(BASELINE_CONDITION, None)
        initial = {**self.pipeline.parameters, **self.initial_ctx}
        return [
            Condition.of(name, initial, treatment, self.datasource)
            for name, treatment in [(BASELINE_CONDITION, baseline), *by_name.items()]
        ]

    def sources(self, known: Mapping[str, frozenset[str]]) -> Sources:
        """Where the parameters of steps may come from besides other steps.

        Args:
            known: The context keys that are known to be there, by condition.

        """
        artifacts = Sources.by_parameter(self.outputs)
        return Sources(known, artifacts, self.inputs, self.has_data, self.retains)

    # Sending ------------------------------------------------------------------------------------------

    def for_workers(self) -> Self:
        """What a worker needs of this: everything but the hypotheses."""
        sent = copy.copy(self)
        sent.hypotheses = []
        return sent

    def parts(self) -> list[tuple[str, Any]]:
        """The parts with their names, for messages about the one that is the matter."""
        return [
            ("datasource", self.datasource),
            *((f"step {step.name!r}", step) for step in self.pipeline.steps),
            *((f"treatment {treatment.name!r}", treatment) for treatment in self.treatments),
            *((f"initial_ctx[{key!r}]", value) for key, value in self.initial_ctx.items()),
            *((f"output {output.name!r}", output) for output in self.outputs),
            *((f"plugin {plugin.name!r}", Stack([plugin])) for plugin in self.stack),
        ]

    def __copy__(self) -> Self:
        """A copy that shares the attached plugins; without this, copying would go through pickle and attach them again."""
        derived = object.__new__(type(self))
        derived.__dict__.update(self.__dict__)
        return derived

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.attach(self.stack)
