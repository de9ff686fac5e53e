"""Where the input of a replicate comes from."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from crystallize_core.errors import DefinitionError
from crystallize_core.pickling import by_reference
from crystallize_core.signature import REQUIRED, name_of, signature_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crystallize_core.context import FrozenContext

__all__ = ["DataSource", "DataSourceFactory", "ExperimentInput", "FunctionSource", "as_datasource", "data_source"]


class DataSource(ABC):
    """What yields the input of one replicate; subclass it and write `fetch`."""

    @abstractmethod
    def fetch(self, ctx: FrozenContext) -> Any:
        """The data of the replicate and condition that `ctx` names; may be a coroutine function.

        Two calls with the same context must give the same data.
        """

    @property
    def params(self) -> Mapping[str, Any]:
        """What this source was made with, for the run record."""
        return {}


class FunctionSource(DataSource):
    """A datasource made of a function of the context.

    Parameters of the function besides the context are filled from `params`, then from the context
    value of that name, then from their defaults.
    """

    def __init__(self, function: Callable[..., Any], params: Mapping[str, Any] | None = None) -> None:
        self.function = function
        self.factory: DataSourceFactory | None = None
        self.name = name_of(function)
        self._params = dict(params or {})
        self._signature = signature_of(function, takes_data=False)
        unknown = sorted(set(self._params) - set(self._signature.others))
        if unknown:
            message = f"datasource {self.name!r} has no parameter {', '.join(map(repr, unknown))}"
            raise DefinitionError(message)

    @property
    def params(self) -> Mapping[str, Any]:
        """The bound parameters."""
        return dict(self._params)

    @property
    def direct(self) -> Callable[[Any], Any]:
        """What to call for the data: the function itself, where its only parameter is the context."""
        signature = self._signature
        is_bare = signature.ctx is not None and not signature.others and signature.ctx not in signature.keyword_only
        return self.function if is_bare else self.fetch

    def fetch(self, ctx: FrozenContext) -> Any:
        """Call the function."""
        signature = self._signature
        values = {name: self._fill(name, default, ctx) for name, default in signature.others.items()}
        if signature.ctx is not None:
            values[signature.ctx] = ctx
        named = {name: values.pop(name) for name in signature.keyword_only}
        return self.function(*(values[name] for name in signature.order if name in values), **named)

    def _fill(self, name: str, default: Any, ctx: FrozenContext) -> Any:
        if name in self._params:
            return self._params[name]
        if name in ctx:
            return ctx[name]
        if default is REQUIRED:
            message = f"datasource {self.name!r}: nothing fills the parameter {name!r}; it is neither bound nor in the context"
            raise DefinitionError(message)
        return default

    def __reduce__(self) -> tuple[Any, ...]:
        # The name of a decorated function means the factory, so that the function cannot be sent by its name.
        make = self.factory or functools.partial(FunctionSource, self.function)
        return _made_again, (make, self._params)

    def __repr__(self) -> str:
        return f"data_source({self.name})"


def _made_again(make: Callable[..., FunctionSource], params: Mapping[str, Any]) -> FunctionSource:
    return make(**params) if isinstance(make, DataSourceFactory) else make(params)


class DataSourceFactory:
    """What `@data_source` makes of a function: call it, with parameters if it has any, to get a source."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, **params: Any) -> FunctionSource:
        """A datasource with these parameters bound."""
        source = FunctionSource(self.function, params)
        source.factory = self
        return source

    def __reduce__(self) -> str | tuple[Any, ...]:
        return by_reference(self) or (DataSourceFactory, (self.function,))


def data_source(function: Callable[..., Any]) -> DataSourceFactory:
    """Decorate a function of `ctx` so that calling it, with parameters, gives a datasource.

    Example:
        >>> @data_source
        ... def numbers(ctx, *, size=3):
        ...     return list(range(size))
        >>> numbers(size=2).fetch(None)
        [0, 1]

    """
    return DataSourceFactory(function)


class ExperimentInput(DataSource):
    """Several datasources under names: the data is a dictionary of what each gives.

    Raises:
        DefinitionError: No source was given, or one of them is none.

    """

    def __init__(self, **inputs: Any) -> None:
        if not inputs:
            message = "ExperimentInput needs at least one named datasource: ExperimentInput(train=..., test=...)"
            raise DefinitionError(message)
        self.inputs = {name: as_datasource(source) for name, source in inputs.items()}

    def fetch(self, ctx: FrozenContext) -> Any:
        """What each source gives, by its name; awaitable if one of the sources is."""
        found = {name: source.fetch(ctx) for name, source in self.inputs.items()}
        return _gathered(found) if any(inspect.isawaitable(value) for value in found.values()) else found

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters of each source."""
        return {name: dict(source.params) for name, source in self.inputs.items()}


async def _gathered(found: dict[str, Any]) -> dict[str, Any]:
    return {name: await value if inspect.isawaitable(value) else value for name, value in found.items()}


def as_datasource(source: Any) -> DataSource:
    """A datasource made of what a user may give: a source, a factory that was not called, a function.

    Raises:
        DefinitionError: It is none of these.

    """
    if isinstance(source, DataSource):
        return source
    if isinstance(source, DataSourceFactory):
        return source()
    if isinstance(source, type) and issubclass(source, DataSource):
        return source()
    if hasattr(source, "fetch") and callable(source.fetch):
        return FunctionSource(source.fetch)
    if callable(source):
        return FunctionSource(source)
    message = (
        f"a datasource is a function of ctx or an object with fetch(ctx), found {type(source).__qualname__} "
        f"{source!r}; for fixed data write datasource=lambda ctx: data"
    )
    raise DefinitionError(message)
