"""Pipelines: steps in the order in which they run, and the way to run them without an experiment."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, overload

from crystallize_core.context import BASELINE_CONDITION, CONDITION_KEY, REPLICATE_KEY, CellContext, FrozenContext
from crystallize_core.engine.cell import run_steps
from crystallize_core.engine.drive import Loops, adrive, drive
from crystallize_core.engine.hooks import HookCalls
from crystallize_core.engine.observe import Observer
from crystallize_core.engine.plan import Plan, compile_plan
from crystallize_core.errors import CrystallizeError, DefinitionError
from crystallize_core.fingerprint import content_digest
from crystallize_core.stack.resolve import resolve
from crystallize_core.state import CellState
from crystallize_core.step import PipelineStep, as_step
from crystallize_core.wiring import unique_names

if TYPE_CHECKING:
    import logging

    from crystallize_core.engine.cell import Awaiting

__all__ = ["Pipeline", "as_pipeline", "pipeline"]

Records = list[Mapping[str, Any]]
POLICIES = frozenset({"step_options", "wrap_step", "cache_dependencies"})
"""The hooks that take part where a pipeline runs without an experiment."""


class Pipeline:
    """Steps that run one after the other, each on the output of the one before.

    Args:
        steps: Steps, or anything a step can be made of: decorated functions that were or were not
            called, partials of them, plain functions, `PipelineStep` objects and classes.

    Raises:
        DefinitionError: There is no step, or something that no step can be made of.

    """

    def __init__(self, steps: Iterable[Any]) -> None:
        if isinstance(steps, (str, bytes)) or not isinstance(steps, Iterable):
            message = f"Pipeline needs a list of steps, found {type(steps).__qualname__} {steps!r}"
            raise DefinitionError(message)
        self.steps: list[PipelineStep] = [as_step(step, f"pipeline step {at}") for at, step in enumerate(steps, 1)]
        if not self.steps:
            message = "a pipeline needs at least one step"
            raise DefinitionError(message)
        self._last: tuple[Mapping[str, Any], ...] = ()
        self._policies: HookCalls | None = None

    @overload
    def run(
        self, data: Any, ctx: FrozenContext | None = None, verbose: bool = ..., progress: bool = ..., rep: int | None = ...,  # noqa: FBT001 - the documented signature
        condition: str | None = ..., logger: logging.Logger | None = ..., return_provenance: Literal[False] = ...,
        experiment: Any = ...,
    ) -> Any: ...  # fmt: skip

    @overload
    def run(
        self, data: Any, ctx: FrozenContext | None = None, verbose: bool = ..., progress: bool = ..., rep: int | None = ...,  # noqa: FBT001 - the documented signature
        condition: str | None = ..., logger: logging.Logger | None = ..., *, return_provenance: Literal[True],
        experiment: Any = ...,
    ) -> tuple[Any, Records]: ...  # fmt: skip

    def run(
        self,
        data: Any,
        ctx: FrozenContext | None = None,
        verbose: bool = False,  # noqa: FBT001, FBT002 - the documented signature
        progress: bool = False,  # noqa: FBT001, FBT002 - the documented signature
        rep: int | None = None,
        condition: str | None = None,
        logger: logging.Logger | None = None,
        return_provenance: bool = False,  # noqa: FBT001, FBT002 - the documented signature
        experiment: Any = None,
    ) -> Any:
        """Run the steps on `data`; works in a script, in a thread and where an event loop runs.

        Args:
            data: The input of the first step.
            ctx: What the steps read from and record into; default an empty context.
            verbose: Log each step as it finishes.
            progress: Show a line of progress on standard error.
            rep, condition: Put into the context as `replicate` and `condition` where it lacks them.
            logger: What `ctx.logger` gives.
            return_provenance: Whether to return the records of the steps too.
            experiment: The experiment whose plugins are to see this. Without one, the policies of the
                project's plugins (`retry`, `timeout`) hold, and nobody observes.

        Returns:
            The output of the last step, or `(output, records)`.

        Raises:
            WiringError: A parameter that nothing fills; nothing has run.
            StepError: A step raised; `__cause__` is what it raised.

        """
        loops = Loops()
        try:
            output, records = drive(self._work(data, ctx, verbose, progress, rep, condition, logger, experiment), loops)
        finally:
            loops.close()
        return (output, [dict(record) for record in records]) if return_provenance else output

    async def arun(
        self,
        data: Any,
        ctx: FrozenContext | None = None,
        verbose: bool = False,  # noqa: FBT001, FBT002 - the documented signature
        progress: bool = False,  # noqa: FBT001, FBT002 - the documented signature
        rep: int | None = None,
        condition: str | None = None,
        logger: logging.Logger | None = None,
        return_provenance: bool = False,  # noqa: FBT001, FBT002 - the documented signature
        experiment: Any = None,
    ) -> Any:
        """The awaitable form of `run`, on the event loop of the caller."""
        output, records = await adrive(self._work(data, ctx, verbose, progress, rep, condition, logger, experiment))
        return (output, [dict(record) for record in records]) if return_provenance else output

    def _work(
        self,
        data: Any,
        ctx: FrozenContext | None,
        verbose: bool,  # noqa: FBT001 - passed through
        progress: bool,  # noqa: FBT001 - passed through
        rep: int | None,
        condition: str | None,
        logger: logging.Logger | None,
        experiment: Any,
    ) -> Awaiting:
        state = _state_of(ctx, rep, condition, logger)
        plan = self._plan_for(experiment, state)
        observer = _Narrator(state, len(plan.steps), verbose=verbose, progress=progress)
        try:
            output = yield from run_steps(plan, state, data, array("q"), observer)
        except CrystallizeError as error:
            where = {REPLICATE_KEY: state.values.get(REPLICATE_KEY), CONDITION_KEY: state.values.get(CONDITION_KEY)}
            error.address = {k: v for k, v in where.items() if v is not None} | error.address
            raise
        finally:
            self._last = tuple(observer.records)
        return output, observer.records

    def _plan_for(self, experiment: Any, state: CellState) -> Plan:
        """A fresh plan, because the code that the steps reach may have changed since the last run."""
        known = {str(state.values.get(CONDITION_KEY, BASELINE_CONDITION)): frozenset(state.values)}
        if experiment is not None:
            hooks, outputs = HookCalls(experiment.stack), experiment.outputs
            return compile_plan(self.steps, hooks, experiment, conditions=known, outputs=outputs)
        if self._policies is None:
            # Without an experiment there is nothing to observe; what plugins do around a step still holds.
            self._policies = HookCalls(resolve(), only=POLICIES)
        return compile_plan(self.steps, self._policies, conditions=known)

    def get_provenance(self) -> Sequence[Mapping[str, Any]]:
        """The records of the last `run`, one read-only mapping per step."""
        return tuple(MappingProxyType(dict(record)) for record in self._last)

    def signature(self) -> str:
        """A digest of the steps: their order, code and parameters; 64 hexadecimal digits.

        Raises:
            FingerprintError: A step or a parameter has no stable digest.

        """
        return content_digest(("pipeline", *(step.step_hash for step in self.steps)))

    @property
    def step_names(self) -> list[str]:
        """The names of the steps, made unique."""
        return unique_names(step.name for step in self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[PipelineStep]:
        return iter(self.steps)

    def __getstate__(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["steps"])  # type: ignore[misc]  # the lock and the last run stay where they are

    def __repr__(self) -> str:
        return f"Pipeline({' -> '.join(self.step_names)})"


class _Narrator(Observer):
    """An observer that also says aloud what happens, where it was asked to."""

    def __init__(self, state: CellState, steps: int, *, verbose: bool, progress: bool) -> None:
        super().__init__()
        self._state, self._steps = state, steps
        self._verbose, self._progress = verbose, progress

    def finished(self, *arguments: Any, **named: Any) -> None:
        super().finished(*arguments, **named)
        record = self.records[-1]
        if self._verbose:
            found = "from the cache" if record["cache_hit"] else f"in {record['duration_seconds']:.3f} s"
            CellContext(self._state).logger.info("step %s finished %s", record["step"], found)
        if self._progress:
            done = len(self.records)
            end = "\n" if done == self._steps or not sys.stderr.isatty() else "\r"
            sys.stderr.write(f"{done}/{self._steps} {record['step']}{end}")
            sys.stderr.flush()


def _state_of(ctx: FrozenContext | None, rep: int | None, condition: str | None, logger: Any) -> CellState:
    if ctx is None:
        ctx = FrozenContext()
    if not isinstance(ctx, FrozenContext):
        message = f"ctx must be a FrozenContext, found {type(ctx).__qualname__}; write FrozenContext({{...}})"
        raise DefinitionError(message)
    state = ctx._state  # noqa: SLF001 - the pipeline runs on the state behind the view
    for key, value in ((REPLICATE_KEY, rep), (CONDITION_KEY, condition)):
        if value is not None:
            state.values.setdefault(key, value)
    if logger is not None:
        state.logger = logger
    return state


def pipeline(*steps: Any) -> Pipeline:
    """A pipeline of these steps."""
    return Pipeline(steps)


def as_pipeline(value: Any) -> Pipeline:
    """A pipeline made of a pipeline, a list of steps, or a single step."""
    if isinstance(value, Pipeline):
        return value
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return Pipeline(value)
    return Pipeline([value])
