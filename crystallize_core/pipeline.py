"""Pipelines: steps that are wired by names, and the ways to run them without an experiment."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from crystallize_core.assets import Assets
from crystallize_core.context import BASELINE_CONDITION, CONDITION_KEY, REPLICATE_KEY, FrozenContext
from crystallize_core.engine.cell import run_chain
from crystallize_core.engine.drive import adrive, drive_alone
from crystallize_core.engine.hooks import HookCalls
from crystallize_core.engine.observe import Observer
from crystallize_core.engine.plan import Plan, compile_plan
from crystallize_core.errors import CrystallizeError, DefinitionError, RunError, did_you_mean
from crystallize_core.pipeline_call import refuse_idle, refuse_mixed, refuse_named
from crystallize_core.pipeline_definition import PipelineDefinition, checked_inputs, checked_parameters
from crystallize_core.state import CellState
from crystallize_core.stored import loaded
from crystallize_core.wiring import Sources

if TYPE_CHECKING:
    import logging

    from crystallize_core.dry_run import DryRun
    from crystallize_core.engine.cell import Awaiting
    from crystallize_core.engine.kept import KeptPlan
    from crystallize_core.pipeline_result import PipelineResult
    from crystallize_core.pipeline_run import PipelineRun

__all__ = ["Pipeline", "as_pipeline", "pipeline"]

Records = list[Mapping[str, Any]]
POLICIES: Final = frozenset({"step_options", "wrap_step", "cache_dependencies", "cache_store"})
"""The hooks that take part where a pipeline is given data and runs without an experiment."""
_NOTHING: Final[Any] = object()
"""Stands for "no data was given", which is not the same as None."""


class Pipeline(PipelineDefinition):
    """Steps that are wired by the names of what they take and make; those without names are a chain.

    Args:
        steps: Steps, or anything a step can be made of: decorated functions that were or were not
            called, partials of them, plain functions, `PipelineStep` objects and classes, names of steps that
            distributions ship. Or, in place of a list, the name of a pipeline that gets its steps by `add_step`.
        name: The name of the pipeline, where `steps` are its steps; default `pipeline`.
        context: The parameters that its steps get by name.
        enable_cache: Whether outputs of earlier runs may be used; with False, nothing is cached.
        cache_dir: Where outputs are cached; default `CRYSTALLIZE_CACHE_DIR`, else `.cache`.
        cache_ttl: Seconds after which a cached output counts no more; default `CRYSTALLIZE_CACHE_TTL`, else never.
        cache_max_bytes: So much may be cached; what was not used for the longest time goes first. Default
            `CRYSTALLIZE_CACHE_MAX_BYTES`, else no limit.
        checkpoint: Whether a run on its own keeps what its steps came to, so that it can be resumed.
        keep_runs: The checkpoints of so many runs are kept.
        check_types: Whether to compare, while steps run, what they take and return with their annotations: classes, and
            not what is inside of containers. What does not fit fails the step.

    Raises:
        DefinitionError: A list without steps, something that no step can be made of, or another wrong argument.

    """

    _last: tuple[Mapping[str, Any], ...] = ()
    _policies: HookCalls | None = None
    _kept: KeptPlan | None = None

    # Running ------------------------------------------------------------------------------------------

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

    @overload
    def run(
        self, *, inputs: Mapping[str, Any] | None = ..., context: Mapping[str, Any] | None = ..., debug: bool = ...,
        resume: bool | str = ..., raise_on_error: bool = ..., executor: Any = ..., verbose: bool = ...,
        progress: bool = ..., logger: logging.Logger | None = ...,
    ) -> PipelineResult: ...  # fmt: skip

    def run(
        self,
        data: Any = _NOTHING,
        ctx: FrozenContext | None = None,
        verbose: bool = False,  # noqa: FBT001, FBT002 - the documented signature
        progress: bool = False,  # noqa: FBT001, FBT002 - the documented signature
        rep: int | None = None,
        condition: str | None = None,
        logger: logging.Logger | None = None,
        return_provenance: bool = False,  # noqa: FBT001, FBT002 - the documented signature
        experiment: Any = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        debug: bool = False,
        resume: bool | str = False,
        raise_on_error: bool = False,
        executor: Any = None,
    ) -> Any:
        """Run the steps; works in a script, in a thread and where an event loop runs.

        With `data`, as a chain is run: the output of the last step is returned, and a step that fails raises.
        Without, as a graph is run from its own sources: every output is kept, a step that fails costs only those
        that need it, and what became of each step is in the result.

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
            inputs: The inputs of the run by name; without `data`, as everything that follows.
            context: Parameters for this run, on top of those of the pipeline.
            debug: Say on standard error what each step gets, where from, what it makes, and what the cache knew; on
                a terminal, a step that fails is looked at in the debugger.
            resume: Whether to use what an earlier run came to, as far as it would come to the same again: that of
                the newest run, or of the run of this id.
            raise_on_error: Whether a step that fails raises when everything else is done.
            executor: Who runs steps side by side, by name or as an object: threads under `run`, tasks under `arun`.

        Returns:
            The output of the last step, or `(output, records)`; without `data`, a `PipelineResult`.

        Raises:
            WiringError: A parameter that nothing fills, or steps that cannot be put in order; nothing has run.
            StepError: A step raised; `__cause__` is what it raised.

        """
        if data is _NOTHING:
            refuse_mixed(self.name, ctx, rep, condition, return_provenance, experiment)
            refuse_idle(self.name, executor)
            run = self._on_its_own(inputs, context, debug, resume, executor, verbose, progress, logger)
            return self._returned(run, run.run(), debug=debug, raise_on_error=raise_on_error)
        if inputs is not None or context is not None or executor is not None or debug or resume or raise_on_error:
            refuse_named(self.name, inputs, context, debug, resume, raise_on_error, executor)
        output, records = drive_alone(self._work(data, ctx, verbose, progress, rep, condition, logger, experiment))
        return (output, [dict(record) for record in records]) if return_provenance else output

    async def arun(
        self,
        data: Any = _NOTHING,
        ctx: FrozenContext | None = None,
        verbose: bool = False,  # noqa: FBT001, FBT002 - the documented signature
        progress: bool = False,  # noqa: FBT001, FBT002 - the documented signature
        rep: int | None = None,
        condition: str | None = None,
        logger: logging.Logger | None = None,
        return_provenance: bool = False,  # noqa: FBT001, FBT002 - the documented signature
        experiment: Any = None,
        *,
        inputs: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        debug: bool = False,
        resume: bool | str = False,
        raise_on_error: bool = False,
        executor: Any = None,
    ) -> Any:
        """The awaitable form of `run`, on the event loop of the caller."""
        if data is _NOTHING:
            refuse_mixed(self.name, ctx, rep, condition, return_provenance, experiment)
            refuse_idle(self.name, executor)
            run = self._on_its_own(inputs, context, debug, resume, executor, verbose, progress, logger)
            return self._returned(run, await run.arun(), debug=debug, raise_on_error=raise_on_error)
        refuse_named(self.name, inputs, context, debug, resume, raise_on_error, executor)
        output, records = await adrive(self._work(data, ctx, verbose, progress, rep, condition, logger, experiment))
        return (output, [dict(record) for record in records]) if return_provenance else output

    def dry_run(
        self,
        *,
        inputs: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        resume: bool | str = False,
        executor: Any = None,
    ) -> DryRun:
        """What a run on its own would do: which steps the cache would answer, which would run, and why; no step runs.

        Conditions of steps are asked; plugins see a run whose `trial` is true, and nothing is written.

        Args:
            inputs, context, resume, executor: As in `run`.

        Raises:
            DefinitionError: The pipeline cannot run.

        """
        refuse_idle(self.name, executor)
        return self._on_its_own(inputs, context, False, resume, executor, False, False, None, trial=True).dry_run()  # noqa: FBT003 - it says nothing

    def rerun(
        self, run_id: str, from_step: str | None = None, *, debug: bool = False, raise_on_error: bool = False
    ) -> PipelineResult:
        """Run again what an earlier run was given, from a step on; what comes before is taken over.

        Args:
            run_id: The earlier run.
            from_step: This step and everything that stands on it run again; without one, only what has changed.
            debug, raise_on_error: As in `run`.

        Raises:
            RunError: There is no such run, or what it was given is not kept.
            DefinitionError: There is no such step.

        """
        checkpoints = self.checkpoints()
        if checkpoints is None:
            message = (
                f"pipeline {self.name!r} keeps no checkpoints, so that no run of it can be run again; make it with "
                f"checkpoint=True"
            )
            raise DefinitionError(message)
        given = checkpoints.given(run_id)
        missing = [name for name in given["secrets"] if name not in self.parameters]
        if missing:
            message = (
                f"run {run_id!r} of pipeline {self.name!r} was given {', '.join(map(repr, missing))}, and what may be a secret "
                f"is not stored; put it into the context of the pipeline, or run(inputs=..., context=..., resume={run_id!r})"
            )
            raise RunError(message)
        fresh = (
            frozenset[str]() if from_step is None else self._downstream(from_step, given["inputs"], given["context"])
        )
        run = self._on_its_own(given["inputs"], given["context"], debug, run_id, None, False, False, None, fresh)  # noqa: FBT003 - neither verbose nor with progress
        return self._returned(run, run.run(), debug=debug, raise_on_error=raise_on_error)

    def _downstream(self, step: str, inputs: Mapping[str, Any], context: Mapping[str, Any]) -> frozenset[str]:
        """A step and all that stand on it."""
        names = self.step_names
        if step not in names:
            message = (
                f"pipeline {self.name!r} has no step {step!r}; {did_you_mean(step, names, listing='its steps are')}"
            )
            raise DefinitionError(message)
        found = {step}
        for wired in self._wired(inputs, context).steps:
            if wired.waits_for & found:
                found.add(wired.name)
        return frozenset(found)

    def _on_its_own(
        self,
        inputs: Mapping[str, Any] | None,
        context: Mapping[str, Any] | None,
        debug: bool,  # noqa: FBT001 - passed through
        resume: bool | str,  # noqa: FBT001 - passed through
        executor: Any,
        verbose: bool,  # noqa: FBT001 - passed through
        progress: bool,  # noqa: FBT001 - passed through
        logger: logging.Logger | None,
        fresh: frozenset[str] = frozenset(),
        *,
        trial: bool = False,
    ) -> PipelineRun:
        from crystallize_core.engine.narrator import Debugger, Narrator  # noqa: PLC0415 - not for the workers of an experiment
        from crystallize_core.engine.recorder import Recorder  # noqa: PLC0415 - as above
        from crystallize_core.pipeline_run import PipelineRun  # noqa: PLC0415 - as above
        from crystallize_core.stack.resolve import resolve  # noqa: PLC0415 - as above

        if not isinstance(resume, (bool, str)):
            message = (
                f"resume must be True for the newest run, False, or the id of a run as text; found {resume!r} in a run "
                f"of pipeline {self.name!r}"
            )
            raise DefinitionError(message)
        stack = resolve(executor=executor)
        narrator = Narrator(len(self.steps), verbose=verbose, progress=progress, logger=logger)
        recorder = Recorder(Debugger(narrator).tell if debug else narrator.tell, values=debug)
        given, over = checked_inputs(inputs), checked_parameters(context)
        return PipelineRun(self, stack, given, dict(over or {}), recorder, resume=resume, fresh=fresh, trial=trial)

    def _returned(
        self, run: PipelineRun, result: PipelineResult, *, debug: bool, raise_on_error: bool
    ) -> PipelineResult:
        self._last = tuple(run.recorder.records)
        self._hits += run.recorder.hits
        self._misses += run.recorder.misses
        if debug:
            from crystallize_core.engine.narrator import post_mortem  # noqa: PLC0415 - as above

            post_mortem(result)
        return result.raise_for_status() if raise_on_error else result

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
        state = _state_of(ctx, rep, condition, logger, self.parameters)
        plan = self._plan_for(experiment, state)
        observer = Observer()
        if verbose or progress:
            from crystallize_core.engine.narrator import Narrator  # noqa: PLC0415 - as above
            from crystallize_core.engine.recorder import Recorder  # noqa: PLC0415 - as above

            observer = Recorder(Narrator(len(plan.steps), verbose=verbose, progress=progress, logger=state.logger).tell)
        try:
            if plan.is_chain:
                output = yield from run_chain(plan, state, data, array("q"), observer)
            else:
                from crystallize_core.engine.graph import run_graph  # noqa: PLC0415 - chains do without

                output = yield from run_graph(plan, state, Assets({"data": data}), array("q"), observer)
        except CrystallizeError as error:
            where = {REPLICATE_KEY: state.values.get(REPLICATE_KEY), CONDITION_KEY: state.values.get(CONDITION_KEY)}
            error.address = {k: v for k, v in where.items() if v is not None} | error.address
            raise
        finally:
            self._last = tuple(observer.records)
        return loaded(output), observer.records

    def _plan_for(self, experiment: Any, state: CellState) -> Plan:
        """The plan of a run with data; a fresh one, unless it is certain that the last one would be made again."""
        condition, keys = str(state.values.get(CONDITION_KEY, BASELINE_CONDITION)), frozenset(state.values)
        if experiment is not None:
            hooks, sources = HookCalls(experiment.stack, experiment=experiment), experiment.sources({condition: keys})
            return self._compiled(hooks, sources, experiment)
        settings = condition, keys, self.name, self.check_types, *self.cache_settings()
        kept = self._kept
        if kept is not None and kept.stands_for(self.steps, settings):
            return kept.plan
        from crystallize_core.engine.kept import KeptPlan  # noqa: PLC0415 - as above

        if self._policies is None:
            from crystallize_core.stack.resolve import resolve  # noqa: PLC0415 - as above

            # Without an experiment there is nothing to observe; what plugins do around a step still holds.
            self._policies = HookCalls(resolve(), only=POLICIES)
        plan = self._compiled(self._policies, Sources({condition: keys}))
        self._kept = KeptPlan.of(plan, settings)
        return plan

    def _compiled(self, hooks: HookCalls, sources: Sources, experiment: Any = None) -> Plan:
        where = "pipeline" if self.name == "pipeline" else f"pipeline {self.name!r}"
        check_types = self.check_types
        return compile_plan(
            self.steps, hooks, experiment, sources=sources, caching=self.caching(), where=where, check_types=check_types
        )

    def get_provenance(self) -> Sequence[Mapping[str, Any]]:
        """The records of the last `run`, one read-only mapping per step."""
        return tuple(MappingProxyType(dict(record)) for record in self._last)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": (), "_policies": None, "_kept": None}


def _state_of(
    ctx: FrozenContext | None, rep: int | None, condition: str | None, logger: Any, parameters: Mapping[str, Any]
) -> CellState:
    if ctx is None:
        ctx = FrozenContext()
    if not isinstance(ctx, FrozenContext):
        message = f"ctx must be a FrozenContext, found {type(ctx).__qualname__}; write FrozenContext({{...}})"
        raise DefinitionError(message)
    state = ctx._state  # noqa: SLF001 - the pipeline runs on the state behind the view
    if parameters:
        for key, value in FrozenContext(parameters)._state.values.items():  # noqa: SLF001 - copies, as of any context
            state.values.setdefault(key, value)
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
