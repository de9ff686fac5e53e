"""`@step`: steps that are wired by the names of what they take and make.

A `Step` stays a plain function to whoever calls it. What it says about itself (inputs, outputs, how it is
cached, what plugins are to do around it) is checked when it is decorated, all of it at once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, overload

from crystallize_core.errors import DefinitionError, did_you_mean, safe_str
from crystallize_core.pickling import by_reference
from crystallize_core.requirements import as_request
from crystallize_core.signature import Signature, is_async, name_of, signature_of
from crystallize_core.step import PipelineStep, StepFactory
from crystallize_core.step_options import carried_options, core_option_problems, left_out_version, merged_options

__all__ = ["CACHE_STRATEGIES", "CacheKey", "Step", "step"]

CacheKey = Callable[[Any, Mapping[str, Any], Mapping[str, Any]], str]
"""A cache strategy of the user's own: `key(step, inputs, context) -> str`."""
CACHE_STRATEGIES: Final = ("code_hash", "input_hash")


class Step(PipelineStep):
    """A function with what `step(...)` was told about it; calling it runs the plain function.

    Made by `step`, which checks what it is given.

    Attributes:
        inputs, outputs: The names of the assets that it takes and makes.
        cache: How its outputs are cached.
        version: Text that stands for its code.
        retry, timeout, resources, execution_group, tags, condition: As they were given.
        options: The step options that were given, with those that its function carries.

    """

    is_named = True

    def __init__(
        self, function: Callable[..., Any], settings: Mapping[str, Any], params: Mapping[str, Any] | None = None
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self._function = function
        self._settings = dict(settings)
        self._params = dict(params or {})
        self._name = str(settings.get("name") or name_of(function))
        self.inputs: Sequence[str] = list(settings["inputs"] or ())
        self.outputs: Sequence[str] = list(settings["outputs"] or ())
        self.cache: Any = settings["cache"]
        self.version = settings["version"]
        self.retry: Any = settings["retry"]
        self.timeout: Any = settings["timeout"]
        self.resources: Any = settings["resources"]
        self.execution_group = settings["execution_group"]
        self.tags = dict(settings["tags"] or {})
        self.condition: Callable[..., Any] | None = settings["condition"]
        self._signature = signature_of(function, by_name=True)
        asked = {name: settings[name] for name in ("timeout", "resources", "condition")} | {"retry": self.retry or None}
        given = {**settings["options"], **{name: value for name, value in asked.items() if value is not None}}
        self._options = merged_options(self._name, given, carried_options(function, self._name))

    @property
    def name(self) -> str:
        """Its name in a pipeline; default the name of the function."""
        return self._name

    @property
    def params(self) -> Mapping[str, Any]:
        """The bound parameters."""
        return dict(self._params)

    @property
    def function(self) -> Callable[..., Any]:
        """The plain function."""
        return self._function

    @property
    def signature(self) -> Signature:
        """The parameters of the function."""
        return self._signature

    @property
    def is_async(self) -> bool:
        """Whether the function is `async def`."""
        return is_async(self._function)

    @property
    def cacheable(self) -> bool:  # type: ignore[override]  # fixed by the decorator
        """Whether outputs may be stored and reused."""
        return self.cache is not False

    @property
    def cache_strategy(self) -> Any:
        """What an entry of the cache stands under."""
        return "code_hash" if self.cache is False else self.cache

    @property
    def options(self) -> Mapping[str, Any]:  # type: ignore[override]  # fixed by the decorator
        """The step options that plugins claim."""
        return self._options

    def bound(self, params: Mapping[str, Any]) -> Step:
        """The same step with these parameters bound.

        Raises:
            DefinitionError: A parameter does not exist.

        """
        for name in params:
            if name not in self._signature.order and not self._signature.takes_extra:
                hint = did_you_mean(name, self._signature.order, listing="it takes")
                message = f"step {self.name!r} has no parameter {name!r}; {hint}"
                raise DefinitionError(message)
        return Step(self._function, self._settings, {**self._params, **params})

    def decorated(self, decorator: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Step:
        """What this would be, had `decorator` been written below `@step` instead of above it."""
        return Step(decorator(self._function), self._settings, self._params)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the plain function."""
        return self._function(*args, **{**self._params, **kwargs})

    def __reduce__(self) -> str | tuple[Any, ...]:
        return (None if self._params else by_reference(self)) or (Step, (self._function, self._settings, self._params))

    def __copy__(self) -> Step:
        return self

    def __deepcopy__(self, memo: Any) -> Step:
        return self

    def __repr__(self) -> str:
        arrow = f" -> {', '.join(self.outputs)}" if self.outputs else ""
        return f"<step {self.name}({', '.join(self._signature.order)}){arrow}>"


@overload
def step(
    function: Callable[..., Any], /, *, inputs: Iterable[str] | None = ...,
    outputs: Iterable[str] | None = ..., cache: Literal["code_hash", "input_hash", False] | CacheKey = ...,
    version: str | None = ..., retry: Any = ..., timeout: Any = ..., resources: Any = ..., execution_group: str | None = ...,
    tags: Mapping[str, Any] | None = ..., name: str | None = ..., condition: Callable[..., Any] | None = ...,
    **options: Any,
) -> Step: ...  # fmt: skip
@overload
def step(
    function: None = None, /, *, inputs: Iterable[str] | None = ...,
    outputs: Iterable[str] | None = ..., cache: Literal["code_hash", "input_hash", False] | CacheKey = ...,
    version: str | None = ..., retry: Any = ..., timeout: Any = ..., resources: Any = ..., execution_group: str | None = ...,
    tags: Mapping[str, Any] | None = ..., name: str | None = ..., condition: Callable[..., Any] | None = ...,
    **options: Any,
) -> Callable[[Callable[..., Any]], Step]: ...  # fmt: skip


def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    cache: Literal["code_hash", "input_hash", False] | CacheKey = "code_hash",
    version: str | None = None,
    retry: Any = 0,
    timeout: Any = None,
    resources: Any = None,
    execution_group: str | None = None,
    tags: Mapping[str, Any] | None = None,
    name: str | None = None,
    condition: Callable[..., Any] | None = None,
    **options: Any,
) -> Step | Callable[[Callable[..., Any]], Step]:
    """Make a step of a function; its parameters are filled by their names.

    Each parameter gets, in this order: the declared input of its name, the output of another step or the
    input of the run of that name, the context value of that name, its default. A parameter called `ctx` gets
    the view of the run (`ctx.record`, `ctx.rng`), one called `context` the parameters as an object.

    Args:
        function: The function, where the decorator is used without parentheses.
        inputs: The assets that it needs. One that is no parameter, such as `"data/train"`, fills the next
            parameter that has no other source.
        outputs: The assets that it makes: none stores what it returns under the name of the step, one stores it
            whole, several take a sequence of exactly so many, or a mapping with these keys.
        cache: `"code_hash"`: used again while its code and what it is given are the same; `"input_hash"`: while
            what it is given is the same, whatever its code; False: always run; or a function
            `key(step, inputs, context)` that returns the text under which its output is kept.
        version: Text that stands for its code where `cache="code_hash"`: it is used again until this is another
            text, whatever is edited. Without it the code is compared, with everything that it reaches.
        retry: Further attempts after a failed one, or what `retry(...)` makes.
        timeout: Seconds that an attempt may take.
        resources: What it needs: `{"cpu": 2, "memory": "16Gi", "gpu": 1}`.
        execution_group: Steps of one group run one after the other in one worker where that is possible.
        tags: Free labels for records.
        name: Its name; default that of the function.
        condition: Asked before it runs, with parameters filled by name; it is skipped while that is false.
        **options: Further step options that plugins claim; `skip_if=` is a `condition=` turned round.

    Raises:
        DefinitionError: Something was given that cannot be; all of it is listed.

    """
    settings = {
        "inputs": _listed(inputs), "outputs": _listed(outputs), "cache": cache, "version": version, "retry": retry, "timeout": timeout,
        "resources": resources, "execution_group": execution_group, "tags": tags, "name": name,
        "condition": condition, "options": options,
    }  # fmt: skip

    def decorate(function: Callable[..., Any]) -> Step:
        return _made(function, settings)

    return decorate if function is None else decorate(function)


def _made(function: Any, settings: Mapping[str, Any]) -> Step:
    name = settings["name"]
    innermost = function.func if isinstance(function, functools.partial) else function
    is_step = isinstance(innermost, (PipelineStep, StepFactory))
    if is_step or not callable(function) or isinstance(function, type):
        message = f"@step makes a step of a function, found {function!r}"
        raise DefinitionError(message)
    if name is None and not hasattr(function, "__name__"):
        message = f"step(...) of {function!r} needs a name: step(name=...)"
        raise DefinitionError(message)
    problems = list(_problems(settings))
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        shown = name if isinstance(name, str) and name else name_of(function)
        message = f"step {shown!r} cannot be made:{listed}"
        raise DefinitionError(message)
    if isinstance(function, functools.partial) and function.keywords:
        # They are bound parameters; left inside, they would look like defaults, which the context beats.
        positional = functools.partial(function.func, *function.args) if function.args else function.func
        return Step(positional, settings).bound(function.keywords)
    return Step(function, settings)


def _listed(value: Any) -> Any:
    """Names as a tuple, so that a generator is read once; what is no list of names stays for the check."""
    is_list = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))
    return tuple(value) if is_list else value


def _problems(settings: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong with the settings of a step, one sentence each."""
    for what in ("inputs", "outputs"):
        yield from _name_problems(what, settings[what])
    yield from _cache_problems(settings["cache"])
    if isinstance(settings["version"], str) and (problem := left_out_version(settings["version"], settings["cache"])):
        yield problem
    retry, timeout = settings["retry"], settings["timeout"]
    if isinstance(retry, bool) or (isinstance(retry, (int, float)) and not (type(retry) is int and retry >= 0)):
        yield f"retry must be an int of at least 0, the further attempts after the first; found {retry!r}"
    elif retry is None or isinstance(retry, str):
        yield f"retry must be an int of at least 0, or what retry(...) makes; found {retry!r}"
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float))):
        yield f"timeout must be a number of seconds; found {timeout!r}"
    elif timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
        yield f"timeout must be a number of seconds above 0, found {timeout!r}; leave it out for no limit"
    if settings["resources"] is not None:
        yield from _resource_problems(settings["resources"])
    name = settings["name"]
    if name is not None and (not isinstance(name, str) or not name):
        yield f"name must be a non-empty str, found {name!r}"
    yield from core_option_problems({**settings, **settings["options"]})


