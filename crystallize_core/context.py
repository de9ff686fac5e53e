"""The immutable key-value view that a step sees, and the staging behind it.

Three objects, one per lifetime:

* `CellState` is what one cell (replicate, condition) has committed so far;
* `FrozenContext` is the public view; made by a user it stands on a state of its own and writes through;
* `StepContext` is the view that one *attempt* of a step gets. Whatever it writes is staged, and the
  engine moves it into the state when the attempt has succeeded. An attempt that failed, or that was
  given up by a timeout and still runs somewhere, holds a stage that nobody will ever commit.

Reading a mutable value gives a private copy, one per view, so that a step can neither change what the
next one sees nor be surprised by what another does later. Numbers, strings and other immutable values
are handed out as they are.
"""

from __future__ import annotations

import logging
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from crystallize_core.artifact import ArtifactLog
from crystallize_core.errors import ContextError, ContextKeyError, ContextMutationError, WiringError, did_you_mean
from crystallize_core.metrics import MetricLog
from crystallize_core.resource import ResourceFactory
from crystallize_core.signature import REQUIRED
from crystallize_core.state import (
    ABSENT,
    ALL_KEYS,
    BASELINE_CONDITION,
    CONDITION_KEY,
    REPLICATE_KEY,
    SEED_USED_KEY,
    SHARED_TYPES,
    CellState,
    Event,
    Metric,
    Stage,
    snapshot,
)

__all__ = [
    "BASELINE_CONDITION",
    "CONDITION_KEY",
    "REPLICATE_KEY",
    "SEED_USED_KEY",
    "Event",
    "FrozenContext",
    "Metric",
    "MetricLog",
    "standalone_context",
]


