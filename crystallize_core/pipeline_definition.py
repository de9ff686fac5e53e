"""What a pipeline is made of: its steps, its parameters, and where its outputs are kept."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from crystallize_core.cache import (
    Caching,
    FileStore,
    cache_folder,
    limits,
)
from crystallize_core.checks import checked_name
from crystallize_core.context import BASELINE_CONDITION, FrozenContext
from crystallize_core.errors import DefinitionError, did_you_mean
from crystallize_core.fingerprint import content_digest
from crystallize_core.parameters import Context
from crystallize_core.state import ALL_KEYS
from crystallize_core.step import PipelineStep, as_step
from crystallize_core.wiring import Sources, Wiring, unique_names, wire

if TYPE_CHECKING:
    from crystallize_core.cache import Checkpoints
    from crystallize_core.wiring.groups import StepGroup

__all__ = ["PipelineDefinition", "checked_inputs", "checked_parameters"]


class PipelineDefinition:
    """A pipeline as far as it does not run; see `Pipeline`."""

    def __init__(
        self,
        steps: Iterable[Any] | str,
        *,
        name: str | None = None,
        context: Mapping[str, Any] | None = None,
        enable_cache: bool = True,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_ttl: float | None = None,
        cache_max_bytes: int | None = None,
        checkpoint: bool = True,
        keep_runs: int = 5,
        check_types: bool = False,
    ) -> None:
        if isinstance(steps, str) and name is not None:
            message = (
                f"Pipeline({steps!r}, name={name!r}) has two names; write Pipeline({steps!r}), or give it its steps"
            )
            raise DefinitionError(message)
        given, name = ((), steps) if isinstance(steps, str) else (steps, name)
        # The steps of a set would be in another order in every process.
        if isinstance(given, (bytes, Mapping, AbstractSet)) or not isinstance(given, Iterable):
            message = f"Pipeline needs a list of steps or a name, found {type(steps).__qualname__} {steps!r}"
            raise DefinitionError(message)
        self.name = "pipeline" if name is None else checked_name(name, "pipeline")
        self.context = checked_parameters(context)
        self.enable_cache, self.checkpoint = _flag("enable_cache", enable_cache), _flag("checkpoint", checkpoint)
        self.check_types = _flag("check_types", check_types)
        self.cache_dir = None if cache_dir is None else Path(cache_dir)
        self.cache_ttl = None if cache_ttl is None else _at_least("cache_ttl", cache_ttl, 0, (int, float))
        self.cache_max_bytes = None if cache_max_bytes is None else _at_least("cache_max_bytes", cache_max_bytes, 0)
        self.keep_runs: int = _at_least("keep_runs", keep_runs, 1)
        self.steps: list[PipelineStep] = [_step(step, f"pipeline step {at}") for at, step in enumerate(given, 1)]
        if not self.steps and not isinstance(steps, str):
            message = (
                "a pipeline needs at least one step; one that gets its steps later is given a name in their place: "
                'Pipeline("etl").add_step(...)'
            )
            raise DefinitionError(message)
        self._hits = self._misses = 0

    @classmethod
    def from_steps(cls, *steps: Any, name: str | None = None, **options: Any) -> Self:
        """A pipeline of these steps."""
        return cls(list(steps), name=name, **options)

    def add_step(self, step: Any) -> Self:
        """Add a step; returns the pipeline.

        Raises:
            DefinitionError: No step can be made of it, or this very step is there already.

        """
        made = _step(step, f"pipeline {self.name!r}, step {len(self.steps) + 1}")
        if made.is_named and any(made is other for other in self.steps):
            message = f"step {made.name!r} is in pipeline {self.name!r} already; make a second step of the function"
            raise DefinitionError(message)
        self.steps.append(made)
        return self

    def add_steps(self, *steps: Any) -> Self:
        """Add several steps, one after the other or as one list; returns the pipeline."""
        for step in steps:
            for one in step if isinstance(step, (list, tuple)) else [step]:
                self.add_step(one)
        return self

    # Looking ------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters of the pipeline as they are now."""
        context = self.context
        return {} if context is None else {name: context[name] for name in context}

    def visualize(self, form: Literal["text", "mermaid", "svg"] = "text") -> str:
        """A picture of the graph: text, Mermaid or SVG.

        Raises:
            WiringError: The steps cannot be put in order.

        """
        from crystallize_core.pipeline_result import picture  # noqa: PLC0415 - most pipelines are never drawn
        from crystallize_core.pipeline_run import drawing_of  # noqa: PLC0415 - as above

        return picture(drawing_of(self.name, self._wired({}, {}, is_complete=False).steps, self.parameters), form)

    def groups(self) -> list[StepGroup]:
        """The units that steps with an `execution_group` run in: their names, steps and resources, in their order.

        A group is one unit, unless a step of another has to run in between.

        Raises:
            WiringError: The steps cannot be put in order.

        """
        from crystallize_core.wiring.groups import groups_of  # noqa: PLC0415 - only where somebody asks for them

        return groups_of(self._wired({}, {}, is_complete=False).steps)

    def _wired(self, inputs: Mapping[str, Any], context: Mapping[str, Any], *, is_complete: bool = True) -> Wiring:
        """The wiring of a run; where not all that it will be given is known, anything may be in the context."""
        known = frozenset(self.parameters) | frozenset(context) | (frozenset() if is_complete else {ALL_KEYS})
        sources = Sources(
            {BASELINE_CONDITION: known}, inputs=frozenset(inputs), has_data="data" in inputs, retained=True
        )
        return wire(self.steps, sources, where=f"pipeline {self.name!r}")

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

    # The cache ----------------------------------------------------------------------------------------

    def _cache_folder(self) -> Path:
        # A step may change the current folder while the pipeline runs.
        return (cache_folder() if self.cache_dir is None else self.cache_dir).absolute()

    def caching(self) -> Caching:
        """Where outputs are looked for and kept.

        Raises:
            DefinitionError: A limit of the environment cannot be read.

        """
        limits.max_bytes(self.cache_max_bytes)  # not only when all has run
        store = FileStore(self._cache_folder(), lifetime=limits.ttl(self.cache_ttl)) if self.enable_cache else None
        return Caching(store, is_chosen=self.cache_dir is not None)

    def cache_settings(self) -> tuple[Any, ...]:
        """Everything that `caching` depends on."""
        chosen = self.enable_cache, self.cache_dir, self.cache_ttl, self.cache_max_bytes
        here = os.getcwd() if self.enable_cache else None  # noqa: PTH109 - a path costs as much as all of the rest
        return *chosen, here, *map(os.environ.get, limits.VARIABLES)

    def checkpoints(self) -> Checkpoints | None:
        """The runs that can be resumed; None where none are kept."""
        from crystallize_core.cache import Checkpoints  # noqa: PLC0415 - workers keep none

        return Checkpoints(self._cache_folder(), self.name) if self.checkpoint else None

    def tidy_cache(self) -> None:
        """Throw away what is more in the cache than may be there; called after each run."""
        most = limits.max_bytes(self.cache_max_bytes) if self.enable_cache else None
        if most is not None:
            from crystallize_core.cache import evict  # noqa: PLC0415 - as above

            evict(self._cache_folder(), most)

    def cache_stats(self) -> dict[str, Any]:
        """What is cached: `entries`, `bytes`, and both by step; and `hits` and `misses` of this pipeline so far.

        Hits and misses are those of runs on their own, in this process.
        """
        from crystallize_core.cache import cached_files  # noqa: PLC0415 - as above

        steps: dict[str, dict[str, int]] = {}
        for entry in cached_files(self._cache_folder()):
            found = steps.setdefault(entry.step, {"entries": 0, "bytes": 0})
            found["entries"] += 1
            found["bytes"] += entry.size
        return {
            "entries": sum(found["entries"] for found in steps.values()),
            "bytes": sum(found["bytes"] for found in steps.values()),
            "hits": self._hits,
            "misses": self._misses,
            "steps": steps,
        }

    def invalidate_cache(self, step: str | None = None, before: dt.datetime | dt.date | float | None = None) -> int:
        """Remove cached outputs of the steps of this pipeline, and return how many there were.

        Args:
            step: Only those of this step; default those of all steps of the pipeline.
            before: Only those that were written before this moment: a date, a time, or seconds since 1970.

        Raises:
            DefinitionError: There is no such step, or `before` is none of these.

        """
        names = self.step_names
        if step is not None and step not in names:
            message = (
                f"pipeline {self.name!r} has no step {step!r}; {did_you_mean(step, names, listing='its steps are')}"
            )
            raise DefinitionError(message)
        wanted = names if step is None else [step]
        from crystallize_core.cache import invalidate  # noqa: PLC0415 - as above

        return sum(invalidate(self._cache_folder(), step=name, before=before) for name in wanted)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[PipelineStep]:
        return iter(self.steps)

    def __bool__(self) -> bool:
        return True  # one that has no steps yet is a pipeline all the same

    def __repr__(self) -> str:
        return f"Pipeline({' -> '.join(self.step_names)})"