def _name_problems(what: str, value: Any) -> Iterable[str]:
    if value is None:
        return
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        hint = f"; write {what}=[{value!r}]" if isinstance(value, str) else ""
        yield f"{what} must be a list of names, found {type(value).__qualname__} {value!r}{hint}"
        return
    names = list(value)
    wrong = [name for name in names if not isinstance(name, str) or not name]
    if wrong:
        yield f"{what} must be non-empty text, found {', '.join(map(repr, wrong))}"
    repeated = sorted({name for name in names if isinstance(name, str) and names.count(name) > 1})
    if repeated:
        yield f"{what} has {', '.join(map(repr, repeated))} more than once"


def _cache_problems(value: Any) -> Iterable[str]:
    if value is False or callable(value) or (isinstance(value, str) and value in CACHE_STRATEGIES):
        return
    listed = ", ".join(map(repr, CACHE_STRATEGIES))
    hint = did_you_mean(value, CACHE_STRATEGIES) if isinstance(value, str) else ""
    hint = f"; {hint}" if "did you mean" in hint else ""
    yield f"cache must be {listed}, False, or a function key(step, inputs, context) -> str; found {value!r}{hint}"


def _resource_problems(value: Any) -> Iterable[str]:
    try:
        as_request(value)
    except DefinitionError as error:
        yield error.message.replace("\n", "\n  ")
    except Exception as error:  # noqa: BLE001 - a foreign mapping may raise anything
        yield f"resources cannot be read: {safe_str(error)}"
