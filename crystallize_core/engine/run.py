"""One run from its first hook to its result."""

from __future__ import annotations

import contextlib
import platform
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crystallize_core.artifact import ArtifactList, CellArtifact
from crystallize_core.cache import Caching
from crystallize_core.context import BASELINE_CONDITION, Event
from crystallize_core.engine.collect import Collector
from crystallize_core.engine.nesting import refuse_nested
from crystallize_core.engine.replicates import ReplicateFunction, unreadable
from crystallize_core.engine.session import Provenance, Session
from crystallize_core.engine.timing import kept
from crystallize_core.errors import (
    CrystallizeError,
    DefinitionError,
    ExecutorError,
    HookError,
    RunInterrupted,
    VerifierError,
    WorkerError,
    did_you_mean,
)
from crystallize_core.fingerprint import content_digest
from crystallize_core.hypothesis import Hypothesis, HypothesisResult
from crystallize_core.outcome import Note
from crystallize_core.record import PluginRecord, RunInfo, RunRecord
from crystallize_core.result import Result
from crystallize_core.samples import ConditionMetrics, ExperimentMetrics
from crystallize_core.stack.files import is_reloading, text_of
from crystallize_core.stack.locked import lock_of
from crystallize_core.stack.options import values_of
from crystallize_core.values import value_digest
from crystallize_core.version import version

if TYPE_CHECKING:
    from collections.abc import Callable

    from crystallize_core.stack.attached import ActivePlugin

__all__ = ["Run", "new_run_id"]