def _step(item: Any, where: str) -> PipelineStep:
    """A step of whatever stands in a list of steps; text is the name of one that a distribution ships."""
    if type(item) is str:
        from crystallize_core.stack.shipped import shipped  # noqa: PLC0415 - only where somebody names one

        item = shipped(item, "step", where)
    return as_step(item, where)


def checked_parameters(context: Any) -> Context | None:
    """The parameters that a pipeline was given, as they were given where they are a context."""
    if context is None or isinstance(context, Context):
        return context
    if isinstance(context, FrozenContext):
        message = "context must be a mapping or what context(...) makes; a FrozenContext goes with data: run(data, ctx)"
        raise DefinitionError(message)
    return Context(context)


def checked_inputs(inputs: Any) -> dict[str, Any]:
    """The inputs of a run by name.

    Raises:
        DefinitionError: They are no mapping with names as keys.

    """
    if inputs is None:
        return {}
    if not isinstance(inputs, Mapping) or not all(isinstance(name, str) and name for name in inputs):
        message = f"inputs must be a mapping from names to values, found {type(inputs).__qualname__} {inputs!r}"
        raise DefinitionError(message)
    return dict(inputs)


def _flag(what: str, value: Any) -> bool:
    if not isinstance(value, bool):
        message = f"{what} must be a bool, found {value!r}"
        raise DefinitionError(message)
    return value


def _at_least(what: str, value: Any, least: int, kinds: tuple[type, ...] = (int,)) -> Any:
    number: Any = value
    if isinstance(value, bool) or not isinstance(value, kinds) or not number >= least:
        message = f"{what} must be {'an int' if kinds == (int,) else 'a number'} of at least {least}, found {value!r}"
        raise DefinitionError(message)
    return value