class FrozenContext:
    """An immutable key-value view: keys can be added, never changed.

    Args:
        initial: The first keys and values; mutable values are copied.
        logger: What `ctx.logger` gives; default the logger named `crystallize`.

    Attributes:
        step_name: The name of the step that sees this view; None outside a step.

    Besides its methods it has the attributes that plugins `provide`, such as `rng`, and always `logger`:
    what a plugin provides, else `logger=`, else the standard logger named `crystallize`.

    """

    # Class attributes are the defaults of a view, so that making one for a step sets two attributes only.
    step_name: str | None = None
    _state: CellState
    _stage: Stage | CellState | None = None
    _reads: dict[str, Any] | None = None
    _looked: tuple[str, ...] = ()
    _attempt: int = 1
    _copies: dict[str, Any] | None = None

    def __init__(self, initial: Mapping[str, Any] | None = None, *, logger: Any = None) -> None:
        values = {}
        for key, value in dict(initial or {}).items():
            _check_key(key)
            values[key] = snapshot(value, f"context value {key!r}")
        state = CellState(values)
        state.logger = logger
        fields = self.__dict__
        fields["_state"] = state
        fields["_stage"] = state  # a user's own context writes through

    # Reading ------------------------------------------------------------------------------------

    def __getitem__(self, key: str) -> Any:
        value = self._look(key)
        if value is ABSENT:
            message = f"the context has no key {key!r}; {did_you_mean(str(key), self._visible(), listing='it has')}"
            raise ContextKeyError(message, step=self.step_name)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`, or `default`. A mutable value is a copy private to this view."""
        value = self._look(key)
        return default if value is ABSENT else value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._look(key) is not ABSENT

    def __iter__(self) -> Iterator[str]:
        self._note_read(ALL_KEYS, tuple(self._visible()))
        return iter(list(self._visible()))

    def __len__(self) -> int:
        self._note_read(ALL_KEYS, tuple(self._visible()))
        return len(self._visible())

    def keys(self) -> list[str]:
        """The keys, in the order in which they were added."""
        return list(self)

    def items(self) -> list[tuple[str, Any]]:
        """The keys with their values."""
        return [(key, self[key]) for key in self]

    def as_dict(self) -> Mapping[str, Any]:
        """A read-only copy of everything in the context."""
        return types.MappingProxyType({key: self[key] for key in self})

    def _visible(self) -> dict[str, Any]:
        stage = self._stage
        if isinstance(stage, Stage) and stage.added:
            return {**self._state.values, **stage.added}
        return self._state.values

    def _look(self, key: str) -> Any:
        """The value of `key` or ABSENT; notes the read, because a cached step depends on it."""
        value = self._state.values.get(key, ABSENT)
        if value is ABSENT and isinstance(self._stage, Stage) and key in self._stage.added:
            value = self._stage.added[key]  # its own addition: nothing that it depends on
        else:
            self._note_read(key, value)
        if type(value) in SHARED_TYPES or value is ABSENT:
            return value
        return self._private(key, value)

    def _fill(self, key: str, default: Any) -> Any:
        """The value of a step's parameter; that the step depends on it is known from its wiring."""
        value = self._state.values.get(key, ABSENT)
        if type(value) in SHARED_TYPES:
            return value
        if value is ABSENT and isinstance(self._stage, Stage):
            value = self._stage.added.get(key, ABSENT)  # a hook added it just before the step
        if value is not ABSENT:
            return value if type(value) in SHARED_TYPES else self._private(key, value)
        if default is REQUIRED:
            hint = did_you_mean(key, self._state.values, listing="the context has")
            message = f"nothing fills the parameter {key!r}: it is neither bound nor in the context; {hint}"
            raise WiringError(message, step=self.step_name)
        return default

    def _note_read(self, key: str, value: Any) -> None:
        if self._reads is None:
            self.__dict__["_reads"] = {key: value}
        else:
            self._reads.setdefault(key, value)

    def _note_look(self, what: str) -> None:
        """Note that it looked at something besides the keys; a cached step depends on that too."""
        if what not in self._looked:
            self.__dict__["_looked"] = (*self._looked, what)

    def _peek(self, key: str) -> Any:
        """The value of `key` as it is kept, or a marker where there is none; notes nothing. For resources."""
        return self._state.values.get(key, ABSENT)

    def _fresh_view(self) -> FrozenContext:
        """Another view of the same cell, which has read nothing. For resources."""
        return CellContext(self._state)

    def _reads_so_far(self) -> dict[str, Any]:
        """What was read through this view, by key, as it was kept. For resources."""
        return dict(self._reads or {})

    def _private(self, key: str, value: Any) -> Any:
        if isinstance(value, ResourceFactory):
            return value(self)
        if self._copies is None:
            self.__dict__["_copies"] = {}
        copies: dict[str, Any] = self.__dict__["_copies"]
        if key not in copies:
            copies[key] = snapshot(value, f"context value {key!r}")
        return copies[key]

    # Writing ------------------------------------------------------------------------------------

    def add(self, key: str, value: Any) -> None:
        """Add a key. A key is written once.

        Raises:
            ContextMutationError: The key exists already.

        """
        _check_key(key)
        if key in self._visible():
            message = (
                f"the context has a key {key!r} already ({self._visible()[key]!r}) and a key is written once; "
                f"a treatment that means to change a baseline value says ctx.override({key!r}, ...) or "
                f"Treatment(..., override=True)"
            )
            raise ContextMutationError(message, step=self.step_name)
        stage = self._open_stage()
        target = stage.values if isinstance(stage, CellState) else stage.added
        target[key] = snapshot(value, f"context value {key!r}")

    def __setitem__(self, key: str, value: Any) -> None:
        self.add(key, value)

    def override(self, key: str, value: Any) -> None:
        """Change a value of the baseline on purpose; only a treatment may, before any step runs.

        Raises:
            ContextMutationError: This is not a treatment.

        """
        _check_key(key)
        state = self._state
        if not state.overridable:
            message = f"ctx.override({key!r}, ...) belongs in a treatment; a step adds new keys with ctx.add"
            raise ContextMutationError(message, step=self.step_name)
        if key in (REPLICATE_KEY, CONDITION_KEY):
            message = f"the context key {key!r} says which cell this is and cannot be overridden"
            raise ContextMutationError(message)
        state.values[key] = snapshot(value, f"context value {key!r}")

    def record(self, name: str, value: Any, tags: Mapping[str, Any] | None = None) -> None:
        """Record a metric; the same as `ctx.metrics.add`."""
        MetricLog(self).add(name, value, tags)

    def emit(self, name: str, /, **payload: Any) -> None:
        """Say that something happened; plugins get it through `on_event` once the step has succeeded."""
        values = self._state.values
        event = Event(name, payload, values.get(REPLICATE_KEY), values.get(CONDITION_KEY), self.step_name)
        self._open_stage().events.append(event)

    @property
    def metrics(self) -> MetricLog:
        """What was recorded so far in this cell, and `add` to record more."""
        return MetricLog(self)

    @property
    def artifacts(self) -> ArtifactLog:
        """The artifacts of this step (of the whole cell, outside a step), and `add` to write more."""
        staged = self._stage.artifacts if isinstance(self._stage, Stage) else ()
        return ArtifactLog(self._state.artifacts, staged, self.step_name, self._open_stage)

    # Around ---------------------------------------------------------------------------------------

    @property
    def run(self) -> Any:
        """The `RunInfo` of the run that this cell belongs to; None in a context made by hand."""
        self._note_look("run")
        return self._state.run

    @property
    def attempt(self) -> int:
        """The number of this attempt of the step, from 1."""
        self._note_look("attempt")
        return self._attempt

    def provide(self, name: str, factory: Callable[[FrozenContext], Any], *, tracked: bool = True) -> None:
        """Give the steps of this cell an attribute `ctx.<name>`; for plugins, in `before_replicate`.

        Args:
            name: The name of the attribute.
            factory: Called with the view of the step when it first reads the attribute, once per attempt,
                so that what it makes (a random stream, a logger) can depend on step and attempt.
            tracked: Whether the output of a cached step that reads it depends on this cell: yes for random
                streams, no for what cannot change an output, such as loggers.

        Raises:
            ContextMutationError: Another plugin provides that name, or the context has it anyway.

        """
        if name in self._state.services or hasattr(type(self), name):
            message = f"ctx.{name} is there already; two plugins cannot both provide it"
            raise ContextMutationError(message)
        self._state.services = {**self._state.services, name: factory}
        if not tracked:
            self._state.untracked |= {name}

    def __getattr__(self, name: str) -> Any:
        # Reached only for what is not there otherwise: the attributes that plugins provide.
        state = self.__dict__.get("_state")
        if state is None or name.startswith("_"):
            raise AttributeError(name)
        factory = state.services.get(name)
        if factory is not None:
            value = self.__dict__[name] = factory(self)
            return value
        if name == "logger":
            return state.logger or logging.getLogger("crystallize")
        raise AttributeError(_no_attribute(name, state))

    def __setattr__(self, name: str, value: Any) -> None:
        message = f"the context cannot be assigned to (ctx.{name} = ...); add a key with ctx.add({name!r}, value)"
        raise ContextMutationError(message, step=self.step_name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._visible())})"

    def _open_stage(self) -> Stage | CellState:
        if self._stage is None:
            self.__dict__["_stage"] = Stage()
        return self._stage  # type: ignore[return-value]  # set in the line above


class StepContext(FrozenContext, types.SimpleNamespace):
    """The view of one attempt of a step; what it writes is staged until the attempt has succeeded.

    One is made for every step of every cell, which makes its constructor the hottest of the project. That
    of `SimpleNamespace` fills the attributes in C, past the `__setattr__` that keeps everybody else out.
    """

    __init__ = types.SimpleNamespace.__init__
    __eq__ = object.__eq__
    __hash__ = object.__hash__  # type: ignore[assignment]  # a namespace has no hash, a view has


class CellContext(FrozenContext):
    """The view of a whole cell, before, between and after its steps; it writes through."""

    def __init__(self, state: CellState) -> None:
        fields = self.__dict__
        fields["_state"] = state
        fields["_stage"] = state


def forget_reads(ctx: FrozenContext) -> None:
    """Forget what was read through this view so far: what hooks read before a step is not the step's doing.

    Unless they wrote something for the step to read, which then stands for what they had read.
    """
    if ctx._stage is None:  # noqa: SLF001 - one room
        ctx.__dict__.pop("_reads", None)
        ctx.__dict__.pop("_looked", None)


def _check_key(key: object) -> None:
    if type(key) is not str or not key or key == ALL_KEYS:
        message = f"a context key must be a non-empty str, found {type(key).__qualname__} {key!r}"
        raise ContextError(message)


def _no_attribute(name: str, state: CellState) -> str:
    text = f"the context has no attribute {name!r} and no plugin of this run provides it"
    if name == "rng":
        return text + "; random streams come with seeding: pip install crystallize-seeding"
    if name in state.values:
        return text + f"; the value of that key is ctx[{name!r}]"
    return text


def standalone_context(initial: Mapping[str, Any] | None = None, *, logger: Any = None) -> FrozenContext:
    """A context for calling a step outside any experiment, as in a test."""
    return FrozenContext(initial, logger=logger)
