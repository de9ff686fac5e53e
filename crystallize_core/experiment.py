"""Experiments: what is compared with what, over how many replicates, and the ways to run it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import attrs

from crystallize_core.artifact import Artifact
from crystallize_core.checks import (
    checked_context,
    checked_name,
    checked_replicates,
    checked_treatments,
    collected,
    iterable,
    list_of,
)
from crystallize_core.context import BASELINE_CONDITION
from crystallize_core.datasource import DataSource, as_datasource
from crystallize_core.engine.subject import Subject
from crystallize_core.errors import CrystallizeError, DefinitionError, RunInterrupted, add_note, did_you_mean
from crystallize_core.hypothesis import Hypothesis
from crystallize_core.pipeline import Pipeline, as_pipeline
from crystallize_core.stack.checking import is_executor
from crystallize_core.treatment import Treatment

if TYPE_CHECKING:
    from crystallize_core.builder import ExperimentBuilder
    from crystallize_core.dry_run import DryRun
    from crystallize_core.engine.run import Run
    from crystallize_core.engine.session import Provenance
    from crystallize_core.result import Result
    from crystallize_core.stream import ReplicateStream
    from crystallize_core.trial import CellTrace

__all__ = ["Experiment"]

STRATEGIES = ("rerun", "resume")


class Experiment(Subject):
    """A datasource, a pipeline, and treatments to compare with the baseline.

    The experiment is a definition: what happens in a run is kept by the run, so that one experiment can
    run twice at once and a second run knows nothing of the first.

    Args:
        datasource: What yields the input of a replicate: a datasource, a function of `ctx`, or the name of one that
            a distribution ships.
        pipeline: A pipeline or a list of steps.
        plugins: Plugin objects; each replaces the installed one of its name.
        name: Names the experiment in results and folders.
        description: Free text for the record.
        initial_ctx: What the context of every cell starts with.
        outputs: Artifacts that steps may take as parameters.
        treatments: What to compare with the baseline; one named `baseline` configures the baseline.
        hypotheses: What is claimed of the treatments.
        replicates: How often everything is repeated, at least 1.
        autoload: Whether the project's configuration and installed plugins take part; with False, exactly
            `plugins`.
        executor: The executor, by name or as an object, instead of the configured one.

    Raises:
        DefinitionError: Something is of the wrong kind; all problems are listed.
        StackError: The plugins do not fit together.

    """

    def __init__(
        self,
        datasource: DataSource | Callable[..., Any] | str,
        pipeline: Pipeline | Sequence[Any],
        plugins: Sequence[Any] | None = None,
        *,
        name: str | None = None,
        description: str | None = None,
        initial_ctx: Mapping[str, Any] | None = None,
        outputs: Sequence[Artifact] | None = None,
        treatments: Sequence[Treatment] | None = None,
        hypotheses: Sequence[Hypothesis] | None = None,
        replicates: int = 1,
        autoload: bool = True,
        executor: Any = None,
    ) -> None:
        problems: list[str] = []
        self.datasource = collected(problems, _datasource, datasource)
        self.pipeline = collected(problems, as_pipeline, pipeline)
        self.name = collected(problems, checked_name, name) if name is not None else "experiment"
        self.description = description or ""
        self.initial_ctx = collected(problems, checked_context, initial_ctx)
        self.outputs = collected(problems, lambda given: list_of(Artifact, given, "outputs"), outputs)
        self.treatments = collected(problems, checked_treatments, treatments)
        self.hypotheses = collected(problems, lambda given: list_of(Hypothesis, given, "hypotheses"), hypotheses)
        self.replicates = collected(problems, checked_replicates, replicates)
        given = collected(problems, lambda items: list(iterable(items, "plugins")), plugins)
        if problems:
            raise DefinitionError("\n  ".join([f"experiment {name or 'experiment'!r} cannot be made:", *problems]))
        self._given = (given, autoload)
        from crystallize_core.stack.resolve import resolve  # noqa: PLC0415 - workers unpickle experiments and make none

        self.attach(resolve(given, autoload=autoload, executor=executor))

    @classmethod
    def builder(cls, name: str | None = None) -> ExperimentBuilder:
        """A fluent way to the same: `Experiment.builder("a").datasource(...).add_step(...).build()`."""
        from crystallize_core.builder import ExperimentBuilder  # noqa: PLC0415 - it stands on this file

        return ExperimentBuilder(name, cls)

    def validate(self) -> None:
        """Check everything that can be checked without running a step.

        Raises:
            DefinitionError: What is wrong; all of it is listed.

        """
        from crystallize_core.engine.run import Run  # noqa: PLC0415 - workers run replicates only

        Run(self).session.close()

    # Running ------------------------------------------------------------------------------------------

    def run(
        self,
        *,
        treatments: Sequence[Treatment] | None = None,
        hypotheses: Sequence[Hypothesis] | None = None,
        replicates: int | None = None,
        strategy: str = "rerun",
        resume: bool = False,
        executor: Any = None,
        provenance: Provenance = "first",
    ) -> Result:
        """Run all replicates under all conditions and return what they came to.

        Works in a script, in a thread, and where an event loop runs already.

        Args:
            treatments, hypotheses, replicates: Instead of those of the experiment, for this run.
            strategy: `rerun`, or `resume` to take over what an earlier run finished; needs a plugin that
                keeps replicates.
            resume: The same as `strategy="resume"`.
            executor: The executor of this run, by name or as an object.
            provenance: Of which cells to keep records of the steps: `first` (those of replicate 0), `all`, `none`.

        Raises:
            DefinitionError: The experiment cannot run; nothing has run.
            RunInterrupted: Ctrl-C; `.result` holds what was finished.
            HookError: An essential plugin failed in this process; `.result` holds what was finished.

        """
        run = self._new_run(treatments, hypotheses, replicates, strategy, resume, executor, provenance)
        try:
            run.start()
            run.execute()
        except BaseException as failure:
            _finish_after(run, failure)
            raise
        return run.finish()

    async def arun(
        self,
        *,
        treatments: Sequence[Treatment] | None = None,
        hypotheses: Sequence[Hypothesis] | None = None,
        replicates: int | None = None,
        strategy: str = "rerun",
        resume: bool = False,
        executor: Any = None,
        provenance: Provenance = "first",
    ) -> Result:
        """The awaitable form of `run`.

        Without an executor, async steps run on the event loop of the caller; an executor plugin works in
        a thread of its own, so that the loop stays free.
        """
        run = self._new_run(treatments, hypotheses, replicates, strategy, resume, executor, provenance)
        try:
            run.start()
            if run.experiment.stack.executor is None:
                await run.aexecute()
            else:
                import asyncio  # noqa: PLC0415 - only those who await pay for it

                await asyncio.to_thread(run.execute)
        except BaseException as failure:
            _finish_after(run, failure)
            raise
        return run.finish()

    def stream(
        self,
        *,
        treatments: Sequence[Treatment] | None = None,
        replicates: int | None = None,
        executor: Any = None,
        provenance: Provenance = "first",
    ) -> ReplicateStream:
        """Run, and give each replicate as it is complete; may be left early.

        Example:
            for outcome in experiment.stream():
                if good_enough(outcome):
                    break

        Returns:
            An iterator of outcomes in replicate order, with `result` once it has ended or was closed.

        """
        run = self._new_run(treatments, None, replicates, "rerun", False, executor, provenance, keep_ready=True)  # noqa: FBT003 - positional for brevity
        from crystallize_core.stream import ReplicateStream  # noqa: PLC0415 - as above

        return ReplicateStream(run)

    def apply(self, treatment: str | Treatment | None = None, *, data: Any = None, replicate: int = 0) -> Any:
        """Run the pipeline once under one condition and return its output; nothing is stored or verified.

        Args:
            treatment: The condition, by name or as a treatment; default the baseline.
            data: The input; default what the datasource gives.
            replicate: The number of the replicate, which decides about seeds.

        Raises:
            StepError: A step raised; `__cause__` is what it raised.

        """
        return self._trial(treatment, data, replicate).output_or_raise()

    def debug(self, treatment: str | Treatment | None = None, *, data: Any = None, replicate: int = 0) -> CellTrace:
        """Run one cell in this process and keep everything: inputs, outputs, reads, metrics, the error.

        The same engine, seeds and plugins as in `run`; what is printed is up to the caller: `print(trace)`
        shows each step. An error is kept in `trace.error`, not raised.
        """
        return self._trial(treatment, data, replicate)

    def dry_run(
        self,
        treatment: str | Treatment | None = None,
        *,
        replicate: int | None = None,
        treatments: Sequence[Treatment] | None = None,
        replicates: int | None = None,
        executor: Any = None,
    ) -> DryRun:
        """What a run would do: which steps the cache would answer, which would run, and why; no step runs.

        The datasource is asked for the data, and conditions of steps are asked; plugins see a run whose `trial` is true.

        Args:
            treatment: Only this condition, by name or as a treatment.
            replicate: Only this replicate; default all, up to the first 20.
            treatments, replicates, executor: As in `run`; without effect where one cell is asked for.

        Raises:
            DefinitionError: The experiment cannot run.

        """
        from crystallize_core.dry_run import MOST_REPLICATES, look_ahead  # noqa: PLC0415 - as above
        from crystallize_core.engine.run import Run  # noqa: PLC0415 - as above

        if treatment is None and replicate is None:
            derived, name = self._derived(treatments, [], replicates, executor), None
            wanted = range(min(derived.replicates, MOST_REPLICATES))
        else:
            derived, name = self._of_one_cell(treatment, 0 if replicate is None else replicate)
            wanted = range(derived.replicates)[-1:]
        caching = attrs.evolve(self.pipeline.caching(), explains=True)
        return look_ahead(Run(derived, "none", trial=True, caching=caching), wanted, condition=name)

    def _trial(self, treatment: str | Treatment | None, data: Any, replicate: int) -> CellTrace:
        from crystallize_core.engine.run import Run  # noqa: PLC0415 - as above
        from crystallize_core.trial import run_cell  # noqa: PLC0415 - as above

        derived, name = self._of_one_cell(treatment, replicate)
        return run_cell(Run(derived, trial=True), name, replicate, data)

    def _of_one_cell(self, treatment: str | Treatment | None, replicate: int) -> tuple[Experiment, str]:
        """The experiment as a run of one cell sees it, and the name of the condition."""
        chosen: Treatment | None = None
        name = BASELINE_CONDITION
        if isinstance(treatment, Treatment):
            chosen, name = treatment, treatment.name
        elif treatment is not None:
            names = {t.name: t for t in self.treatments}
            if treatment not in (*names, BASELINE_CONDITION):
                hint = did_you_mean(treatment, [BASELINE_CONDITION, *names], listing="the conditions are")
                message = f"there is no treatment {treatment!r}; {hint}"
                raise DefinitionError(message, experiment=self.name)
            chosen, name = names.get(treatment), treatment
        if type(replicate) is not int or replicate < 0:
            message = f"replicate must be an int of at least 0, found {replicate!r}"
            raise DefinitionError(message, experiment=self.name)
        baseline = [t for t in self.treatments if t.is_baseline]
        derived = self._derived(
            treatments=list({t.name: t for t in [*baseline, *([chosen] if chosen else [])]}.values()),
            hypotheses=[],
            replicates=replicate + 1,
        )
        return derived, name

    def _new_run(
        self,
        treatments: Sequence[Treatment] | None,
        hypotheses: Sequence[Hypothesis] | None,
        replicates: int | None,
        strategy: str,
        resume: bool,  # noqa: FBT001 - passed through
        executor: Any,
        provenance: Provenance,
        *,
        keep_ready: bool = False,
    ) -> Run:
        if strategy not in STRATEGIES:
            message = (
                f"unknown strategy {strategy!r}; {did_you_mean(strategy, STRATEGIES, listing='the strategies are')}"
            )
            raise DefinitionError(message, experiment=self.name)
        if provenance not in ("first", "all", "none"):
            message = f"provenance must be 'first', 'all' or 'none', found {provenance!r}"
            raise DefinitionError(message, experiment=self.name)
        derived = self._derived(treatments, hypotheses, replicates, executor)
        from crystallize_core.engine.run import Run  # noqa: PLC0415 - as above

        run = Run(derived, provenance, keep_ready=keep_ready)
        if (resume or strategy == "resume") and not run.session.hooks.has("load_replicate"):
            message = (
                "resume needs a plugin that keeps replicates, and this stack has none: pip install crystallize-runs"
            )
            raise DefinitionError(message, experiment=self.name)
        return run

    def _derived(
        self,
        treatments: Sequence[Treatment] | None = None,
        hypotheses: Sequence[Hypothesis] | None = None,
        replicates: int | None = None,
        executor: Any = None,
    ) -> Experiment:
        """This experiment as one run sees it; `self` stays as it is."""
        derived = copy.copy(self)
        # What a hook does to these it does to this run.
        derived.treatments, derived.hypotheses = list(self.treatments), list(self.hypotheses)
        if treatments is not None:
            derived.treatments = checked_treatments(treatments)
        if hypotheses is not None:
            derived.hypotheses = list_of(Hypothesis, hypotheses, "hypotheses")
        if replicates is not None:
            derived.replicates = checked_replicates(replicates)
        if executor is not None:
            plugins, autoload = self._given
            kept = [plugin for plugin in plugins if not is_executor(plugin)]
            from crystallize_core.stack.resolve import resolve  # noqa: PLC0415 - as above

            derived.attach(resolve(kept, autoload=autoload, executor=executor))
        return derived

    def for_workers(self) -> Self:
        """What a worker needs of this experiment: everything but the hypotheses."""
        sent = super().for_workers()
        sent._given = ([], False)  # noqa: SLF001 - a copy of ourselves
        return sent

    def __repr__(self) -> str:
        names = ", ".join(treatment.name for treatment in self.treatments) or "none"
        return f"<Experiment {self.name!r}: {self.pipeline!r}, treatments: {names}, {self.replicates} replicates>"


def _datasource(given: Any) -> DataSource:
    if type(given) is str:
        from crystallize_core.stack.shipped import shipped  # noqa: PLC0415 - only where somebody names one

        given = shipped(given, "datasource", "the datasource")
    return as_datasource(given)


def _finish_after(run: Run, failure: BaseException) -> None:
    """Let plugins see the end of a run that failed; Ctrl-C comes back with the result."""
    try:
        result = run.finish(failure)
    except CrystallizeError as another:
        add_note(failure, f"and while finishing: {another}")
        return
    if isinstance(failure, KeyboardInterrupt):
        raise RunInterrupted.of(failure, result) from None
    if isinstance(failure, CrystallizeError):
        failure.result = result  # type: ignore[attr-defined]  # nothing that was finished is lost
