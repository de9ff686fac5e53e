"""The contract: every hook, when it is called, in which process, with what, and what it may return.

This is the file that a plugin author reads. A plugin implements any of these by name:

* as methods of a `BasePlugin` subclass, without a decorator;
* as methods of any object, or functions of a module, marked with `@hookimpl`.

An implementation takes as many of the arguments as it needs, in any order, by their names. Arguments
are added to these specifications in later versions, never removed or renamed. Hooks are plain
functions; `async def` is refused.

*Coordinator* is the process that called `run`; *worker* is whichever process (or thread) runs a
replicate, which is the coordinator itself under the serial executor. A plugin is attached in every
process on its own: what it keeps on itself in a worker does not travel back. What a worker's plugin
has to say goes into the context (`ctx.emit`, metrics, artifacts) and arrives in `on_event` and
`replicate_done`. What the coordinator's plugin has to tell the workers it puts into `run.shared` in
`before_run`; a worker reads it as `ctx.run.shared`.

Order: in the order of the stack, the outermost first; `after_replicate` and `after_run` unwind in the reverse order.
`@hookimpl(tryfirst=True)` and `trylast=True` move one hook of a plugin before or behind those of all others, and
`wrapper=True` puts a generator with one `yield` around the calls of a hook that returns nothing.
A failing hook of an essential plugin fails the cell (worker hooks) or the run (coordinator hooks);
a failing hook of an observer (`essential = False`) switches the observer off and is noted in the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crystallize_core.asset import Asset
    from crystallize_core.cache import CacheStore
    from crystallize_core.context import Event, FrozenContext
    from crystallize_core.outcome import CellOutcome, ReplicateOutcome

__all__ = ["ANSWERING", "CONTRACT", "CORES", "HOOKS", "PROJECT", "UNWINDING", "hookimpl", "hookspec"]

PROJECT: Final = "crystallize"
CORES: Final[Mapping[str, str]] = {"1.0": "0.1.0"}
"""The versions of this contract that are kept, the oldest first, and the first crystallize-core that has each."""
CONTRACT: Final = "1.0"
"""The version of this contract. It grows by one behind the dot when something is added, before it when something goes.

A plugin says which one it was written for: `contract = "1.0"`, an attribute of its class or its module. One that does
not say so was written for the oldest.
"""
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function or method as the implementation of the hook of its name."""


@hookspec
def init_hook(experiment: Any) -> None:
    """Called once when the plugin is attached to the experiment, in every process that holds it.

    Args:
        experiment: The `Experiment`; a plugin may configure it here.

    """


@hookspec
def before_run(experiment: Any, run: Any) -> None:
    """Called once in the coordinator before any replicate.

    Args:
        experiment: The experiment with the replicates and treatments of this run.
        run: The `RunInfo`: `id`, `replicates`, `concurrency`, and `shared`, a dictionary in which a
            plugin leaves plain values for its copies in the workers, under its own name.

    """


@hookspec(firstresult=True)
def run_experiment_loop(experiment: Any, replicate_fn: Callable[[int], ReplicateOutcome]) -> Any:
    """Called once in the coordinator: run the replicates.

    Args:
        experiment: The experiment; `experiment.replicates` is the number of replicates.
        replicate_fn: Runs the replicate of the given number and returns its outcome. It can be sent to
            another process with the standard pickle. It also has `pending`, the numbers still to run;
            `deliver(outcome)`, to hand over outcomes as they arrive; `stopped`, true once no further
            replicate is wanted; `arun(number)`, its awaitable form; `lost(number, error)`, which delivers a
            failed outcome for a replicate whose worker died of it, and takes as `at=` what its worker had
            announced (`crystallize_core.watchdog`); and `close()`, for a worker that ends.

    An executor is a plugin with this hook. Its attribute `concurrency` says what replicates share: `serial`, `thread`,
    `async` or `process` (the default). `allocates_resources = True` says that it asks a cluster for what the option
    `resources` of a step says, so that this machine need not have it. Under `thread` and `async`, `step_workers` says how many steps of one cell may
    run side by side: a number, or a function of the number of replicates.

    Returns:
        One outcome per replicate, in the order of their numbers; outcomes that were delivered may be
        left out. `None` or `NotImplemented` leaves the work to the next plugin, and in the end to a
        plain loop.

    """


