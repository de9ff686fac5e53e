"""How one parameter is filled, and a step with all of its parameters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Literal

import attrs

from crystallize_core.signature import REQUIRED
from crystallize_core.step import PipelineStep

__all__ = ["Fill", "Source", "WiredGuard", "WiredStep", "return_key"]

Source = Literal["bound", "artifact", "output", "input", "data", "ctx", "parameters", "context", "default", "entry"]
"""Where a value comes from: a bound argument, an artifact to write, an output of another step, an input of the run,
the data, the view of the run, the parameters as an object, a context value, the default, an entry of an output."""


@attrs.frozen
class Fill:
    """How one parameter is filled.

    Attributes:
        parameter: Its name.
        source: Where its value comes from.
        value: The bound value, the artifact or the default; `REQUIRED` where there is no default.
        key: Under which name the value is found: an asset, a context key; default the name of the parameter.
        maker: The name of the step whose output it is; None where it is none.

    """

    parameter: str
    source: Source
    value: Any = None
    key: Hashable = None
    maker: str | None = None

    @property
    def place(self) -> str:
        """Under which name the value is found, as text."""
        return self.parameter if self.key is None else str(self.key)

    @property
    def is_required(self) -> bool:
        """Whether the step cannot run without what another step makes."""
        return self.maker is not None and self.value is REQUIRED

    @property
    def words(self) -> str:
        """Where the value comes from, for people: `output of 'load'`, `context`."""
        if self.maker is not None:
            return (
                f"output {self.key!r} of {self.maker!r}" if isinstance(self.key, str) else f"output of {self.maker!r}"
            )
        if self.source in ("input", "context") and self.key not in (None, self.parameter):
            return f"{self.source} {self.key!r}"
        return self.source


@attrs.frozen
class WiredGuard:
    """A condition of a step with what fills its parameters.

    Attributes:
        fills: One entry per parameter.
        ask: `ask(data, ctx)` fills them and calls the predicate.
        wanted: The answer with which the step runs.
        reason: Why it does not run otherwise.

    """

    fills: tuple[Fill, ...]
    ask: Callable[[Any, Any], Any] = attrs.field(repr=False)
    wanted: bool
    reason: str


@attrs.frozen
class WiredStep:
    """A step with its name in the pipeline and how its parameters are filled.

    Attributes:
        step: The step.
        name: Its name, unique in the pipeline.
        fills: One entry per parameter.
        invoke: `invoke(data, ctx)` fills the parameters and calls the step. In a graph, `data` is the mapping of
            everything that was made so far.
        guards: What must hold for it to run.
        waits_for: The names of the steps that it comes after, because it takes what they make.
        single: The key of its one output; None where it has several.
        split: Makes a mapping of what a step with several outputs returned; None where it has one.
        keeps_return: The key under which what it returned is kept besides, where a step takes it as `data`.
        takes_assets: Whether `invoke` takes everything that was made so far, as in a graph, and not the data of a chain.
        group: The unit of its execution group that it runs in, such as `prepare_0`.

    """

    step: PipelineStep
    name: str
    fills: tuple[Fill, ...]
    invoke: Callable[[Any, Any], Any] = attrs.field(repr=False)
    guards: tuple[WiredGuard, ...] = ()
    waits_for: frozenset[str] = frozenset()
    single: Hashable = None
    split: Callable[[Any], Mapping[Any, Any]] | None = attrs.field(default=None, repr=False)
    keeps_return: Hashable = None
    takes_assets: bool = False
    group: str | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """The assets that it makes: those that it declares, else one of its own name."""
        return tuple(self.step.outputs) or (self.name,)

    @functools.cached_property
    def sources(self) -> Mapping[str, str]:
        """Where the value of each parameter comes from."""
        return {fill.parameter: fill.source for fill in self.fills}

    @functools.cached_property
    def by_context(self) -> tuple[Fill, ...]:
        """What fills parameters from the context."""
        return tuple(fill for fill in self.fills if fill.source == "context")

    @property
    def all_fills(self) -> tuple[Fill, ...]:
        """What fills its parameters and those of its guards."""
        return (*self.fills, *(fill for guard in self.guards for fill in guard.fills))

    def hidden_by_bound(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that have no effect here, because the parameter of that name is bound."""
        bound = {fill.parameter for fill in self.fills if fill.source == "bound"}
        return sorted(bound & set(keys))


def return_key(step: PipelineStep, name: str) -> Hashable:
    """The key of what a step returned as a whole; steps that declare no more than one output have it as that output."""
    if len(step.outputs) > 1:
        return ("return", name)
    return step.outputs[0] if step.outputs else name