class Run:
    """One run of an experiment: `start`, then run the replicates in one of three ways, then `finish`.

    Args:
        experiment: The experiment with the replicates, treatments and hypotheses of this run.
        provenance: Of which cells to keep provenance.
        keep_ready: Whether outcomes are given out as they become complete, for streams.
        trial: Whether only one cell is tried, and nothing of it kept.
        caching: Where outputs are looked for and kept; default as the pipeline says.
        run_id: The id of the run; default a new one.

    """

    def __init__(
        self,
        experiment: Any,
        provenance: Provenance = "first",
        *,
        keep_ready: bool = False,
        trial: bool = False,
        caching: Caching | None = None,
        run_id: str | None = None,
    ) -> None:
        refuse_nested(experiment, _INSIDE, Run.finish.__code__)
        self.experiment = experiment
        self._lock = lock_of(experiment.stack)
        executor = experiment.stack.executor
        names = (BASELINE_CONDITION, *(t.name for t in experiment.treatments if not t.is_baseline))
        self.info = RunInfo(
            id=run_id or new_run_id(),
            experiment=experiment.name,
            replicates=experiment.replicates,
            conditions=names,
            started=time.time(),
            concurrency="serial" if executor is None else executor.concurrency or "process",
            step_workers=_step_workers(executor, experiment.replicates),
            trial=trial,
        )
        self._executor = executor
        self._began = time.perf_counter()
        self.session = Session(experiment, self.info, provenance, caching=caching)
        first, *others = names
        self.metrics = ExperimentMetrics(ConditionMetrics(first), {name: ConditionMetrics(name) for name in others})
        self.collector = Collector(self.session, experiment.replicates, self.metrics, keep_ready=keep_ready)
        self.replicate_fn = ReplicateFunction(self.session, self.collector)

    # Running ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Call `before_run`, and take the replicates that are known from earlier.

        Raises:
            DefinitionError: This is a worker that loads the file of the experiment, and the file runs one.

        """
        file = is_reloading()
        if file is not None:
            message = (
                f"{file} runs an experiment whenever it is loaded, and workers have to load it; put what only the "
                f'main process is to do under `if __name__ == "__main__":`'
            )
            raise DefinitionError(message)
        hooks = self.session.hooks
        if hooks.before_run is not None:
            hooks.before_run(self.experiment, self.info)
        self._event("run.started", replicates=self.info.replicates, conditions=self.info.conditions)
        if hooks.has("load_replicate"):
            for number in range(self.info.replicates):
                known = hooks.first("load_replicate", self.experiment, number)
                if known is not None:
                    self._take(known[1], known[0], "load_replicate")

    def execute(self) -> None:
        """Run the replicates with the stack's executor, or one after the other."""
        if self._executor is None:
            self._plain_loop()
            return
        found = self._loop()
        if found is None:  # it had reasons to pass
            self._plain_loop()
            return
        self._deliver_all(found[1], found[0])

    def _loop(self) -> tuple[Any, Any] | None:
        """The answer of the executor with its plugin; what it raises on purpose is raised as it is."""
        try:
            return self.session.hooks.first("run_experiment_loop", self.experiment, self.replicate_fn)
        except HookError as error:
            cause = error.__cause__
            if not isinstance(cause, CrystallizeError):
                raise
            cause.address = {**error.address, **cause.address}
            if isinstance(cause, WorkerError):
                for text in unreadable(self.experiment.stack):
                    cause.add_note(text)
            raise cause from cause.__cause__

    def _plain_loop(self) -> None:
        collector, replicate_fn = self.collector, self.replicate_fn
        for number in collector.pending:
            if collector.stopped:
                return
            replicate_fn(number)

    def one_by_one(self) -> Iterator[None]:
        """The plain loop; yields after each replicate."""
        for number in self.collector.pending:
            if self.collector.stopped:
                return
            self.replicate_fn(number)
            yield

    async def aexecute(self) -> None:
        """The plain loop on the event loop of the caller."""
        for number in self.collector.pending:
            if self.collector.stopped:
                return
            await self.replicate_fn.arun(number)

    def _deliver_all(self, outcomes: Any, executor: ActivePlugin) -> None:
        """Take what an executor returned; what it delivered on the way is known already."""
        hook = "run_experiment_loop"
        address = {"distribution": executor.distribution, "plugin": executor.name, "hook": hook}
        if not isinstance(outcomes, Sequence):
            message = f"executor {executor.name!r} must return a list of outcomes, found {type(outcomes).__qualname__}"
            raise ExecutorError(message, **address)
        for outcome in outcomes:
            if outcome is not None:
                self._take(outcome, executor, hook)
        missing = self.collector.pending
        if missing and not self.collector.stopped:
            shown = ", ".join(map(str, missing[:10])) + (", …" if len(missing) > 10 else "")  # noqa: PLR2004 - one line
            message = f"executor {executor.name!r} lost {len(missing)} of {self.info.replicates} replicates: {shown}"
            raise ExecutorError(message, **address)

    def _take(self, outcome: Any, plugin: ActivePlugin, hook: str) -> None:
        try:
            self.collector.deliver(outcome)
        except ExecutorError as error:
            owner = {} if plugin.distribution is None else {"distribution": plugin.distribution}
            error.address |= {**owner, "plugin": plugin.name, "hook": hook}
            raise

    # Finishing ----------------------------------------------------------------------------------------

    def finish(self, failure: BaseException | None = None) -> Result:
        """Aggregate, verify, make the record and call `after_run`, also after a failure.

        Args:
            failure: What ended the run early; it is not raised here.

        Raises:
            CrystallizeError: An essential plugin failed in the coordinator; `error.result` is the result.
            RunInterrupted: Ctrl-C, while a plugin was at work on the end of the run.

        """
        collector, hooks = self.collector, self.session.hooks
        collector.stop()
        collector.flush()
        notes = [*collector.notes, *self.session.close(), *self._skipped()]
        self.experiment.pipeline.tidy_cache()
        self.metrics.hypotheses.extend(self._verify(hypothesis) for hypothesis in self.experiment.hypotheses)
        interruptions: list[KeyboardInterrupt] = []
        described: list[tuple[ActivePlugin, Any]] = []
        errors: list[HookError] = []
        with _held_back(interruptions):
            described, errors = hooks.answers("describe_run", self.experiment)
        ended_early = self._ended_early(failure) or bool(interruptions)
        result = Result(
            metrics=self.metrics,
            run=self._record(notes, described, interrupted=ended_early),
            errors=dict(collector.errors),
            artifacts=ArtifactList(CellArtifact(*found) for found in collector.artifacts),
            provenance=collector.provenance,
            seeds=collector.seeds,
        )
        with _held_back(interruptions):
            errors += hooks.call_each("after_run", self.experiment, result)
            finished = Event("run.finished", {"errors": len(result.errors), "duration": result.run.duration})
            errors += hooks.call_each("on_event", self.experiment, finished)
        result.run.notes[:] = _each_once([*result.run.notes, *kept(hooks.take_notes())])
        problems = [error for error in (collector.failure, *errors) if error is not None]
        if failure is not None:
            result.run.notes.extend(Note("warning", f"while the run ended: {error}") for error in problems)
        elif interruptions:
            raise RunInterrupted.of(interruptions[0], result) from None
        elif problems:
            for other in problems[1:]:
                problems[0].add_note(f"and: {other}")
            problems[0].result = result  # type: ignore[attr-defined]  # nothing that was finished is lost
            raise problems[0]
        return result

    def _ended_early(self, failure: BaseException | None) -> bool:
        missing = bool(self.collector.pending) and self.collector.stopped_at is None and not self.info.trial
        return failure is not None or self.collector.failure is not None or missing

    def _skipped(self) -> list[Note]:
        return [
            Note("warning", f"installed plugin {s.name!r} was skipped: {s.reason}", s.name)
            for s in self.experiment.stack.skipped
            if s.error is not None
        ]

    def _verify(self, hypothesis: Hypothesis) -> HypothesisResult:
        """The verdict on every treatment; what fails is kept and costs nothing else."""
        results: dict[str, Any] = {}
        errors: dict[str, Exception] = {}
        counts: dict[str, int] = {}
        for name, treatment in self.metrics.treatments.items():
            if not hypothesis.speaks_of(name):
                continue
            baseline, other, dropped = self.metrics.paired(name)
            counts[name] = self._counted() - dropped
            try:
                results[name] = hypothesis.verify(baseline, other)
            except VerifierError as error:
                error.address.setdefault("condition", treatment.condition)
                errors[name] = error
        ranking: Any = {"best": None, "ranked": []}
        try:
            ranking = hypothesis.rank_treatments(results)
        except VerifierError as error:
            errors["ranker"] = error
        for name in hypothesis.treatments or ():
            if name not in self.metrics.treatments:
                hint = did_you_mean(name, self.metrics.treatments, listing="the treatments are")
                errors[name] = VerifierError(f"there is no treatment {name!r}; {hint}", hypothesis=hypothesis.name)
        return HypothesisResult(hypothesis.name, results, ranking, errors, counts)

    def _counted(self) -> int:
        """How many replicates count."""
        stopped_at = self.collector.stopped_at
        if stopped_at is not None:
            return stopped_at + 1
        return self.info.replicates - len(self.collector.pending)

    def _record(self, notes: list[Note], answers: list[tuple[ActivePlugin, Any]], *, interrupted: bool) -> RunRecord:
        stack = tuple(
            PluginRecord(p.name, p.distribution, p.version, values_of(p.plugin), p.instance_of)
            for p in self.experiment.stack
        )
        overrides = {c.name: c.overridden for c in self.session.conditions if c.overridden}
        return RunRecord(
            info=self.info,
            description=self.experiment.description,
            duration=time.perf_counter() - self._began,
            stack=stack,
            stack_digest=stack_digest(stack, _local_texts(self.experiment.stack)),
            executor=None if self._executor is None else self._executor.name,
            core_version=version(),
            python=platform.python_version(),
            platform=sys.platform,
            overrides=overrides,
            described={plugin.name: dict(found) for plugin, found in answers if found},
            timings=self.collector.timings.as_dict(),
            notes=notes,
            interrupted=interrupted,
            finished=self._counted(),
            stopped_at=self.collector.stopped_at,
            lock_digest=self._lock,
        )

    def _event(self, name: str, **payload: Any) -> None:
        on_event: Callable[..., None] | None = self.session.hooks.on_event
        if on_event is not None:
            on_event(self.experiment, Event(name, payload))


