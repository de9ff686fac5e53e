"""Treatments: named changes of the context that are compared with the baseline."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from crystallize_core.context import BASELINE_CONDITION, CONDITION_KEY, REPLICATE_KEY
from crystallize_core.datasource import DataSource, as_datasource
from crystallize_core.errors import DefinitionError
from crystallize_core.pickling import by_reference
from crystallize_core.signature import is_async

if TYPE_CHECKING:
    from crystallize_core.context import FrozenContext

__all__ = ["Treatment", "TreatmentFactory", "check_condition_name", "treatment"]

LONGEST_NAME = 200


def check_condition_name(name: object, what: str = "treatment") -> str:
    """The name itself, if it can name a condition, which is a key in results and a folder in stores.

    Raises:
        DefinitionError: It is no str, empty, too long, `.` or `..`, or has a slash or control character.

    """
    problem = None
    if not isinstance(name, str):
        problem = f"must be a str, found {type(name).__qualname__}"
    elif not name.strip():
        problem = "is empty"
    elif name in {".", ".."} or any(char in "/\\" or ord(char) < 32 for char in name):  # noqa: PLR2004 - control characters
        problem = "is '.' or '..', or has a slash or a control character"
    elif len(name.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
        problem = f"is longer than {LONGEST_NAME} bytes"
    if problem:
        message = f"{what} name {name!r} {problem}; it names a folder and a column, use something like 'min-max'"
        raise DefinitionError(message)
    return str(name)


class Treatment:
    """A named change of the context.

    Args:
        name: The name of the condition. One named `baseline` configures the baseline itself.
        apply: The keys to add, or a function of the context that adds (or overrides) them.
        datasource: What this condition reads instead of the experiment's datasource.
        override: Whether a mapping may replace values of `initial_ctx`; the run record names such
            treatments. A function says `ctx.override(key, value)` instead.

    Raises:
        DefinitionError: The name cannot name a condition, or `apply` is neither a mapping nor callable.

    """

    def __init__(
        self,
        name: str,
        apply: Mapping[str, Any] | Callable[[FrozenContext], Any] | None = None,
        *,
        datasource: DataSource | Callable[..., Any] | None = None,
        override: bool = False,
    ) -> None:
        self.name = check_condition_name(name)
        self.factory: TreatmentFactory | None = None
        self.change = {} if apply is None else apply
        self.datasource = None if datasource is None else as_datasource(datasource)
        self.override = override
        if isinstance(self.change, Mapping):
            self._check_keys(self.change)
        elif is_async(self.change):
            message = (
                f"treatment {name!r} is `async def`; a treatment is a plain function, await things in the datasource"
            )
            raise DefinitionError(message)
        elif not callable(self.change):
            message = (
                f"treatment {name!r}: apply must be a mapping or a function of ctx, found {type(apply).__qualname__}"
            )
            raise DefinitionError(message)

    def _check_keys(self, change: Mapping[str, Any]) -> None:
        for key in change:
            if not isinstance(key, str) or not key:
                message = f"treatment {self.name!r}: context keys are non-empty str, found {key!r}"
                raise DefinitionError(message)
            if key in (REPLICATE_KEY, CONDITION_KEY):
                message = f"treatment {self.name!r}: the context key {key!r} is set for each cell and cannot be changed"
                raise DefinitionError(message)

    @property
    def apply_map(self) -> dict[str, Any]:
        """The keys that a mapping treatment adds; empty for a function."""
        return dict(self.change) if isinstance(self.change, Mapping) else {}

    def apply(self, ctx: FrozenContext) -> None:
        """Change the context of one cell.

        Raises:
            ContextMutationError: A key is there already and this treatment is no override.

        """
        if not isinstance(self.change, Mapping):
            self.change(ctx)
            return
        for key, value in self.change.items():
            if self.override:
                ctx.override(key, value)
            else:
                ctx.add(key, value)

    @property
    def is_baseline(self) -> bool:
        """Whether it configures the baseline instead of being compared with it."""
        return self.name == BASELINE_CONDITION

    def __getstate__(self) -> dict[str, Any]:
        # The name of a decorated function means the factory, so that the function cannot be sent by its name.
        return dict(self.__dict__) if self.factory is None else {**self.__dict__, "change": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.factory is not None:
            self.change = self.factory.function

    def __repr__(self) -> str:
        shown = self.apply_map if isinstance(self.change, Mapping) else getattr(self.change, "__name__", self.change)
        return f"Treatment({self.name!r}, {shown})"


class TreatmentFactory:
    """What `@treatment("name")` makes of a function: call it to get the treatment."""

    def __init__(self, name: str, function: Callable[[FrozenContext], Any]) -> None:
        functools.update_wrapper(self, function)
        self.name, self.function = check_condition_name(name), function

    def __call__(self) -> Treatment:
        """The treatment."""
        made = Treatment(self.name, self.function)
        made.factory = self
        return made

    def __reduce__(self) -> str | tuple[Any, ...]:
        return by_reference(self) or (TreatmentFactory, (self.name, self.function))


def treatment(name: str, apply: Mapping[str, Any] | None = None) -> Any:
    """Make a treatment: of a mapping at once, or as a decorator of a function of the context.

    Example:
        >>> @treatment("long")
        ... def long(ctx):
        ...     ctx.add("epochs", 100)
        >>> long().name
        'long'

    """
    if apply is not None:
        return Treatment(name, apply)

    return functools.partial(TreatmentFactory, name)
