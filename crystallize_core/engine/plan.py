"""The plan: what is decided once per stack and pipeline, so that nothing has to be decided per step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from crystallize_core.additions import keys_added_by
from crystallize_core.asset import Asset
from crystallize_core.cache import Caching
from crystallize_core.engine.attempt import Attempts, failure_reporter
from crystallize_core.engine.hooks import HookCalls
from crystallize_core.errors import PluginError, StepOptionError, describe, did_you_mean, safe_str
from crystallize_core.stack.options import check_value
from crystallize_core.state import ALL_KEYS
from crystallize_core.step import PipelineStep
from crystallize_core.step_options import CORE_OPTIONS
from crystallize_core.wiring import Sources, WiredStep, wire

if TYPE_CHECKING:
    from crystallize_core.cache import StepCache  # noqa: TC004 - nobody asks for the types of a plan
    from crystallize_core.wiring.type_checks import ReturnCheck  # noqa: TC004 - as above

__all__ = ["Plan", "PlannedStep", "compile_plan"]

PROVIDERS = {
    "retry": "crystallize-retries",
    "timeout": "crystallize-retries",
    "fallback": "crystallize-retries",
    "fallback_on": "crystallize-retries",
    "on_failure": "crystallize-retries",
    "circuit_breaker": "crystallize-retries",
    "resources": "crystallize-executors",
}
"""Where the step options of the official plugins come from, for the message of those who lack them."""

ONLY_NAMED = ("cache", "inputs", "name", "outputs")
"""What is no step option but an argument of `step`, for the same message."""


@attrs.frozen
class PlannedStep:
    """A step with everything that was decided about it.

    Attributes:
        wired: The step and how its parameters are filled.
        step, name, invoke: The parts of `wired` that the inner loop reads.
        policy: The composed policies around its attempts; None where no policy wants it.
        report: Tells `step_failed` of a failed attempt.
        cache: Where its outputs are kept; None where it is not cacheable.
        promised: The types of asset that it is annotated to return, by output, where somebody stores assets.
        check: Compares what it returned with its annotation; None where nobody asked for that.

    """

    wired: WiredStep
    step: PipelineStep
    name: str
    invoke: Callable[[Any, Any], Any]
    policy: Callable[[Any, Any], Any] | None
    report: Callable[[Any, BaseException], None]
    cache: StepCache | None
    promised: Mapping[str, type[Asset]] = attrs.field(factory=dict)
    check: ReturnCheck | None = None

    @property
    def call(self) -> Callable[[Any, Any], Any] | None:
        """What an inner loop calls: the step or the policies around it; None where more than that has to happen."""
        has_more = self.promised or self.wired.guards or self.wired.split is not None or self.cache is not None
        has_more = has_more or self.check is not None
        return None if has_more else self.policy or self.invoke


@attrs.frozen(eq=False)
class Plan:
    """The steps in the order in which they run, with the hooks that are called around them."""

    steps: tuple[PlannedStep, ...]
    hooks: HookCalls
    experiment: Any
    is_chain: bool = True
    rows: tuple[tuple[PlannedStep, str, Any, Any], ...] = attrs.field(init=False, repr=False)
    """What the inner loops need of each step, as a tuple: unpacking it is cheaper than four attributes."""

    def __attrs_post_init__(self) -> None:
        rows = tuple((planned, planned.name, planned.call, planned.policy) for planned in self.steps)
        object.__setattr__(self, "rows", rows)


def compile_plan(
    steps: Sequence[PipelineStep],
    hooks: HookCalls,
    experiment: Any = None,
    *,
    sources: Sources | None = None,
    caching: Caching | None = None,
    where: str = "pipeline",
    check_types: bool = False,
) -> Plan:
    """Decide everything that can be decided before the first replicate.

    Args:
        steps: The steps in the order in which they were added.
        hooks: The hooks of the stack.
        experiment: What hooks get.
        sources: Where parameters may be filled from besides the steps.
        caching: Where outputs are looked for and kept.
        where: Words for the message.
        check_types: Whether to compare what steps take and return with their annotations while they run.

    Raises:
        WiringError: Parameters that nothing fills, or steps that cannot be put in order.
        StepOptionError: Options that no plugin claims, or of the wrong type.

    """
    wiring = wire(steps, _with_added(sources or Sources(), hooks), where=where, check_types=check_types)
    _check_options(wiring.steps, hooks, where)
    caching = _with_store(caching or Caching(), wiring.steps, hooks, experiment)
    planned = tuple(
        _planned(step, hooks, experiment, caching, _return_check(step) if check_types else None)
        for step in wiring.steps
    )
    return Plan(planned, hooks, experiment, wiring.is_chain)


def _with_store(caching: Caching, steps: Sequence[WiredStep], hooks: HookCalls, experiment: Any) -> Caching:
    """Where outputs are looked for and kept, once the project and its plugins have been asked too."""
    if caching.store is None or not any(wired.step.cacheable for wired in steps):
        return caching
    if hooks.is_disabled("cache"):
        return attrs.evolve(caching, store=None)
    found = None if caching.is_chosen else hooks.first("cache_store", experiment)
    if found is None:
        return caching
    from crystallize_core.cache import ForeignStore  # noqa: PLC0415 - few stacks have a store of their own

    return attrs.evolve(caching, store=ForeignStore(found[1], found[0].name))


def _return_check(wired: WiredStep) -> ReturnCheck | None:
    from crystallize_core.wiring.type_checks import return_check  # noqa: PLC0415 - most runs check no types

    return return_check(wired.step, wired.name)


def _promised(wired: WiredStep) -> Mapping[str, type[Asset]]:
    from crystallize_core.wiring.types import promised_types  # noqa: PLC0415 - where nobody stores assets, nobody asks

    return promised_types(wired.step, wired.name)


def _with_added(sources: Sources, hooks: HookCalls) -> Sources:
    """The sources with the context keys that plugins may add just before a step."""
    added = [keys_added_by(function) for function in hooks.functions("before_step")]
    if not added:
        return sources
    more = frozenset[str]().union(*(frozenset({ALL_KEYS}) if keys is None else keys for keys in added))
    return attrs.evolve(sources, conditions={name: keys | more for name, keys in sources.conditions.items()})


def _planned(
    wired: WiredStep, hooks: HookCalls, experiment: Any, caching: Caching, check: ReturnCheck | None
) -> PlannedStep:
    step = wired.step
    return PlannedStep(
        wired=wired,
        step=step,
        name=wired.name,
        invoke=wired.invoke,
        policy=_composed(wired, hooks, experiment),
        report=failure_reporter(wired, hooks, experiment),
        cache=caching.of_step(
            wired, _dependencies(step, hooks, experiment), hooks.implementers("store_asset"), hooks.watchers
        ),
        promised=_promised(wired) if hooks.has("store_asset") else {},
        check=check,
    )


def _dependencies(
    step: PipelineStep, hooks: HookCalls, experiment: Any
) -> Callable[[Any], list[tuple[str, Any]]] | None:
    """What asks plugins on what else the output of a cacheable step depends; None where none has an answer."""

    def ask(ctx: Any) -> list[tuple[str, Any]]:
        return [(plugin.name, found) for plugin, found in hooks.collect("cache_dependencies", experiment, step, ctx)]

    return ask if hooks.has("cache_dependencies") else None


def _composed(wired: WiredStep, hooks: HookCalls, experiment: Any) -> Callable[[Any, Any], Any] | None:
    """The policies of all plugins around one attempt; the first plugin of the stack is the outermost."""
    attempts = Attempts(wired, hooks, experiment)
    attempt = call = attempts.call
    is_single = True
    # The innermost is asked first, because each gets what it is to be put around.
    for wrapper in reversed(list(hooks.wrappers())):
        found = wrapper(experiment, wired.step, call)
        if found is None:
            continue
        call = found
        if getattr(found, "single_attempt", False) is not True:
            is_single = False
    if not is_single:
        attempts.copy_input()
    return None if call is attempt else call


def _check_options(wired: Sequence[WiredStep], hooks: HookCalls, where: str) -> None:
    claims: dict[str, tuple[str, Any]] = {}
    for plugin, options in hooks.collect("step_options"):
        for name, expected in dict(options or {}).items():
            if name in claims:
                message = f"step option {name!r} is claimed by {claims[name][0]!r} and by {plugin.name!r}; disable one of them"
                raise PluginError(message, plugin=plugin.name, hook="step_options")
            claims[name] = plugin.name, expected
    problems = [
        problem
        for step in wired
        for name, value in dict(step.step.options).items()
        if name not in CORE_OPTIONS
        for problem in _option_problem(step.name, name, value, claims)
    ]
    if problems:
        raise StepOptionError(f"{where}:" + "".join(f"\n  {problem}" for problem in problems))


def _provider_hint(distribution: str) -> str:
    """How to get the plugin of a distribution into the stack."""
    from crystallize_core.stack.discovery import PLUGINS, installed  # noqa: PLC0415 - only for a message

    if any(found.distribution == distribution for found in installed(PLUGINS)):
        return f"{distribution} is installed, but not active here; `crystallize plugins list` says why"
    return f"pip install {distribution}"


def _option_problem(step: str, name: str, value: Any, claims: Mapping[str, tuple[str, Any]]) -> list[str]:
    if name not in claims:
        hint = did_you_mean(name, [*claims, *PROVIDERS, *CORE_OPTIONS, *ONLY_NAMED])
        if name in PROVIDERS:
            hint = _provider_hint(PROVIDERS[name])
        elif name in ONLY_NAMED:
            hint = "it goes with @step, whose steps take and make assets by name"
        elif "did you mean" not in hint:
            hint = did_you_mean("", claims, listing="its step options are") if claims else "it has no step options."
        return [f"step {step!r} asks for {name}={value!r}, but nothing in the stack provides {name!r}: {hint}"]
    plugin, expected = claims[name]
    if callable(expected) and not isinstance(expected, type) and not hasattr(expected, "__origin__"):
        try:
            expected(value)
        except Exception as error:  # noqa: BLE001 - a check of a stranger may refuse in any way
            text = (isinstance(error, (ValueError, TypeError)) and safe_str(error)) or describe(error)
            return [f"step {step!r}: option {name!r} of plugin {plugin!r}: {text}, found {value!r}"]
        return []
    return [f"step {step!r}: option {problem}" for problem in check_value(value, expected, where=name)]
