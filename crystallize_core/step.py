"""Steps: the units of work, and the ways to make one.

A pipeline takes a decorated function that was or was not called, a `functools.partial` of it, a plain
function, a `PipelineStep` object or such a class: `as_step` makes one thing of all of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from crystallize_core import fingerprint
from crystallize_core.errors import DefinitionError, did_you_mean
from crystallize_core.pickling import by_reference
from crystallize_core.signature import Signature, is_async, name_of, signature_of
from crystallize_core.skipping import Guard, guards_of
from crystallize_core.step_options import (
    carried_options,
    merged_options,
    refuse_core_options,
    refuse_version,
)

if TYPE_CHECKING:
    from crystallize_core.context import FrozenContext

__all__ = [
    "FunctionStep",
    "PipelineStep",
    "StepFactory",
    "as_step",
    "pipeline_step",
]


class _Option:
    """An attribute of a step that is one of its options, unless a class or an object sets it."""

    def __init__(self, name: str, default: Any) -> None:
        self._name, self._default = name, default

    def __get__(self, step: Any, owner: Any) -> Any:
        found = (owner if step is None else step).options
        found = found.get(self._name) if isinstance(found, Mapping) else None
        return self._default if found is None else found


class PipelineStep:
    """A step that is a class: made once, its state is shared by all replicates of a worker.

    Subclass it and write `__call__(self, data, ctx)`; `ctx` may be left out, further parameters are
    filled like those of a function, and it may be `async def`.

    Attributes:
        cacheable: Whether outputs may be stored and reused.
        cache_strategy: What an entry of the cache stands under: `code_hash`, `input_hash` or a function.
        version: Text that stands for its code; None compares the code itself and all that it reaches.
        options: Step options, such as `{"retry": 3}`; plugins claim them, but for those of the core.
        inputs, outputs: The names of the assets that it takes and makes; only steps made by `@step` have some.
        is_named: Whether its parameters are filled by their names only, as those of `@step` are.
        execution_group: Steps of one group run one after the other in one worker where that is possible.
        tags: Free labels for records.

    """

    cacheable: bool = False
    cache_strategy: Any = "code_hash"
    version: str | None = _Option("version", None)  # type: ignore[assignment]  # reads the options
    options: Mapping[str, Any] = {}
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()
    is_named: bool = False
    execution_group: str | None = _Option("execution_group", None)  # type: ignore[assignment]  # the same
    tags: Mapping[str, Any] = _Option("tags", {})  # type: ignore[assignment]  # the same

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not hasattr(type(cls.version), "__get__"):  # a property is asked when the step is compared
            refuse_version(cls.version, cls.cache_strategy, cls.__name__)
        if isinstance(cls.options, Mapping) and (carried := carried_options(cls.__call__, cls.__name__)):
            cls.options = merged_options(cls.__name__, cls.options, carried)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Turn the data into the output of the step."""
        message = f"step {type(self).__qualname__} has no __call__(self, data, ctx)"
        raise DefinitionError(message)

    def setup(self, ctx: FrozenContext) -> None:
        """Called once per run in each worker, before its first replicate."""

    def teardown(self, ctx: FrozenContext) -> None:
        """Called once per run in each worker, after its last replicate."""

    @property
    def name(self) -> str:
        """The name in messages, records and folders; default the name of the class."""
        return type(self).__name__

    @property
    def params(self) -> Mapping[str, Any]:
        """What this step was made with, for records and for the cache."""
        return {}

    @property
    def is_async(self) -> bool:
        """Whether calling it gives something to await."""
        return is_async(self)

    @property
    def signature(self) -> Signature:
        """The parameters of its call."""
        return signature_of(self)

    @property
    def function(self) -> Callable[..., Any]:
        """What the engine calls."""
        return self

    @property
    def guards(self) -> tuple[Guard, ...]:
        """What must hold for it to run: `condition`, `skip_if`, and those that its function carries."""
        options = self.options
        own = [
            Guard(options[name], wanted=wanted, by_position=False)
            for name, wanted in (("condition", True), ("skip_if", False))
            if options.get(name) is not None
        ]
        return (*own, *guards_of(self.function))

    @property
    def step_hash(self) -> str:
        """A digest of code, or the version that stands for it, and parameters."""
        if self.version is None:
            code = ("step", self.name, fingerprint.code_digest(self.function))
        else:
            refuse_version(self.version, self.cache_strategy, self.name)
            code = ("step of a version", self.name, self.version)
        return fingerprint.content_digest((*code, dict(self.params)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in self.params.items())
        return f"{self.name}({shown})"


class FunctionStep(PipelineStep):
    """A step made of a function, with some of its parameters bound."""

    def __init__(self, factory: StepFactory, params: Mapping[str, Any]) -> None:
        self._factory = factory
        self._params = dict(params)
        signature = factory.signature
        for name in self._params:
            if name not in signature.others or name == signature.data:
                message = f"step {factory.name!r} has no parameter {name!r}; {did_you_mean(name, signature.others)}"
                raise DefinitionError(message)

    @property
    def name(self) -> str:
        """The name of the function."""
        return self._factory.name

    @property
    def params(self) -> Mapping[str, Any]:
        """The bound parameters."""
        return dict(self._params)

    @property
    def function(self) -> Callable[..., Any]:
        """The plain function."""
        return self._factory.function

    @property
    def signature(self) -> Signature:
        """The parameters of the function."""
        return self._factory.signature

    @property
    def is_async(self) -> bool:
        """Whether the function is `async def`."""
        return is_async(self._factory.function)

    @property
    def cacheable(self) -> bool:  # type: ignore[override]  # fixed by the decorator
        """Whether outputs may be stored and reused."""
        return self._factory.cacheable

    @property
    def options(self) -> Mapping[str, Any]:  # type: ignore[override]  # fixed by the decorator
        """The step options given to the decorator."""
        return self._factory.options

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]  # shows what the function does
        return self._factory.function.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the plain function with the bound parameters."""
        return self.function(*args, **{**self._params, **kwargs})

    def __reduce__(self) -> tuple[Any, ...]:
        return FunctionStep, (self._factory, self._params)


class StepFactory:
    """What `@pipeline_step()` makes of a function: call it, with parameters if it has any, to get a step."""

    def __init__(self, function: Callable[..., Any], *, cacheable: bool, options: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.name = name_of(function)
        self.cacheable = cacheable
        self._given = dict(options)  # without those of the function, which come back with it
        self.options = merged_options(self.name, self._given, carried_options(function, self.name))
        refuse_core_options(self.name, self.options)
        self.signature = signature_of(function)
        if self.signature.data is None:
            message = (
                f"step {self.name!r} takes no data: its first parameter must be the data, as in "
                f"def {self.name}(data, ctx)"
            )
            raise DefinitionError(message)

    def __call__(self, *args: Any, **params: Any) -> FunctionStep:
        """A step with these parameters bound.

        Raises:
            DefinitionError: A parameter does not exist, or data was passed: `f()` makes a step, and
                `f.function(data, ctx)` runs the plain function.

        """
        if args:
            message = (
                f"{self.name}(...) makes a step and takes parameters by name; to run the function itself "
                f"call {self.name}.function(data, ...) or {self.name}()(data, ...)"
            )
            raise DefinitionError(message)
        return FunctionStep(self, params)

    def decorated(self, decorator: Callable[[Callable[..., Any]], Callable[..., Any]]) -> StepFactory:
        """What this would be, had `decorator` been written below `@pipeline_step()` instead of above it."""
        return StepFactory(decorator(self.function), cacheable=self.cacheable, options=self._given)

    def __reduce__(self) -> str | tuple[Any, ...]:
        return by_reference(self) or (_remade, (self.function, self.cacheable, self._given))

    def __repr__(self) -> str:
        return f"pipeline_step({self.name})"


def _remade(function: Callable[..., Any], cacheable: bool, options: Mapping[str, Any]) -> StepFactory:  # noqa: FBT001 - called by pickle
    return StepFactory(function, cacheable=cacheable, options=options)


def pipeline_step(
    cacheable: bool = False,  # noqa: FBT001, FBT002 - the documented signature
    *,
    version: str | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], StepFactory]:
    """Decorate a function so that calling it, with parameters, gives a step.

    The first parameter gets the data; `ctx`, if there is one, gets the context; every other parameter is
    filled from what was bound, then from the context value of its name, then from its default. The
    function returns its output, or `(output, {"metric": value})`. It may be `async def`.

    Args:
        cacheable: Whether outputs may be stored and reused while nothing they depend on has changed.
        version: Text that stands for the code of the step: outputs are reused until it is another one, whatever is
            edited. Without it the code is compared, with everything that it reaches.
        **options: Step options that plugins claim, such as `retry=3` or `timeout=30`.

    Raises:
        DefinitionError: The function takes no data, `cacheable` is no bool, or `version` no text.

    """
    if not isinstance(cacheable, bool):
        message = (
            "use the decorator with parentheses: @pipeline_step()"
            if callable(cacheable)
            else f"pipeline_step(cacheable=...) must be a bool, found {cacheable!r}"
        )
        raise DefinitionError(message)
    if version is not None:
        options["version"] = version

    def decorate(function: Callable[..., Any]) -> StepFactory:
        return StepFactory(function, cacheable=cacheable, options=options)

    return decorate


class _CallableStep(PipelineStep):
    """A foreign object with `__call__(data, ctx)`, used as a step as it is."""

    _none: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, target: Callable[..., Any]) -> None:
        self._target = target

    @property
    def name(self) -> str:
        return str(getattr(self._target, "name", None) or name_of(self._target))

    @property
    def params(self) -> Mapping[str, Any]:
        return dict(getattr(self._target, "params", self._none))

    @property
    def function(self) -> Callable[..., Any]:
        return self._target

    @property
    def options(self) -> Mapping[str, Any]:  # type: ignore[override]  # what its __call__ carries
        return carried_options(type(self._target).__call__, self.name)

    @property
    def signature(self) -> Signature:
        return signature_of(self._target)

    @property
    def is_async(self) -> bool:
        return is_async(self._target)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._target(*args, **kwargs)


def as_step(item: Any, where: str = "pipeline") -> PipelineStep:
    """A step made of whatever a user may put into a pipeline.

    Args:
        item: A step, a factory that was not called, a partial of one, a class, a function.
        where: Words for the message, such as "pipeline 'etl', step 2".

    Raises:
        DefinitionError: It is none of these, or it takes no data.

    """
    step = _made(item, where)
    refuse_core_options(step.name, step.options)
    if step.signature.data is None and not step.is_named:
        message = (
            f"step {step.name!r} takes no data: its first parameter must be the data, as in "
            f"def __call__(self, data, ctx)"
        )
        raise DefinitionError(message)
    return step


def _made(item: Any, where: str) -> PipelineStep:
    if isinstance(item, PipelineStep):
        return item
    if isinstance(item, StepFactory):
        return item()
    if isinstance(item, functools.partial) and isinstance(item.func, StepFactory):
        return item.func(*item.args, **item.keywords)
    if isinstance(item, functools.partial) and isinstance(item.func, PipelineStep) and hasattr(item.func, "bound"):
        if item.args:
            message = f"{where}: the parameters of step {item.func.name!r} are bound by name, found {item.args!r}"
            raise DefinitionError(message)
        bound: PipelineStep = item.func.bound(item.keywords)
        return bound
    if isinstance(item, functools.partial) and isinstance(item.func, type) and issubclass(item.func, PipelineStep):
        return _instance(item, item.func, where)
    if isinstance(item, type) and issubclass(item, PipelineStep):
        return _instance(item, item, where)
    if isinstance(item, functools.partial):
        # Its keywords are bound parameters; left inside, they would look like defaults, which the context beats.
        target = functools.partial(item.func, *item.args) if item.args else item.func
        return StepFactory(target, cacheable=False, options={})(**item.keywords)
    if callable(item) and not isinstance(item, type):
        if not hasattr(item, "__name__"):
            return _CallableStep(item)
        return StepFactory(item, cacheable=False, options={})()
    message = (
        f"{where} is {type(item).__qualname__} {item!r}; a step is a function of data, a @pipeline_step "
        f"factory, a functools.partial of one, or a PipelineStep"
    )
    raise DefinitionError(message)


def _instance(make: Callable[[], PipelineStep], kind: type[PipelineStep], where: str) -> PipelineStep:
    try:
        return make()
    except TypeError as error:
        how = "with these arguments" if make is not kind else "without arguments"
        message = f"{where} is the class {kind.__qualname__}, which cannot be made {how} ({error})"
        raise DefinitionError(message) from error
