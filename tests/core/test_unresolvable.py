"""Parameters that nothing fills are reported before anything runs, and never where something may fill them."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from crystallize_core import (
    BasePlugin,
    Experiment,
    ExperimentInput,
    FrozenContext,
    Pipeline,
    PipelineStep,
    StepError,
    Treatment,
    WiringError,
    data_source,
    hookimpl,
)
from crystallize_core.additions import keys_added_by

KEY = "made_key"
NUMBER = 5


def needs(data, made_key):
    """A step that takes the value of the key that the tests add in all ways."""
    return made_key


def experiment(*steps: Any, **more: Any) -> Experiment:
    return Experiment(more.pop("datasource", lambda ctx: 0), list(steps), autoload=False, **more)


# What is reported ---------------------------------------------------------------------------------


def test_all_parameters_of_all_steps_are_listed_with_suggestions():
    """One error names every step and parameter, says what was there and what may have been meant."""
    ran = []

    def first(data, factr):
        ran.append("first")

    def second(data, ctx, size, *, unknown):
        ran.append("second")

    with pytest.raises(WiringError) as caught:
        experiment(first, second, initial_ctx={"factor": 2, "size": 1}, name="sums").run()
    assert str(caught.value) == (
        "experiment 'sums': 2 parameter(s) that nothing fills\n"
        "  step 'first': parameter 'factr' is neither bound nor in the context; did you mean 'factor'? "
        "(it also takes: data)\n"
        "  step 'second': parameter 'unknown' is neither bound nor in the context; "
        "the context has: 'factor', 'size'. (it also takes: data, ctx, size)"
    )
    assert ran == []


def test_nothing_runs_before_the_error():
    """Neither hooks of the run nor the datasource are called before the parameters were checked."""
    called = []

    class Watch(BasePlugin):
        def before_run(self, experiment, run):
            called.append("before_run")

    with pytest.raises(WiringError):
        experiment(needs, datasource=lambda ctx: called.append("data"), plugins=[Watch()]).run()
    assert called == []


@pytest.mark.parametrize("way", ["validate", "run", "apply", "debug"])
def test_every_way_to_run_reports_it(way):
    """`validate`, `run`, `apply` and `debug` check alike."""
    with pytest.raises(WiringError) as caught:
        getattr(experiment(needs), way)()
    assert str(caught.value) == (
        "experiment 'experiment': 1 parameter(s) that nothing fills\n"
        "  step 'needs': parameter 'made_key' is neither bound nor in the context; the context has: none. "
        "(it also takes: data)"
    )


def test_a_pipeline_on_its_own_reports_it_too():
    """`Pipeline.run` checks against the context that it was given."""
    with pytest.raises(WiringError) as caught:
        Pipeline([needs]).run(0, FrozenContext({"made_kez": 1}))
    assert str(caught.value) == (
        "pipeline: 1 parameter(s) that nothing fills\n"
        "  step 'needs': parameter 'made_key' is neither bound nor in the context; did you mean 'made_kez'? "
        "(it also takes: data)"
    )


def test_a_key_that_only_some_conditions_have_is_reported_with_their_names():
    """A parameter that only a treatment sets is missing under the baseline, and the message says so."""
    with pytest.raises(WiringError) as caught:
        experiment(needs, treatments=[Treatment("a", {"made_key": 1}), Treatment("b", {})]).validate()
    assert str(caught.value) == (
        "experiment 'experiment': 1 parameter(s) that nothing fills\n"
        "  step 'needs': parameter 'made_key' is neither bound nor in the context under 'baseline', 'b'; "
        "give it a default, or a value in initial_ctx; only ['a'] set it (it also takes: data)"
    )


def test_a_key_that_a_later_step_adds_is_reported():
    """Order counts: a step cannot take what only a later step adds."""

    def adds(data, ctx):
        ctx.add("made_key", 1)
        return data

    with pytest.raises(WiringError):
        experiment(needs, adds).validate()
    experiment(adds, needs).validate()


# What is not reported -----------------------------------------------------------------------------


def add_constant(data, ctx):
    ctx.add("made_key", 1)
    return data


def add_item(data, ctx):
    ctx["made_key"] = 1
    return data


def add_global(data, ctx):
    ctx.add(KEY, 1)
    return data


def add_local(data, ctx):
    key = "made_" + "key"
    ctx.add(key, 1)
    return data


def add_prefix(data, ctx):
    ctx.add("made" + data_suffix(), 1)
    return data


def add_f_string(data, ctx):
    ctx.add(f"made{data_suffix()}", 1)
    return data


def add_formatted(data, ctx):
    ctx.add("made{}".format(data_suffix()), 1)  # noqa: UP032 - one of the ways
    return data


def add_percent(data, ctx):
    ctx.add("made%s" % data_suffix(), 1)  # noqa: UP031 - one of the ways
    return data


def add_global_computed(data, ctx):
    ctx.add(KEY.replace("x", ""), 1)
    return data


def add_global_prefix(data, ctx):
    ctx.add(KEY + "", 1)
    return data


def add_chosen(data, ctx):
    ctx.add("made_key" if data == 0 else "other", 1)
    return data


def add_or(data, ctx):
    ctx.add(data or "made_key", 1)
    return data


def add_sliced(data, ctx):
    ctx.add("made_key and more"[: data + 8], 1)
    return data


def add_by_keyword(data, ctx):
    ctx.add(value="other", key="made_key")
    return data


def add_mixed_keywords(data, ctx):
    ctx.add("made_key", value=1)
    return data


def add_unpacked(data, ctx):
    ctx.add(*("made_key", 1))
    return data


def add_through_alias(data, ctx):
    context = ctx
    context.add("made_key", 1)
    return data


def add_through_method(data, ctx):
    add = ctx.add
    add("made_key", 1)
    return data


def add_through_helper(data, ctx):
    helper(ctx)
    return data


def add_through_helper_behind(data, ctx):
    helper_of_two(data, ctx)
    return data


def add_through_helper_before(data, ctx):
    helper_before(ctx, KEY.upper)
    return data


def add_through_helper_before_local(data, ctx):
    helper_before(ctx, data.bit_length)
    return data


def add_through_getattr(data, ctx):
    getattr(ctx, "add")("made_key", 1)  # noqa: B009 - one of the ways
    return data


def add_through_dunder(data, ctx):
    ctx.__setitem__("made_key", 1)
    return data


def add_in_nested_function(data, ctx):
    def inner():
        ctx.add("made_key", 1)

    inner()
    return data


def add_in_comprehension(data, ctx):
    [ctx.add(key, 1) for key in ("made_key", "other")]
    return data


def add_in_loop(data, ctx):
    for key in ("made_key", "other"):
        ctx.add(key, 1)
    return data


def add_in_branch(data, ctx):
    if data == 0:
        ctx.add("made_key", data + 1 if data else 1)
    return data


def add_container(data, ctx):
    ctx.add("made_key", {"a": [data, str(data), dict(zip("b", [data], strict=True))]})
    return data


def add_with_kwargs(data, ctx):
    arguments = {"context": ctx}
    make(**arguments)
    return data


async def add_async(data, ctx):
    ctx.add("made_key", await later())
    return data


def add_under_another_name(rows, view):
    view.add("made_key", 1)
    return rows


class AddInMethod(PipelineStep):
    def __call__(self, data, ctx):
        self._note(ctx)
        return data

    def _note(self, ctx):
        ctx.add("made_key", 1)


class AddInCall(PipelineStep):
    def __call__(self, data, ctx):
        ctx.add("made_key", 1)
        return data


class ForeignObject:
    def __call__(self, data, ctx):
        ctx.add("made_key", 1)
        return data


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args):
        args[1].add("made_key", 1)
        return function(*args)

    return wrapper


@decorated
def add_in_decorator(data, ctx):
    return data


def data_suffix():
    return "_key"


def helper(context):
    context.add("made_key", 1)


def helper_of_two(data, context):
    context.add("made_key", data)


def helper_before(context, anything):
    context.add("made_key", 1)


def make(context):
    context.add("made_key", 1)


async def later():
    return 1


ADDERS = [
    value for name, value in list(globals().items()) if name.startswith("add_") or name in ("AddInMethod", "AddInCall")
]


@pytest.mark.parametrize("adder", [*ADDERS, ForeignObject()], ids=lambda adder: getattr(adder, "__name__", "object"))
def test_a_key_that_an_earlier_step_adds_is_never_reported(adder):
    """However a step adds the key, the step behind it gets it and no error is raised beforehand."""
    one = experiment(adder, needs)
    one.validate()
    assert one.apply() in (0, 1, "other", {"a": [0, "0", {"b": 0}]})


def test_the_keys_that_are_certain_are_known():
    """Constant names, also of globals and of nested functions, are read from the code."""
    assert keys_added_by(add_constant) == {"made_key"}
    assert keys_added_by(add_global) == {"made_key"}
    assert keys_added_by(add_in_nested_function) in ({"made_key"}, None)
    assert keys_added_by(add_under_another_name) == {"made_key"}
    assert keys_added_by(AddInCall()) == {"made_key"}
    assert keys_added_by(functools.partial(add_constant)) == {"made_key"}
    assert keys_added_by(add_container) == {"made_key"}
    assert keys_added_by(needs) == frozenset()


def test_reading_and_recording_leave_the_keys_known():
    """A step that only reads the context, records metrics and emits events adds nothing."""

    def looks(data, ctx):
        ctx.record("a", ctx["replicate"])
        ctx.metrics.add("b", ctx.get("other", data))
        ctx.emit("seen", value=data)
        ctx.artifacts.add("file", b"")
        ctx.logger.info("text")
        return data

    assert keys_added_by(looks) == frozenset()


@pytest.mark.parametrize(
    "adder",
    [
        add_local,
        add_prefix,
        add_f_string,
        add_formatted,
        add_percent,
        add_global_computed,
        add_global_prefix,
        add_chosen,
        add_sliced,
        add_by_keyword,
        add_unpacked,
        add_through_alias,
        add_through_method,
        add_through_helper,
        add_through_helper_before,
        add_through_helper_before_local,
        add_through_getattr,
        add_in_comprehension,
        add_in_loop,
        AddInMethod(),
        add_in_decorator,
    ],
    ids=lambda adder: getattr(adder, "__name__", "method"),
)
def test_what_cannot_be_known_is_not_guessed(adder):
    """Computed names, aliases and helpers leave open which keys are added."""
    assert keys_added_by(adder) is None


def test_a_parameter_that_an_open_step_did_not_add_is_an_error_when_it_is_needed():
    """Where the check had to be left open, the step that misses its parameter fails with the same words."""

    def maybe(data, ctx):
        for key in ():
            ctx.add(key, 1)
        return data

    with pytest.raises(StepError) as caught:
        experiment(maybe, needs).apply()
    assert "step 'needs' failed: WiringError: nothing fills the parameter 'made_key'" in str(caught.value)


def test_an_open_step_does_not_make_a_known_key_the_context():
    """A second parameter stays a context value when an earlier step passes its context on."""

    def foreign(rows, made_key):
        return made_key

    def opens(data, ctx):
        print_nothing(ctx)
        return data

    assert experiment(opens, foreign, initial_ctx={"made_key": 7}).apply() == 7


def print_nothing(ctx):
    """Takes the context and does nothing with it."""


def test_a_treatment_function_adds_keys():
    """What a function treatment of a baseline and of treatments adds is known."""

    def base(ctx):
        ctx.add("made_key", 1)

    def other(ctx):
        ctx.override("made_key", 2)

    one = experiment(needs, treatments=[Treatment("baseline", base), Treatment("other", other)])
    assert (one.apply(), one.apply("other")) == (1, 2)


def test_a_treatment_function_of_one_condition_does_not_help_the_others():
    """The baseline lacks what only a treatment function adds."""

    def base(ctx):
        ctx.add("made_key", 1)

    with pytest.raises(WiringError) as caught:
        experiment(needs, treatments=[Treatment("more", base)]).validate()
    assert "is neither bound nor in the context under 'baseline'" in str(caught.value)


def test_a_datasource_function_adds_keys():
    """What the datasource adds to its context is there for the steps."""

    def source(ctx):
        ctx.add("made_key", 1)
        return 0

    assert experiment(needs, datasource=source).apply() == 1


def test_a_datasource_inside_an_experiment_input_adds_keys():
    """The sources of an `ExperimentInput` are looked at one by one."""

    @data_source
    def source(ctx, *, value):
        ctx.add("made_key", value)
        return 0

    assert experiment(needs, datasource=ExperimentInput(a=source(value=3), b=lambda ctx: 1)).apply() == 3


def test_a_datasource_that_adds_nothing_leaves_the_check_on():
    """Neither a function nor an `ExperimentInput` of functions hides a missing parameter."""
    with pytest.raises(WiringError):
        experiment(needs, datasource=ExperimentInput(a=lambda ctx: 1)).validate()


def test_a_plugin_adds_keys_before_the_replicate():
    """What a plugin adds in `before_replicate` is known."""

    class Adds(BasePlugin):
        def before_replicate(self, experiment, ctx):
            ctx.add("made_key", 1)

    assert experiment(needs, plugins=[Adds()]).apply() == 1


def test_a_plugin_adds_keys_before_a_step():
    """What a plugin adds in `before_step` is known as well."""

    class Adds(BasePlugin):
        def before_step(self, experiment, step, ctx):
            ctx.add("made_key", 1)

    assert experiment(needs, plugins=[Adds()]).apply() == 1


def test_a_hook_under_another_name_adds_keys():
    """A hook that is implemented by a method of another name counts like all others."""

    class Adds:
        @hookimpl(specname="before_replicate")
        def prepare(self, ctx):
            ctx.add("made_key", 1)

    assert experiment(needs, plugins=[Adds()]).apply() == 1


def test_a_plugin_that_passes_the_context_on_leaves_the_check_open():
    """A hook that hands its context to a helper may add any key."""

    class Adds(BasePlugin):
        def before_replicate(self, ctx):
            helper(ctx)

    assert experiment(needs, plugins=[Adds()]).apply() == 1
