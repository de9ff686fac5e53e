"""How the parameters of a step are filled: one order, whatever the step is made of."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core import (
    Artifact,
    DefinitionError,
    Experiment,
    FrozenContext,
    Pipeline,
    PipelineStep,
    pipeline_step,
    resource_factory,
)


def run(step: Any, data: Any = "the data", **context: Any) -> Any:
    """What the step returns for this data in a context with these values."""
    return Experiment(lambda ctx: data, [step], initial_ctx=context, autoload=False).apply()


# The order of the sources -------------------------------------------------------------------------


def test_a_bound_argument_beats_the_context_and_the_default():
    """What was bound wins over a context value and a default of the same name."""

    @pipeline_step()
    def scale(data, ctx, *, factor=1):
        return factor

    assert run(scale(factor=2), factor=3) == 2


def test_the_context_beats_the_default():
    """A context value fills a parameter that has a default."""

    @pipeline_step()
    def scale(data, ctx, *, factor=1):
        return factor

    assert run(scale, factor=3) == 3


def test_the_default_comes_last():
    """Without a bound argument and a context value, the default is used."""

    @pipeline_step()
    def scale(data, ctx, *, factor=1):
        return factor

    assert run(scale) == 1


def test_a_bound_argument_beats_an_output_artifact():
    """A parameter that is named like an artifact and is bound gets the bound value."""

    def save(data, report):
        return report

    step = functools.partial(save, report="bound")
    assert Experiment(lambda ctx: 1, [step], outputs=[Artifact("report.txt")], autoload=False).apply() == "bound"


def test_an_output_artifact_beats_the_context():
    """A parameter that is named like an artifact gets the artifact, not the context value of that name."""

    def save(data, report):
        report.write("text")
        return report.name

    experiment = Experiment(
        lambda ctx: 1, [save], outputs=[Artifact("report.txt")], initial_ctx={"report": "context"}, autoload=False
    )
    assert experiment.apply() == "report.txt"
    assert [a.read() for a in experiment.run().artifacts] == [b"text"]


def test_an_artifact_is_taken_under_its_whole_name_as_well():
    """`model.bin` fills both `model` and `model_bin`."""

    def save(data, model_bin):
        return model_bin.name

    assert Experiment(lambda ctx: 1, [save], outputs=[Artifact("model.bin")], autoload=False).apply() == "model.bin"


def test_the_data_beats_a_context_value_called_data():
    """A context value named `data` never replaces what the step before returned."""

    def echo(data):
        return data

    experiment = Experiment(lambda ctx: "upstream", [echo], initial_ctx={"data": "context"}, autoload=False)
    assert experiment.apply() == "upstream"


def test_a_context_value_called_ctx_does_not_replace_the_context():
    """A parameter named `ctx` is the context, whatever keys there are."""

    def echo(data, ctx):
        return type(ctx).__name__

    assert run(echo, ctx="a value") == "StepContext"


def test_a_resource_in_the_context_is_made_before_it_fills_a_parameter():
    """A resource factory in the context fills the parameter with what it makes."""

    def use(data, client):
        return client

    assert run(use, client=resource_factory(lambda ctx: {"url": "here"})) == {"url": "here"}


def test_the_value_of_a_treatment_fills_a_parameter_under_that_treatment_only():
    """A mapping treatment changes the parameter of its name, the baseline keeps the default."""
    from crystallize_core import Treatment

    def scale(data, factor=1):
        return data, {"factor": factor}

    result = Experiment(lambda ctx: 0, [scale], treatments=[Treatment("two", {"factor": 2})], autoload=False).run()
    assert result.metrics.baseline.metrics == {"factor": [1]}
    assert result.metrics.treatments["two"].metrics == {"factor": [2]}


sources = st.fixed_dictionaries({"bound": st.booleans(), "context": st.booleans(), "default": st.just(True)})


@given(sources)
def test_the_first_source_that_is_there_fills_the_parameter(there):
    """Whatever combination of sources is there, bound comes before context, and context before default."""

    def tell(data, value="default"):
        return value

    step = functools.partial(tell, value="bound") if there["bound"] else tell
    expected = next(source for source in ("bound", "context", "default") if there[source])
    assert run(step, **({"value": "context"} if there["context"] else {})) == expected


# Names and positions ------------------------------------------------------------------------------


def test_data_and_context_are_found_by_name_in_any_order():
    """`ctx` first and `data` last is fine."""

    def swapped(ctx, *, data):
        return data, type(ctx).__name__

    assert run(swapped, 5)[0] == 5


def test_other_names_are_filled_by_position():
    """The first parameter gets the data and the second, without a default, the context."""

    def foreign(rows, c):
        return rows, c["size"]

    assert run(foreign, [1], size=3) == ([1], 3)


def test_a_second_parameter_that_the_context_knows_is_no_context():
    """By position, a second parameter whose name is a context key gets that value."""

    def foreign(rows, size):
        return size

    assert run(foreign, [1], size=3) == 3


def test_the_context_is_found_by_its_annotation():
    """A parameter annotated with `FrozenContext` is the context, wherever it stands."""

    def typed(rows, size: int = 0, *, view: FrozenContext):
        return view["size"] + size

    assert run(typed, [1], size=3) == 6


def test_a_step_without_a_context_parameter_gets_none():
    """`ctx` may be left out."""
    assert run(lambda data: data + 1, 1) == 2


def test_positional_only_parameters_are_passed_by_position():
    """Parameters before `/` are filled like all others."""

    def strict(data, factor, /, ctx):
        return data * factor * ctx["factor"]

    assert run(strict, 2, factor=3) == 18


def test_a_positional_only_default_keeps_its_place():
    """A positional-only parameter with a default is not pushed aside by one behind it that is filled."""

    def strict(data, first=1, second=2, /):
        return first, second

    assert Pipeline([strict]).run(0, FrozenContext({"second": 5})) == (1, 5)


def test_keyword_only_data_and_context_work():
    """A step all of whose parameters are keyword-only is called correctly."""

    def keywords(*, data, ctx):
        return data, ctx.step_name

    assert run(keywords, 1) == (1, "keywords")


def test_extra_arguments_of_the_star_kind_stay_empty():
    """`*args` and `**kwargs` are given nothing."""

    def loose(data, *args, **kwargs):
        return data, args, kwargs

    assert run(loose, 1, other=2) == (1, (), {})


# What a step can be made of -----------------------------------------------------------------------


def test_a_factory_that_was_not_called_is_a_step():
    """`[scale]` is the same as `[scale()]`."""

    @pipeline_step()
    def scale(data, *, factor=2):
        return data * factor

    assert run(scale, 3) == run(scale(), 3) == 6


def test_a_partial_of_a_factory_binds():
    """`partial(scale, factor=4)` is the same as `scale(factor=4)`."""

    @pipeline_step()
    def scale(data, *, factor=2):
        return data * factor

    assert run(functools.partial(scale, factor=4), 3, factor=5) == 12


def test_a_partial_of_a_plain_function_binds():
    """The keywords of a partial are bound arguments, which the context does not beat."""

    def scale(data, factor=2):
        return data * factor

    assert run(functools.partial(scale, factor=4), 3, factor=5) == 12


def test_a_partial_of_a_partial_binds_both():
    """Nested partials bind what both of them say."""

    def add(data, a, b):
        return data + a + b

    assert run(functools.partial(functools.partial(add, a=10), b=100), 1) == 111


def test_a_positional_argument_of_a_partial_is_gone():
    """What a partial fills by position is no parameter any more; the next one gets the data."""

    def power(base, exponent):
        return base**exponent

    assert run(functools.partial(power, 2), 5) == 32


def test_a_bound_name_that_does_not_exist_is_refused_with_a_suggestion():
    """A misspelt bound parameter is an error when the step is made."""

    @pipeline_step()
    def scale(data, *, factor=2):
        return data

    with pytest.raises(DefinitionError) as caught:
        scale(facter=3)
    assert str(caught.value) == "step 'scale' has no parameter 'facter'; did you mean 'factor'?"


def test_the_data_cannot_be_bound():
    """Calling a factory with data explains how to run the function."""

    @pipeline_step()
    def scale(data):
        return data

    with pytest.raises(DefinitionError) as caught:
        scale([1])
    assert str(caught.value) == (
        "scale(...) makes a step and takes parameters by name; to run the function itself call "
        "scale.function(data, ...) or scale()(data, ...)"
    )


def test_a_step_is_callable_as_the_function_it_was_made_of():
    """`scale(factor=3)(data)` runs the plain function with what was bound."""

    @pipeline_step()
    def scale(data, *, factor=2):
        return data * factor

    assert scale(factor=3)(5) == 15
    assert scale.function(5) == 10


def test_a_class_based_step_takes_parameters_like_a_function():
    """`__call__` of a `PipelineStep` gets data, context and context values; `params` are bound."""

    class Scale(PipelineStep):
        def __init__(self, factor):
            self.factor = factor

        @property
        def params(self):
            return {"factor": self.factor}

        def __call__(self, data, ctx, offset, factor=1):
            return data * factor + offset

    assert run(Scale(3), 2, offset=1, factor=100) == 7


def test_a_class_in_place_of_a_step_is_made_without_arguments():
    """`[Double]` is the same as `[Double()]`."""

    class Double(PipelineStep):
        def __call__(self, data):
            return data * 2

    assert run(Double, 2) == 4


def test_a_partial_of_a_class_makes_the_step():
    """`partial(Scale, factor=3)` is the step `Scale(factor=3)`."""

    class Scale(PipelineStep):
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, data):
            return data * self.factor

    assert run(functools.partial(Scale, factor=3), 2) == 6


def test_a_class_that_needs_arguments_is_refused_by_name():
    """A class that cannot be made without arguments is an error that says so."""

    class Scale(PipelineStep):
        def __init__(self, factor):
            self.factor = factor

    with pytest.raises(DefinitionError) as caught:
        Pipeline([len, Scale])
    assert str(caught.value).startswith("pipeline step 2 is the class ")
    assert "Scale, which cannot be made without arguments (" in str(caught.value)
    assert "'factor'" in str(caught.value)


def test_a_callable_object_is_a_step():
    """A foreign object with `__call__` is used as it is, under the name that it gives itself or its class has."""

    class Named:
        name = "my-step"

        def __call__(self, data, ctx, size=1):
            return ctx.step_name, data + size

    class Nameless:
        def __call__(self, data):
            return data

    assert run(Named(), 1, size=2) == ("my-step", 3)
    assert Pipeline([Named(), Nameless()]).step_names == ["my-step", "Nameless"]


def test_a_lambda_is_a_step():
    """A lambda is a step named `<lambda>`."""
    assert run(lambda rows: rows[0] + rows[1], [1, 2]) == 3
    assert Pipeline([lambda data: data]).step_names == ["<lambda>"]


def test_a_builtin_is_a_step():
    """Builtins whose parameters can be read are steps."""
    assert run(len, [1, 2]) == 2
    assert run(sorted, [2, 1]) == [1, 2]
    assert run(functools.partial(sorted, reverse=True), [1, 2]) == [2, 1]
    assert run(str.upper, "a") == "A"


def test_a_builtin_without_a_readable_signature_is_refused_with_the_remedy():
    """`max` has no signature; the message shows what to write instead."""
    with pytest.raises(DefinitionError) as caught:
        Pipeline([max])
    assert str(caught.value) == "the parameters of max cannot be read; wrap it: lambda data: max(data)"


def test_a_bound_method_is_a_step():
    """A method of an object is a step; `self` is no parameter."""

    class Model:
        def __init__(self):
            self.weight = 3

        def predict(self, data):
            return data * self.weight

    assert run(Model().predict, 2) == 6


def test_an_async_function_is_a_step():
    """`async def` steps are awaited."""

    async def fetch(data, ctx, size):
        return data + size

    assert run(fetch, 1, size=2) == 3


def test_an_async_callable_object_and_an_async_partial_are_steps():
    """Objects with `async def __call__` and partials of coroutine functions are awaited as well."""

    class Fetch:
        async def __call__(self, data):
            return data + 1

    async def add(data, by):
        return data + by

    assert run(Fetch(), 1) == 2
    assert run(functools.partial(add, by=5), 1) == 6


def test_a_step_without_data_is_refused():
    """A function without parameters cannot be a step."""
    with pytest.raises(DefinitionError) as caught:
        Pipeline([lambda: 1])
    assert str(caught.value) == (
        "step '<lambda>' takes no data: its first parameter must be the data, as in def <lambda>(data, ctx)"
    )


def test_a_class_based_step_without_data_is_refused():
    """`__call__(self)` cannot be a step either."""

    class Nothing(PipelineStep):
        def __call__(self):
            return 1

    with pytest.raises(DefinitionError) as caught:
        Pipeline([Nothing()])
    assert str(caught.value) == (
        "step 'Nothing' takes no data: its first parameter must be the data, as in def __call__(self, data, ctx)"
    )


def test_a_class_based_step_without_a_call_is_refused():
    """A `PipelineStep` that does not say what it does is refused when the pipeline is made."""

    class Nothing(PipelineStep):
        pass

    with pytest.raises(DefinitionError) as caught:
        Pipeline([Nothing])
    assert str(caught.value) == (
        "step 'Nothing' takes no data: its first parameter must be the data, as in def __call__(self, data, ctx)"
    )


def test_a_callable_object_without_data_is_refused():
    """A foreign object whose `__call__` takes nothing is refused too."""

    class Nothing:
        def __call__(self):
            return 1

    with pytest.raises(DefinitionError) as caught:
        Pipeline([Nothing()])
    assert str(caught.value) == (
        "step 'Nothing' takes no data: its first parameter must be the data, as in def __call__(self, data, ctx)"
    )


@pytest.mark.parametrize("wrong", [5, None, [len], {"a": 1}, list])
def test_what_no_step_can_be_made_of_is_refused_with_its_place(wrong):
    """Numbers, nested lists, tables and foreign classes are no steps."""
    with pytest.raises(DefinitionError) as caught:
        Pipeline([len, wrong])
    assert str(caught.value) == (
        f"pipeline step 2 is {type(wrong).__qualname__} {wrong!r}; a step is a function of data, a @pipeline_step "
        f"factory, a functools.partial of one, or a PipelineStep"
    )


def test_the_decorator_without_parentheses_is_explained():
    """`@pipeline_step` on its own says how to write it."""
    with pytest.raises(DefinitionError) as caught:

        @pipeline_step
        def scale(data):
            return data

    assert str(caught.value) == "use the decorator with parentheses: @pipeline_step()"


def test_cacheable_must_be_a_bool():
    """`pipeline_step(cacheable=1)` is refused."""
    with pytest.raises(DefinitionError) as caught:
        pipeline_step(cacheable=1)
    assert str(caught.value) == "pipeline_step(cacheable=...) must be a bool, found 1"


def test_steps_of_one_name_get_numbers():
    """A step with the name of another one does not vanish."""

    def add(data):
        return data + 1

    def add_2(data):
        return data + 10

    pipeline = Pipeline([add, add_2, add, add])
    assert pipeline.step_names == ["add", "add_2", "add_3", "add_4"]
    assert pipeline.run(0) == 13


# Bound values -------------------------------------------------------------------------------------


def test_a_bound_container_is_private_to_each_call():
    """A step that changes a bound list does not change it for the next replicate."""

    def grow(data, rows):
        rows.append(data)
        return data, {"rows": len(rows)}

    rows: list[int] = []
    experiment = Experiment(lambda ctx: 1, [functools.partial(grow, rows=rows)], replicates=3, autoload=False)
    assert experiment.run().metrics.baseline.metrics == {"rows": [1, 1, 1]}
    assert rows == []


def test_a_bound_object_is_passed_as_it_is():
    """A bound value that is no container (a model, a connection) is not copied."""
    model = object()
    assert run(functools.partial(lambda data, model: model, model=model)) is model
