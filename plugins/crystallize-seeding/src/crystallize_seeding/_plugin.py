"""`SeedPlugin`: the hooks, and what the coordinator remembers and says about a run."""

# ruff: noqa: ARG002 - overridden hooks have the arguments of the specification, also those that they do not need

from __future__ import annotations

import importlib.util
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal
from weakref import WeakKeyDictionary

import attrs

from crystallize_core.context import CONDITION_KEY, REPLICATE_KEY, SEED_USED_KEY, Event
from crystallize_core.errors import ConfigurationError
from crystallize_core.imported import imported
from crystallize_core.outcome import Note
from crystallize_core.plugin import BasePlugin
from crystallize_seeding._derivation import Path, path_of
from crystallize_seeding._globals import GlobalState
from crystallize_seeding._seeds import NUMPY_IS_MISSING, Seeds

if TYPE_CHECKING:
    from crystallize_core.context import FrozenContext
    from crystallize_core.outcome import CellOutcome, ReplicateOutcome

__all__ = ["SeedPlugin"]

_NAME: Final = "seeding"
_LATE: Final = "seeding.late"
_ROOT_BITS: Final = 128
_ONE_CELL_AT_A_TIME: Final = frozenset({"serial", "process"})


def _check_seed(_: object, __: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        message = f"seed must be an int or None, found {type(value).__name__} {value!r}"
        raise TypeError(message)


def _check_seed_function(_: object, __: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not callable(value):
        message = f"seed_fn must be a function that takes the seed, found {type(value).__name__} {value!r}"
        raise TypeError(message)


@attrs.define(eq=False)
class _Run:
    """What the coordinator remembers of a run while it goes on.

    Attributes:
        id: The id of the run.
        settings: What its cells go by.
        where: The thread and task that started it.
        before: The caller's global generators, as they were; None where they are left alone.
        is_here: Whether its cells use the global generators of this process.
        met: The id of a run that used them at the same time.

    """

    id: str
    settings: Mapping[str, Any]
    where: tuple[int, object]
    before: GlobalState | None
    is_here: bool
    met: str | None = None


_going_on: Final[WeakKeyDictionary[Any, _Run]] = WeakKeyDictionary()
"""By the experiment as a run sees it, which is the run's own. Of the process and not of a plugin: the global generators
are the process's too, and a plugin without a state of its own can serve two runs at once and be sent to workers."""
_lock: Final = threading.Lock()


@attrs.frozen(eq=False, slots=False)
class SeedPlugin(BasePlugin):
    """Seed every cell and every step of an experiment, and give steps a stream of their own, `ctx.rng`.

    Numbers depend on the seed, the replicate and the name of the step and on nothing else, so that they are
    the same under every executor. The seed of the run is in its record, that of a cell in its context under
    the key `seed_used`.

    Args:
        seed: The root of all seeds, any integer; None draws a fresh one for each run, which the record names.
        auto_seed: Whether to set the global generators before each step, and to draw a seed where none is given.
            Without it they are left alone; `ctx.rng` then stands on `seed`, and is unrepeatable without one.
        seed_fn: Called instead of `default_seed_function`, with a number from 0 to 2**32 - 1.
        common: Whether all conditions of a replicate get the same numbers, for paired comparisons.
        rng: What `ctx.rng` is: a `numpy.random.Generator`, a `random.Random`, or whichever is installed.

    """

    plugin_name: ClassVar[str | None] = _NAME
    before: ClassVar[tuple[str, ...]] = ("*",)
    watches_generators: ClassVar[bool] = True
    changes_process: ClassVar[tuple[str, ...]] = ("random",)  # that is what it is for; after_run puts them back

    seed: int | None = attrs.field(
        default=None,
        validator=_check_seed,
        metadata={"help": "the root of all seeds; none draws a fresh one for each run"},
    )
    auto_seed: bool = attrs.field(
        default=True,
        validator=attrs.validators.instance_of(bool),
        metadata={"help": "set the global generators before each step, and draw a seed where none is given"},
    )
    seed_fn: Callable[[int], object] | None = attrs.field(
        default=None,
        validator=_check_seed_function,
        metadata={"help": "called instead of the default, with a number below 2**32"},
    )
    common: bool = attrs.field(
        default=True,
        kw_only=True,
        validator=attrs.validators.instance_of(bool),
        metadata={"help": "all conditions of a replicate get the same numbers"},
    )
    rng: Literal["auto", "numpy", "python"] = attrs.field(
        default="auto",
        kw_only=True,
        validator=attrs.validators.in_(("auto", "numpy", "python")),
        metadata={"help": "what ctx.rng is: a numpy Generator, a random.Random, or what is installed"},
    )

    # In the coordinator -------------------------------------------------------------------------

    def before_run(self, experiment: Any, run: Any) -> None:
        """Decide on the seed of the run and tell the workers.

        Raises:
            ConfigurationError: `rng="numpy"`, and numpy is not installed.

        """
        settings = run.shared[_NAME] = self._settings(run.concurrency)
        before = GlobalState.now() if self.auto_seed else None
        mine = _Run(run.id, settings, _here(), before, self.auto_seed and run.concurrency != "process")
        with _lock:
            for other in _going_on.values():
                # An experiment that a step of another one runs is no neighbour: that step waits for it.
                if mine.is_here and other.is_here and mine.where != other.where:
                    mine.met, other.met = other.id, run.id
            _going_on[experiment] = mine

    def describe_run(self, experiment: Any) -> Mapping[str, Any] | None:
        """Name the seed, whether it was drawn, and what was done with it."""
        mine = _going_on.get(experiment)
        return None if mine is None else dict(mine.settings)

    def replicate_done(self, experiment: Any, replicate: int, outcome: ReplicateOutcome) -> None:
        """Hand on what a worker found out too late."""
        for cell in outcome.cells:
            for event in cell.events:
                if event.name == _LATE:
                    place = f"step {event.payload['step']!r}" if event.payload["step"] else "the datasource"
                    text = (
                        f"in replicate {cell.replicate}, condition {cell.condition!r}, {place} imported numpy and drew "
                        f"from its global generator, which could not be seeded before; import numpy at the top of the "
                        f"module, or draw from ctx.rng"
                    )
                    outcome.notes.append(Note("warning", text, _NAME))

    def after_run(self, experiment: Any, result: Any) -> None:
        """Say what was drawn that nobody could seed, and put the caller's generators back where they were."""
        with _lock:
            mine = _going_on.pop(experiment, None)
        if mine is None or mine.before is None:
            return
        if mine.met is not None:
            result.add_warning(_MET.format(other=mine.met), plugin=_NAME)
        elif not mine.settings["globals"]:
            moved = mine.before.moved()
            if moved:
                result.add_warning(self._drawn(result.run.info.concurrency, moved), plugin=_NAME)
        if mine.settings["globals"]:
            mine.before.restore()

    def _drawn(self, concurrency: str, moved: list[str]) -> str:
        custom = "; seed_fn was not called for the same reason" if self.seed_fn is not None else ""
        return (
            f"something drew from the global generator of {' and '.join(moved)}, which all replicates share under "
            f"{concurrency!r} execution, so that these numbers may differ from run to run{custom}. Draw from ctx.rng, "
            f"which is the same under every executor, or run with processes or serially"
        )

    def _settings(self, concurrency: str) -> dict[str, Any]:
        """What the cells of a run must agree on; plain values, as the record keeps them."""
        has_numpy = importlib.util.find_spec("numpy") is not None  # looks for it without importing it
        if self.rng == "numpy" and not has_numpy:
            raise ConfigurationError(NUMPY_IS_MISSING, plugin=_NAME)
        is_drawn = self.seed is None and self.auto_seed
        return {
            "seed": secrets.randbits(_ROOT_BITS) if is_drawn else self.seed,
            "drawn": is_drawn,
            "common": self.common,
            "globals": self.auto_seed and concurrency in _ONE_CELL_AT_A_TIME,
            "rng": "numpy" if self.rng == "numpy" or (self.rng == "auto" and has_numpy) else "python",
        }

    # In the workers -----------------------------------------------------------------------------

    def before_replicate(self, experiment: Any, ctx: FrozenContext) -> None:
        """Name the seed of the cell, provide `ctx.rng`, and seed what runs outside the steps."""
        # The core reads this code to learn which keys it adds; it can while `ctx` is only asked for attributes.
        run = ctx.run
        settings = self._settings("serial") if run is None else run.shared[_NAME]
        seeds = self._seeds(settings, ctx.get(REPLICATE_KEY), ctx.get(CONDITION_KEY))
        ctx.add(SEED_USED_KEY, seeds.cell.seed)
        ctx.provide("rng", seeds.stream)
        ctx.provide(_NAME, lambda _: seeds, tracked=False)  # what we look at is not the step's doing
        seeds.start(None)

    def _seeds(self, settings: Mapping[str, Any], replicate: int, condition: str) -> Seeds:
        root = settings["seed"]
        path = Path(secrets.randbits(_ROOT_BITS)) if root is None else path_of(root)
        cell = path.cell(replicate, None if settings["common"] else condition)
        return Seeds(cell, root is not None, settings["globals"], self.seed_fn, settings["rng"] == "numpy")

    def before_step(self, experiment: Any, step: Any, ctx: FrozenContext) -> None:
        """Set the global generators to where this step starts, the same for each attempt."""
        # Written out, and `ctx` only asked for attributes, for the reason given in `before_replicate`.
        try:
            seeds: Seeds = ctx.seeding
        except AttributeError:
            return
        seeds.start(ctx.step_name)
        if step.cacheable:
            seeds.watch(ctx.step_name)

    def cache_dependencies(self, experiment: Any, step: Any, ctx: FrozenContext) -> Mapping[str, Any] | None:
        """Make an output that random numbers went into depend on which numbers these were."""
        seeds = _seeds_of(ctx)
        return None if seeds is None else seeds.dependencies(ctx.step_name)

    def after_replicate(self, experiment: Any, ctx: FrozenContext, outcome: CellOutcome) -> None:
        """Report steps that drew before anybody could seed."""
        seeds = _seeds_of(ctx)
        if seeds is not None:
            seeds.look_for_late()
            for step in seeds.late:
                outcome.events.append(Event(_LATE, {"step": step}, outcome.replicate, outcome.condition, step))


_MET: Final = (
    "run {other} went on in this process at the same time. Both set the global generators of random and numpy, which "
    "belong to the process, so that what steps draw from these may differ from run to run; ctx.rng is not affected"
)


def _here() -> tuple[int, object]:
    """The thread and, on an event loop, the task: what runs one after the other has the same."""
    asyncio: Any = imported("asyncio")  # where nobody has loaded it, there is no loop
    try:
        task = None if asyncio is None else asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), task


def _seeds_of(ctx: FrozenContext) -> Seeds | None:
    """The seeds of the cell; None in a pipeline that runs without an experiment."""
    seeds: Seeds | None = getattr(ctx, _NAME, None)
    return seeds
