"""A pipeline that runs on its own: an experiment of one cell, whose steps and outputs are all kept."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

import attrs

from crystallize_core.assets import Assets
from crystallize_core.cache import Caching, Checkpoints, FileStore
from crystallize_core.datasource import FunctionSource
from crystallize_core.drawing import Arrow, Box, Drawing
from crystallize_core.dry_run import DryRun, look_ahead
from crystallize_core.engine.drive import Loops, adrive, drive
from crystallize_core.engine.recorder import Recorder
from crystallize_core.engine.run import Run, new_run_id
from crystallize_core.engine.subject import Subject
from crystallize_core.errors import CrystallizeError, RunError, add_note, did_you_mean
from crystallize_core.outcome import CellOutcome, ReplicateOutcome
from crystallize_core.pipeline_result import Outputs, PipelineResult, StepResult
from crystallize_core.signature import REQUIRED
from crystallize_core.stack.attached import Stack
from crystallize_core.wiring import WiredStep

__all__ = ["PipelineRun", "drawing_of"]


class _OnItsOwn(Subject):
    """A pipeline as the plugins of its run see it."""

    def __init__(self, pipeline: Any, stack: Stack, context: Mapping[str, Any], inputs: frozenset[str]) -> None:
        self.name, self.description = pipeline.name, ""
        self.datasource = FunctionSource(_no_data)
        self.pipeline = pipeline
        self.initial_ctx = context
        self.outputs, self.treatments, self.hypotheses = [], [], []
        self.replicates = 1
        self.inputs = inputs
        self.has_data = "data" in inputs
        self.retains = True
        self.attach(stack)

    @property
    def title(self) -> str:
        """Words for messages."""
        return f"pipeline {self.name!r}"


def _no_data(ctx: Any) -> None:
    """Never called: everything that a pipeline is given is an input."""


class PipelineRun:
    """One run of a pipeline on its own.

    Args:
        pipeline: The pipeline.
        stack: The plugins.
        inputs: The inputs of the run by name.
        context: Parameters of this run, on top of those of the pipeline.
        recorder: Keeps what becomes of each step.
        resume: Whether to take over what an earlier run finished: the newest one, or that of this id.
        fresh: The names of the steps that run again in any case, with everything that stands on them.
        trial: Whether it is only looked at what a run would do, and nothing kept.

    Attributes:
        recorder: The same.

    Raises:
        DefinitionError: The pipeline cannot run; everything that is wrong with it is listed.
        RunError: There is no run to resume of that id.

    """

    def __init__(
        self,
        pipeline: Any,
        stack: Stack,
        inputs: Mapping[str, Any],
        context: Mapping[str, Any],
        recorder: Recorder,
        *,
        resume: bool | str = False,
        fresh: frozenset[str] = frozenset(),
        trial: bool = False,
    ) -> None:
        self._pipeline, self.recorder = pipeline, recorder
        self._inputs, self._context = dict(inputs), {**pipeline.parameters, **context}
        self._id = new_run_id()
        self._checkpoints: Checkpoints | None = pipeline.checkpoints()
        self._caching, resumed = self._stores(resume, fresh)
        self._subject = _OnItsOwn(pipeline, stack, context, frozenset(inputs))
        self._run = Run(self._subject, "none", caching=self._caching, run_id=self._id, trial=trial)
        if (
            not trial and self._checkpoints is not None and self._caching.checkpoints is not None
        ):  # now that the pipeline can run
            given = {"inputs": self._inputs, "context": dict(context)}
            self._checkpoints.begin(self._caching.checkpoints, given, resumed)
        self._assets = Assets(self._inputs)
        self._began = time.perf_counter()

    def _stores(self, resume: bool | str, fresh: frozenset[str]) -> tuple[Caching, str | None]:  # noqa: FBT001 - passed through
        """Where outputs are looked for and kept, and the id of the run that this one takes over from."""
        caching: Caching = self._pipeline.caching()
        if self._checkpoints is None:
            if resume is not False:
                message = f"pipeline {self._pipeline.name!r} keeps no checkpoints, so that no run of it can be resumed"
                raise RunError(message)
            return caching, None
        resumed = resume if isinstance(resume, str) else self._checkpoints.newest() if resume else None
        earlier = () if resumed is None else self._checkpoints.stores(resumed)
        kept = FileStore(self._checkpoints.folder / self._id, beside=caching.store)
        # What was to run again is not to be found again in the runs before, should this one not get so far.
        return attrs.evolve(caching, checkpoints=kept, earlier=earlier, fresh=fresh), None if fresh else resumed

    @property
    def steps(self) -> tuple[WiredStep, ...]:
        """The steps in the order in which they run."""
        return tuple(planned.wired for planned in self._run.session.plan.steps)

    def dry_run(self) -> DryRun:
        """Look at what a run would do."""
        return look_ahead(self._run, [0], data=self._assets, name=f"pipeline {self._pipeline.name!r}")

    def run(self) -> PipelineResult:
        """Run in this thread; steps that an executor wants as tasks, on an event loop of the run."""
        session = self._run.session
        if session.task_crew() is not None:
            loops = Loops()  # not those of the session, which are closed when the run is finished
            try:
                result: PipelineResult = loops.run(self.arun())
            finally:
                loops.close()
            return result
        try:
            self._run.start()
            session.set_up()
            drive(self._cell(session.thread_crew()), session.loops)
        except BaseException as failure:
            self._interrupted(failure)
            raise
        return self._finished()

    async def arun(self) -> PipelineResult:
        """Run on the event loop of the caller; steps that an executor wants in threads, without keeping it busy."""
        session = self._run.session
        if session.thread_crew() is not None:
            import asyncio  # noqa: PLC0415 - only those who await pay for it

            return await asyncio.to_thread(self.run)
        try:
            self._run.start()
            session.set_up()
            await adrive(self._cell(session.task_crew()))
        except BaseException as failure:
            self._interrupted(failure)
            raise
        return self._finished()

    def _cell(self, crew: Any) -> Any:
        session = self._run.session
        (condition,) = session.conditions
        outcome = yield from session.cell(condition, 0, self.recorder, data=self._assets, crew=crew)
        self._outcome: CellOutcome = attrs.evolve(outcome, provenance=None)
        self._run.collector.take(ReplicateOutcome(0, [self._outcome], session.hooks.take_notes()))

    def _interrupted(self, failure: BaseException) -> None:
        try:
            self._run.finish(failure)
        except CrystallizeError as another:
            add_note(failure, f"and while finishing: {another}")
        self._end("interrupted")

    def _end(self, state: str) -> None:
        if self._checkpoints is not None and self._caching.checkpoints is not None:
            states = {name: found.state for name, found in self.recorder.results.items()}
            self._checkpoints.end(self._caching.checkpoints, state, states)
            self._checkpoints.prune(self._pipeline.keep_runs)

    def _finished(self) -> PipelineResult:
        failure = None
        try:
            record = self._run.finish()
        except CrystallizeError as error:  # a plugin failed when everything else was done
            failure, record = error, error.result
        recorder = self.recorder
        steps = self._run.session.plan.steps
        results = {
            name: attrs.evolve(found, artifacts=recorder.artifacts(name)) for name, found in recorder.results.items()
        }
        for wired in self.steps:
            if wired.name not in results:  # a plugin ended the run before its turn came
                results[wired.name] = StepResult(wired.name, "not run", reason="the run ended before it")
        for text in self._unused():
            record.add_warning(text)
        assets = self._assets
        made = {asset: assets.kept(asset) for step in self.steps for asset in step.outputs if asset in assets}
        returned = {name: found.kept for name, found in results.items() if found.state in ("ok", "cached")}
        result = PipelineResult(
            pipeline_name=self._pipeline.name,
            run_id=self._id,
            outputs=Outputs(made, returned),
            step_results=results,
            duration_seconds=time.perf_counter() - self._began,
            context=self._context,
            record=record,
            lineage=recorder.lineage(steps, assets, self._inputs),
            error=_first(self._outcome.error, failure),
            drawing=drawing_of(self._pipeline.name, self.steps, self._context, results),
        )
        self._end(result.state)
        return result

    def _unused(self) -> list[str]:
        """A sentence for each input that no step takes."""
        fills = [fill for step in self.steps for fill in step.all_fills]
        taken = {fill.key for fill in fills}
        names = {fill.place for fill in fills if fill.maker is None}
        return [
            f"no step takes the input {name!r}; {did_you_mean(name, names, listing='what steps take is')}"
            for name in self._inputs
            if name not in taken
        ]


def _first(of_cell: CrystallizeError | None, of_run: CrystallizeError | None) -> CrystallizeError | None:
    """What went wrong first; the other is in its notes."""
    if of_cell is not None and of_run is not None:
        of_cell.add_note(f"and: {of_run}")
    found = of_cell or of_run
    if found is not None:  # nobody has heard of an experiment of one replicate and one condition
        words = {"experiment": "pipeline"}
        found.address = {words.get(k, k): v for k, v in found.address.items() if k not in ("replicate", "condition")}
    return found


def drawing_of(
    title: str,
    steps: tuple[WiredStep, ...],
    context: Collection[str],
    results: Mapping[str, StepResult] | None = None,
) -> Drawing:
    """The graph of a pipeline, with what became of each step where that is known.

    Args:
        title: The heading.
        steps: The steps.
        context: The names of the parameters that are there.
        results: What became of the steps, by name; None before a run.

    """
    boxes: dict[str, Box] = {}
    arrows: dict[Arrow, None] = {}
    given: dict[str, Box] = {}
    for step in steps:
        for fill in step.all_fills:
            key = fill.place
            if fill.maker is not None:
                label = key if isinstance(fill.key, str) else fill.parameter
                arrows[Arrow(fill.maker, step.name, label)] = None
            elif fill.source in ("input", "data", "context"):
                is_there = fill.source != "context" or key in context
                if not is_there and fill.value is not REQUIRED:
                    continue  # it is the default
                # What is not there before a run may come with it; in a run, a step or a plugin has added it.
                is_context = fill.source == "context" and (is_there or results is not None)
                kind = "context" if is_context else "input"
                name = f"{kind} {key}" if fill.source != "data" or fill.key is not None else "data"
                given.setdefault(name, Box(name, kind=kind))
                arrows[Arrow(name, step.name)] = None
        found = None if results is None else results.get(step.name)
        boxes[step.name] = Box(
            step.name,
            outputs=tuple(step.step.outputs),
            group=step.group,
            is_conditional=bool(step.guards),
            status=None if found is None else found.state,
            note="" if found is None else _note(found),
        )
    used = {arrow.source for arrow in arrows}
    sources = [box for name, box in given.items() if name in used and name not in boxes]
    return Drawing(title, (*sources, *boxes.values()), tuple(arrows))


def _note(found: StepResult) -> str:
    if found.state in ("skipped", "not run"):
        return found.reason or ""
    parts = [f"{found.duration_seconds:.2f} s"]
    if found.retries:
        parts.append(f"{found.retries} retries" if found.retries > 1 else "1 retry")
    return ", ".join([*parts, *(["fallback"] if found.fallback_used else [])])