@hookspec
def before_replicate(experiment: Any, ctx: FrozenContext) -> None:
    """Called in the worker for each cell (replicate, condition), before data is fetched.

    Args:
        experiment: The experiment.
        ctx: The context of the cell. A treatment that is a mapping is applied already, one that is a
            function is applied after this hook. Keys that are added here are there for every step;
            `ctx.provide(name, factory)` adds an attribute.

    """


@hookspec
def before_step(experiment: Any, step: Any, ctx: FrozenContext) -> None:
    """Called in the worker just before the step is called, for each attempt, in the thread that calls it.

    Args:
        experiment: The experiment.
        step: The step: `name`, `params`, `options`, `cacheable`.
        ctx: What the step will see; `ctx.step_name` and `ctx.attempt` say which attempt this is.

    """


@hookspec
def after_step(experiment: Any, step: Any, data: Any, ctx: FrozenContext) -> None:
    """Called in the worker after the step's output, metrics and artifacts are committed.

    Args:
        experiment: The experiment.
        step: The step that ran, or whose cached result was used.
        data: What the step returned, without the metrics.
        ctx: What the step saw; `ctx.artifacts` are the artifacts of this step.

    """


@hookspec
def after_run(experiment: Any, result: Any) -> None:
    """Called once in the coordinator after aggregation and hypotheses, also after failures and Ctrl-C.

    Args:
        experiment: The experiment.
        result: The `Result`; `result.run` says which run this was.

    """


@hookspec
def step_options() -> Mapping[str, Any]:
    """Called in every process when the plan is made: the step options that this plugin claims.

    Returns:
        Option name -> type annotation, or a function that returns the checked value or raises
        `ValueError` with what it expects.

    """


@hookspec
def wrap_step(experiment: Any, step: Any, call: Callable[[Any, FrozenContext], Any]) -> Any:
    """Called in every process when the plan is made, for each step: put a policy around its calls.

    Args:
        experiment: The experiment; None where a pipeline runs on its own.
        step: The step; `step.options` are its options, `step.is_async` says whether `call` must be awaited.
        call: `call(data, ctx)` runs one attempt. Each call of it starts from the same state: metrics,
            artifacts, events and random streams of an earlier attempt are gone. A policy that gives
            up on an attempt that still runs says so with `ctx.abandon(error)` before it raises; one that
            interrupts it first says why with `ctx.condemn(error)`. What a policy returns without a
            successful attempt is not cached; `ctx.attempt` is the number of attempts so far. A policy that
            limits the time of attempts announces each of them with `crystallize_core.watchdog.announce`
            (`with announce(step.name, seconds, ctx, error):`, where `error` is a function that makes the error for a
            process that had to be ended), so that an executor can end a worker process that nothing inside can end.

    Returns:
        A callable with the signature of `call` (a coroutine function for an async step), or None for
        a step that this policy has nothing to do with, which then costs nothing. With the attribute
        `single_attempt = True` it promises to call `call` at most once for each of its own calls, and
        the engine need not keep a copy of the input for a further attempt.

    """


@hookspec
def step_failed(experiment: Any, step: Any, ctx: FrozenContext, error: BaseException, attempt: int) -> None:
    """Called in the worker after each failed attempt of a step.

    Args:
        experiment: The experiment.
        step: The step.
        ctx: What the attempt saw. What it wrote is not committed.
        error: What it raised.
        attempt: The number of the attempt, from 1.

    """


@hookspec
def step_skipped(experiment: Any, step: Any, ctx: FrozenContext, reason: str) -> None:
    """Called in the worker for a step that is left out: its condition does not hold, or what it needs was not made.

    Args:
        experiment: The experiment.
        step: The step.
        ctx: What the step would have seen; what is written through it is committed.
        reason: Why, in words.

    """


@hookspec
def after_replicate(experiment: Any, ctx: FrozenContext, outcome: CellOutcome) -> None:
    """Called in the worker for each cell at its end, also when it failed.

    Args:
        experiment: The experiment.
        ctx: The context of the cell.
        outcome: What the cell came to.

    """


@hookspec
def replicate_done(experiment: Any, replicate: int, outcome: ReplicateOutcome) -> None:
    """Called in the coordinator as each replicate arrives, in order of arrival, one call at a time.

    Args:
        experiment: The experiment.
        replicate: The number of the replicate.
        outcome: What it came to under all conditions.

    """