_INSIDE = frozenset({Run.start.__code__, Session.cell.__code__, Collector.take.__code__})


@contextlib.contextmanager
def _held_back(interruptions: list[KeyboardInterrupt]) -> Iterator[None]:
    """Keep Ctrl-C until there is a result that it can take along."""
    try:
        yield
    except KeyboardInterrupt as error:
        interruptions.append(error)


def _each_once(notes: Iterable[Note]) -> list[Note]:
    """The notes without repetitions: every worker switches off its own copy of an observer."""
    return list({(n.kind, n.plugin) if n.kind == "switched-off" else n: n for n in reversed(list(notes))}.values())[
        ::-1
    ]


def _local_texts(stack: Iterable[ActivePlugin]) -> dict[str, bytes]:
    """The texts of the local files that plugins come from, by the names of the plugins."""
    texts = {p.name: text_of(p.origin) for p in stack if p.distribution is None and p.origin != "argument"}
    return {name: text for name, text in texts.items() if text is not None}


def stack_digest(stack: Sequence[PluginRecord], texts: Mapping[str, bytes] | None = None) -> str:
    """One digest over names, distributions, versions and options in their order, and over the texts of local files."""
    rows = [
        (
            p.name,
            p.distribution,
            p.version,
            {k: value_digest(v) for k, v in p.options.items()},
            *([p.instance_of] if p.instance_of else []),
        )
        for p in stack
    ]
    return content_digest((rows, dict(texts)) if texts else rows)


def _step_workers(executor: ActivePlugin | None, replicates: int) -> int:
    """How many steps of one cell the executor allows to run side by side.

    Raises:
        ExecutorError: Its `step_workers` gives something else than a number.

    """
    ask = getattr(executor.plugin, "step_workers", None) if executor is not None else None
    if executor is None or ask is None:
        return 1
    found = ask(replicates) if callable(ask) else ask
    if type(found) is not int or found < 1:
        message = f"step_workers of executor {executor.name!r} must be an int of at least 1, found {found!r}"
        raise ExecutorError(message, plugin=executor.name)
    return found


def new_run_id() -> str:
    """An id that no other run has; ids sort by time."""
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}-{rest // 1000:06d}-{secrets.token_hex(4)}"
