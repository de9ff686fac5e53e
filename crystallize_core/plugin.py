"""`BasePlugin`: the hooks as methods that a plugin overrides."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from crystallize_core.asset import Asset
    from crystallize_core.cache import CacheStore
    from crystallize_core.context import Event, FrozenContext
    from crystallize_core.outcome import CellOutcome, ReplicateOutcome

__all__ = ["BasePlugin"]


class BasePlugin:
    """Override what you need; every other hook costs nothing.

    What each hook means, when it is called and in which process, is said in `crystallize_core.hookspecs`.
    An override may take fewer arguments than the method here. The options of a plugin are its attrs
    fields, so that the same class serves `MyPlugin(size=3)` and a configuration file.

    Attributes:
        plugin_name: The name of the plugin in stacks, messages and records; default the name of its
            entry point, else of its class. Name it as the entry point, so that an instance made in
            Python replaces the installed one. An instance that has another name in its stack has that one here.
        contract: The version of the hooks that the plugin was written for, such as "1.0"
            (`crystallize_core.hookspecs.CONTRACT`); None means the oldest. A core that has only an older one refuses
            the plugin and says what to install.
        essential: Whether a failing hook fails the cell or the run (the default); an observer says
            False, and is switched off and noted instead.
        before, after: Names of plugins that this one comes before or after in the stack; `"*"` stands
            for all others.
        watches_generators: Whether its `cache_dependencies` says of each step which numbers it drew from the global
            generators. Where no plugin does, an output of a step that drew is not cached.
        changes_process: What of the process the hooks of an essential plugin change on purpose, of `random`,
            `environment`, `folder`, `locale`, `warnings`, `logging` and `interpreter`; the conformance kit lets that be.
        concurrency: For executors: what its replicates share, one of `serial`, `thread`, `async`,
            `process`; None for a plugin that is no executor.

    """

    plugin_name: ClassVar[str | None] = None
    contract: ClassVar[str | None] = None
    essential: ClassVar[bool] = True
    watches_generators: ClassVar[bool] = False
    changes_process: ClassVar[tuple[str, ...]] = ()
    before: ClassVar[tuple[str, ...]] = ()
    after: ClassVar[tuple[str, ...]] = ()
    concurrency: str | None = None

    @classmethod
    def autoload(cls) -> BasePlugin:
        """The instance that is used where the plugin is merely installed and nobody named it."""
        return cls()

    def named(self, name: str) -> Self:
        """A copy of this plugin under another name, for a second one in the same stack.

        Args:
            name: The name in the stack, in messages and records.

        """
        other = copy.copy(self)
        object.__setattr__(other, "plugin_name", name)  # also where the class is frozen
        return other

    def unneeded_hooks(self, experiment: Any) -> Collection[str]:  # noqa: ARG002 - for those that override it
        """The hooks of this plugin that a run of this experiment has no use for, which then cost it nothing.

        Asked in every process when a run is prepared, so that a plugin for something that no step asks for is not
        called for each of a million replicates. The hooks of the definition and the plan are called in any case.

        Args:
            experiment: The experiment; `experiment.pipeline.steps` are its steps.

        """
        return ()

    # The methods below are never called: a hook is attached only where a subclass overrides it.

    def init_hook(self, experiment: Any) -> None:
        """Configure the experiment when the plugin is attached to it."""

    def before_run(self, experiment: Any, run: Any) -> None:
        """Do something before the first replicate."""

    def run_experiment_loop(self, experiment: Any, replicate_fn: Callable[[int], ReplicateOutcome]) -> Any:  # noqa: ARG002 - as specified
        """Run all replicates and return their outcomes; `NotImplemented` leaves it to others."""
        return NotImplemented

    def before_replicate(self, experiment: Any, ctx: FrozenContext) -> None:
        """Prepare the context of a cell."""

    def before_step(self, experiment: Any, step: Any, ctx: FrozenContext) -> None:
        """Do something before each attempt of a step."""

    def after_step(self, experiment: Any, step: Any, data: Any, ctx: FrozenContext) -> None:
        """Look at what a step came to."""

    def after_run(self, experiment: Any, result: Any) -> None:
        """Clean up or report after the run."""

    def step_options(self) -> Mapping[str, Any]:
        """Claim step options."""
        return {}

    def wrap_step(self, experiment: Any, step: Any, call: Callable[[Any, FrozenContext], Any]) -> Any:
        """Put a policy around the calls of a step."""

    def step_failed(self, experiment: Any, step: Any, ctx: FrozenContext, error: BaseException, attempt: int) -> None:
        """Look at a failed attempt."""

    def step_skipped(self, experiment: Any, step: Any, ctx: FrozenContext, reason: str) -> None:
        """Look at a step that is left out."""

    def after_replicate(self, experiment: Any, ctx: FrozenContext, outcome: CellOutcome) -> None:
        """Look at what a cell came to."""

    def replicate_done(self, experiment: Any, replicate: int, outcome: ReplicateOutcome) -> None:
        """Look at a replicate as it arrives in the coordinator."""

    def load_replicate(self, experiment: Any, replicate: int) -> ReplicateOutcome | None:
        """Give an outcome that is known from earlier."""

    def should_stop(self, experiment: Any, outcomes: Sequence[ReplicateOutcome]) -> bool | None:
        """Decide whether the replicates so far are enough."""

    def on_event(self, experiment: Any, event: Event) -> None:
        """Hear what happened."""

    def cache_dependencies(self, experiment: Any, step: Any, ctx: FrozenContext) -> Mapping[str, Any] | None:
        """Say what else the output of a cacheable step depends on."""

    def cache_store(self, experiment: Any) -> CacheStore | None:
        """Say where cached outputs are kept."""

    def store_asset(self, experiment: Any, asset: Asset, ctx: FrozenContext) -> str | None:
        """Store what a step returned, if it is of a type that this plugin is for."""

    def describe_run(self, experiment: Any) -> Mapping[str, Any] | None:
        """Add something to the run record."""