@hookspec(firstresult=True)
def load_replicate(experiment: Any, replicate: int) -> ReplicateOutcome | None:
    """Called in the coordinator before a replicate is scheduled.

    Args:
        experiment: The experiment.
        replicate: The number of the replicate.

    Returns:
        An outcome known from an earlier run, which is then used instead of running it, or None.

    """


@hookspec(firstresult=True)
def should_stop(experiment: Any, outcomes: Sequence[ReplicateOutcome]) -> bool | None:
    """Called in the coordinator after each replicate, in the order of their numbers.

    Args:
        experiment: The experiment.
        outcomes: The outcomes of replicates 0, 1, … up to the newest.

    Returns:
        True to leave out all later replicates, whether they were started or not, so that the result
        does not depend on timing; None to have no opinion.

    """


@hookspec
def on_event(experiment: Any, event: Event) -> None:
    """Called in the coordinator for each `ctx.emit(...)` and each event of the lifecycle.

    Args:
        experiment: The experiment.
        event: `name`, `payload`, `replicate`, `condition`, `step`. The lifecycle has `run.started`,
            `replicate.done` and `run.finished`.

    """


@hookspec
def cache_dependencies(experiment: Any, step: Any, ctx: FrozenContext) -> Mapping[str, Any] | None:
    """Called in the worker around a cacheable step: what else its output depends on.

    Called before the step to look for an entry and after it to store one; the answers are part of the
    key, so that an entry is used only while they are the same.

    Args:
        experiment: The experiment; None where a pipeline runs on its own.
        step: The step.
        ctx: What the step sees.

    Returns:
        Name -> value (anything with a stable digest), or None.

    """


@hookspec(firstresult=True)
def cache_store(experiment: Any) -> CacheStore | None:
    """Called in every process when the plan is made, where a step is cacheable: where cached outputs are kept.

    Entries are signed and checked by the engine, whatever the store is: it keeps bytes under names. What it raises
    while the steps run costs the run nothing but the cache, and is said once. It may be called from several threads at
    once. Checkpoints of pipelines stay in files, and a pipeline with a `cache_dir` of its own keeps that.

    Args:
        experiment: The experiment; None where a pipeline runs on its own.

    Returns:
        An object with `read(name)`, which returns bytes or None, and `write(name, content)`, which keeps all of it
        or nothing (`crystallize_core.cache.CacheStore`); `None` or `NotImplemented` leaves it to the next plugin, and
        in the end to files in the folder of the cache.

    """


@hookspec(firstresult=True)
def store_asset(experiment: Any, asset: Asset, ctx: FrozenContext) -> str | None:
    """Called in the worker when a step returned an `Asset`, or a value where its annotation promises one.

    Called after the attempt has succeeded and before it is committed: what is written through `ctx` (artifacts,
    metrics, events) is committed, dropped and cached with the step. Where no plugin answers, the value just flows on.

    Args:
        experiment: The experiment; None where a pipeline runs on its own.
        asset: What to store. A plain value was wrapped into the annotated type, and is `asset.data`.
            `asset.name` is always set: by its author, or to the name of the step's output.
        ctx: What the attempt saw; `ctx.step_name` is the step.

    Returns:
        Where it is now, a name or a URI; `None` or `NotImplemented` leaves it to the next plugin.

    """


@hookspec
def describe_run(experiment: Any) -> Mapping[str, Any] | None:
    """Called in the coordinator when the run record is made.

    Args:
        experiment: The experiment.

    Returns:
        What this plugin adds to the record under its name: plain values.

    """


HOOKS: Final[Mapping[str, Callable[..., Any]]] = {
    name: value for name, value in list(globals().items()) if hasattr(value, f"{PROJECT}_spec")
}
"""The specifications by name, in the order of this file."""

ANSWERING: Final = frozenset(
    {
        "cache_dependencies", "cache_store", "describe_run", "load_replicate", "run_experiment_loop", "should_stop",
        "step_options", "store_asset", "wrap_step",
    }
)  # fmt: skip
"""The hooks that return something; wrappers go around the others only."""

UNWINDING: Final = frozenset({"after_replicate", "after_run"})
"""The hooks that are called in the reverse order of the stack."""
