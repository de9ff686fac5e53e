"""Steps wired by name: what fills a parameter, in which order steps run, and what cannot be wired."""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystallize_core import (
    BasePlugin,
    Context,
    DefinitionError,
    Experiment,
    FrozenContext,
    Pipeline,
    Step,
    StepOptionError,
    Treatment,
    WiringError,
    context,
    pipeline_step,
    step,
)


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No project, no installed plugin and no folder of the user takes part."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path))


def taking(name: str, parameters: str = "", **settings: Any) -> Step:
    """A step that returns what it was given, by parameter."""
    scope: dict[str, Any] = {}
    exec(f"def {name}({parameters}): return dict(locals())", scope)
    return step(**{"cache": False, **settings})(scope[name])


def making(name: str, value: Any = None, **settings: Any) -> Step:
    return step(name=name, **{"cache": False, **settings})(lambda: name if value is None else value)


def given_to(name: str, *steps: Any, inputs: Any = None, **parameters: Any) -> Any:
    """What a step of a pipeline was given."""
    run = Pipeline("p", context=parameters, checkpoint=False).add_steps(*steps).run(inputs=inputs, raise_on_error=True)
    return run.outputs[name]


def problems_of(*steps: Any, inputs: Any = None, **parameters: Any) -> list[str]:
    """The lines of the message about steps that cannot be wired; nothing runs."""
    with pytest.raises(WiringError) as caught:
        Pipeline("p", context=parameters).add_steps(*steps).run(inputs=inputs)
    heading, *found = str(caught.value).split("\n  ")
    assert heading == f"pipeline 'p': {len(found)} problem(s)"
    return found


NOWHERE = "is neither bound, made by a step, an input nor in the context"


# What fills a parameter ----------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [["x"], None])
def test_an_output_comes_before_the_context_and_the_default(declared):
    """Whether the input is declared or not."""
    assert given_to("f", making("x"), taking("f", "x=1", inputs=declared), x="context") == {"x": "x"}


@pytest.mark.parametrize("declared", [["x"], None])
def test_an_input_of_the_run_comes_before_the_context_and_the_default(declared):
    """Whether the input is declared or not."""
    taken = given_to("f", taking("f", "x=1", inputs=declared), inputs={"x": "input"}, x="context")
    assert taken == {"x": "input"}


def test_the_context_comes_before_the_default():
    """By exact name; another name in the context is not taken."""
    assert given_to("f", taking("f", "rate, rates=2"), rate="context", Rates=3) == {"rate": "context", "rates": 2}


def test_a_declared_input_may_be_in_the_context():
    """All three sources satisfy a declaration: an output, an input of the run, the context."""
    taken = given_to("f", making("a"), taking("f", "a, b, c", inputs=["c", "b", "a"]), inputs={"b": 2}, c=3)
    assert taken == {"a": "a", "b": 2, "c": 3}


def test_a_bound_parameter_comes_before_everything():
    """Also before an output of its name, and then the steps do not wait for each other."""
    bound = taking("f", "x").bound({"x": "bound"})
    assert given_to("f", making("x"), bound, x="context") == {"x": "bound"}


def test_inputs_that_are_no_parameters_fill_the_free_ones_in_order():
    """`data/train` and the like go to the parameters that are no inputs, have no default and are not in the context."""
    steps = [
        making("test", outputs=["data/test"]),
        making("train", outputs=["data/train"]),
        making("labels"),
        taking("f", "rate, labels, first, second, flag=1", inputs=["data/train", "labels", "data/test"]),
    ]
    assert given_to("f", *steps, rate=0.1) == {
        "rate": 0.1, "labels": "labels", "first": "train", "second": "test", "flag": 1,
    }  # fmt: skip


def test_further_inputs_arrive_by_their_names():
    """`**kwargs` gets the declared inputs that are no parameters, whatever their names are, and nothing else."""
    steps = [
        making("a"),
        making("b"),
        making("path", outputs=["data/x"]),
        making("word", outputs=["class"]),
        taking("f", "a, **more", inputs=["a", "data/x", "class", "b"]),
        taking("g", "**more"),
    ]
    result = Pipeline(steps, context={"free": 1}).run()
    assert result["f"] == {"a": "a", "more": {"data/x": "path", "class": "word", "b": "b"}}
    assert result["g"] == {"more": {}}


def test_every_kind_of_parameter_is_filled():
    """Positional only, plain, keyword only; with and without a default."""
    taken = given_to("f", making("a"), taking("f", "a, b=2, /, c=3, *, d, e=5"), b="b", d="d", e="e")
    assert taken == {"a": "a", "b": "b", "c": 3, "d": "d", "e": "e"}


def test_a_parameter_called_context_gets_the_parameters():
    """It is a `Context`, with those of the run on top of those of the pipeline."""
    found = []

    @step(cache=False)
    def look(context, ctx):
        found.append((isinstance(context, Context), context.rate, context["epochs"], isinstance(ctx, FrozenContext)))

    Pipeline([look], context=context(rate=1, epochs=2)).run(context={"rate": 5})
    assert found == [(True, 5, 2, True)]


def test_data_is_the_asset_of_that_name_if_a_step_makes_one():
    """Wherever the step stands, and whatever the step before it returned."""
    steps = [making("other"), taking("f", "data"), making("load", outputs=["data"]), pipeline_step()(lambda data: data)]
    result = Pipeline(steps).run()
    assert (result["f"], result["<lambda>"]) == ({"data": "load"}, "load")


def test_data_is_otherwise_what_the_step_before_returned_or_the_run_was_given():
    """The first gets the input of the run, the next what the first returned."""
    result = Pipeline([taking("f", "data"), taking("g", "data")]).run(inputs={"data": 1})
    assert (result["f"], result["g"]) == ({"data": 1}, {"data": {"data": 1}})


def test_who_declares_data_gets_that_of_the_run():
    """A declared input is an asset, not what the step before returned."""
    result = Pipeline([making("f"), taking("g", "data", inputs=["data"])]).run(inputs={"data": 1})
    assert result["g"] == {"data": 1}


def test_none_is_a_value():
    """An output that is None is taken in place of the context and the default."""
    steps = [step(cache=False, outputs=["x"])(lambda: None), taking("f", "x=1")]
    assert given_to("f", *steps, x=2) == {"x": None}
    assert given_to("f", taking("f", "x=1"), inputs={"x": None}) == {"x": None}
    assert given_to("f", taking("f", "x=1"), x=None) == {"x": None}


# Order ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_a_parameter_that_names_an_output_makes_a_step_wait(order):
    """Whatever the order in which steps are added, undeclared inputs included."""
    steps = [making("load"), taking("clean", "load"), taking("fit", "clean"), taking("report", "fit, load")]
    result = Pipeline([steps[at] for at in order]).run()
    assert list(result.step_results) == ["load", "clean", "fit", "report"]
    assert result["report"] == {"fit": {"clean": {"load": "load"}}, "load": "load"}


def test_steps_that_need_not_wait_run_as_they_were_added():
    """Ties are broken by the order in which steps were added, in every process."""
    code = (
        "from crystallize_core import Pipeline, step\n"
        "def named(name, f=lambda: 0): return step(name=name, cache=False)(f)\n"
        "steps = [named('d', lambda z: z), *(named(n) for n in 'zcab'), named('e', lambda a, b: 0)]\n"
        "print(*Pipeline(steps).run().step_results)"
    )
    orders = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert orders == {"z d c a b e\n"}


@settings(max_examples=30)
@given(st.data())
def test_any_acyclic_pipeline_runs_in_topological_order(tmp_path_factory, data):
    """Each step once, after all of which it takes something, in the same order every time."""
    count = data.draw(st.integers(1, 7))
    takes = [sorted(data.draw(st.sets(st.integers(0, at - 1), max_size=3))) if at else [] for at in range(count)]
    made = [taking(f"s{at}", ", ".join(f"s{other}" for other in takes[at])) for at in range(count)]
    steps = [made[at] for at in data.draw(st.permutations(range(count)))]
    pipeline = Pipeline(steps, cache_dir=tmp_path_factory.getbasetemp(), checkpoint=False)
    orders = [list(pipeline.run(raise_on_error=True).step_results) for _ in range(2)]
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == sorted(f"s{at}" for at in range(count))
    place = {name: at for at, name in enumerate(orders[0])}
    assert all(place[f"s{other}"] < place[f"s{at}"] for at in range(count) for other in takes[at])


# Names ---------------------------------------------------------------------------------------------------


def test_steps_of_one_name_are_told_apart():
    """In the order in which they were added; a name that is taken by another step is not used again."""
    steps = [making("train", 1), making("train", 2), making("train_2", 3), making("train", 4)]
    result = Pipeline(steps).run()
    assert dict(result.outputs) == {"train": 1, "train_2": 2, "train_2_2": 3, "train_3": 4}


def test_steps_may_be_made_in_a_loop():
    """One function, decorated again and again, with outputs of their own."""

    def training(kind):
        @step(outputs=[f"{kind}_model"])
        def train():
            return f"a {kind}"

        return train

    pipeline = Pipeline("p")
    for kind in ("forest", "net"):
        pipeline.add_step(training(kind))
    result = pipeline.run()
    assert dict(result.outputs) == {"forest_model": "a forest", "net_model": "a net"}
    assert list(result.step_results) == ["train", "train_2"]


def test_adding_returns_the_pipeline():
    """`add_step`, `add_steps` with several or one list, and `from_steps` come to the same."""
    a, b = making("a"), taking("b", "a")
    pipelines = [
        Pipeline("p").add_step(a).add_step(b),
        Pipeline("p").add_steps(a, b),
        Pipeline("p").add_steps([a, b]),
        Pipeline.from_steps(a, b, name="p"),
        Pipeline([a, b], name="p"),
    ]
    assert [(pipeline.name, pipeline.step_names) for pipeline in pipelines] == [("p", ["a", "b"])] * 5


# What cannot be wired ------------------------------------------------------------------------------------


def test_all_problems_are_reported_together():
    """Cycles, missing parameters, two producers and types, before anything runs."""
    ran = []

    @step(outputs=["numbers"])
    def load() -> list[int]:
        ran.append("load")
        return [1]

    @step
    def shout(numbers: str):
        ran.append("shout")

    steps = [
        load, shout, taking("a", "b"), taking("b", "a"), taking("c", "d"), taking("d", "c"),
        making("one", outputs=["o"]), making("two", outputs=["o"]), taking("e", "lerning_rate, size"),
        taking("f", "raw", inputs=["nmbers"]),
    ]  # fmt: skip
    assert problems_of(*steps, learning_rate=1) == [
        "steps 'one' and 'two' both make 'o'; rename one output",
        "steps wait for each other: a -> b -> a ('b' takes 'a' from 'a'; 'a' takes 'b' from 'b')",
        "steps wait for each other: c -> d -> c ('d' takes 'c' from 'c'; 'c' takes 'd' from 'd')",
        f"step 'e': parameter 'lerning_rate' {NOWHERE}; did you mean 'learning_rate'? (it also takes: size)",
        (
            f"step 'e': parameter 'size' {NOWHERE}; there is: 'a', 'b', 'c', 'd', 'f', 'learning_rate', 'numbers', 'o', "
            "'shout'. (it also takes: lerning_rate)"
        ),
        f"step 'f': input 'nmbers' of parameter 'raw' {NOWHERE}; did you mean 'numbers'? (it also takes: nothing else)",
        (
            "step 'shout' takes 'numbers' from output 'numbers' of 'load': that produces list[int], expected str; mend one "
            "of the two annotations"
        ),
    ]
    assert ran == []


def test_a_long_cycle_is_told_in_full():
    """Who takes what from whom, all the way round; steps outside of it are not named."""
    steps = [taking("a", "c", outputs=["x"]), taking("b", "x"), taking("c", "b"), taking("after", "c")]
    assert problems_of(*steps) == [
        (
            "steps wait for each other: a -> b -> c -> a ('b' takes 'x' from 'a'; 'c' takes 'b' from 'b'; "
            "'a' takes 'c' from 'c')"
        )
    ]


def test_a_condition_can_close_a_cycle():
    """What a condition asks for is waited for like a parameter."""
    steps = [taking("a", condition=lambda b: True), taking("b", "a")]
    assert problems_of(*steps) == [
        "steps wait for each other: a -> b -> a ('b' takes 'a' from 'a'; 'a' takes 'b' from 'b')"
    ]


@pytest.mark.parametrize("declared", [["x"], None])
def test_a_step_cannot_take_what_only_itself_makes(declared):
    """It is not told that it meant the name that it wrote."""
    assert problems_of(taking("f", "x", outputs=["x"], inputs=declared)) == [
        (
            f"step 'f': parameter 'x' {NOWHERE}; the step itself makes it, and can take only what was made before "
            "(it also takes: nothing else)"
        )
    ]


def test_a_step_may_replace_a_value_of_the_context():
    """It takes that of the context, and others take what it made."""
    assert given_to("g", step(cache=False, outputs=["x"], name="f")(lambda x: x + 1), taking("g", "x"), x=1) == {"x": 2}


def test_an_output_cannot_be_an_input_of_the_run():
    """It would be unclear who gets which."""
    assert problems_of(making("x"), inputs={"x": 1}) == [
        "step 'x' makes 'x', which is an input of the run as well; rename one of them"
    ]


def test_a_step_cannot_have_the_name_of_another_ones_output():
    """Both are names under which a result is found; its own output may have its name."""
    assert problems_of(making("model", outputs=["m"]), making("b", outputs=["model"])) == [
        "step 'model' has the name of an output of step 'b'; rename one of them"
    ]
    assert problems_of(making("model"), making("b", outputs=["model"])) == [
        "steps 'model' and 'b' both make 'model'; rename one output"
    ]
    assert given_to("model", making("model", (1, 2), outputs=["model", "score"])) == 1


def test_one_step_object_cannot_be_there_twice():
    """It would make the same assets twice; a second step of the function may be there."""
    made = making("a")
    with pytest.raises(DefinitionError) as caught:
        Pipeline("p").add_steps(made, made)
    assert str(caught.value) == "step 'a' is in pipeline 'p' already; make a second step of the function"
    with pytest.raises(WiringError) as caught:
        Pipeline([made, made], name="p").run()
    assert str(caught.value) == (
        "pipeline 'p': 1 problem(s)\n  step 'a' was added twice; make a second step of the function"
    )


def test_a_declared_input_must_come_from_somewhere():
    """A default does not make up for a name that nothing provides; an undeclared parameter may keep its default."""
    assert problems_of(taking("f", "raw=None", inputs=["raw"]), making("row")) == [
        (
            "step 'f' declares the input 'raw', which nothing provides; did you mean 'row'? If it need not be there, leave "
            "it out of inputs"
        )
    ]
    assert given_to("f", taking("f", "raw=None")) == {"raw": None}


def test_a_declared_input_of_only_one_condition_may_have_a_default():
    """A treatment that sets it is a source; the baseline has the default."""
    taken = []

    @step(inputs=["rate"], cache=False)
    def look(rate=1):
        taken.append(rate)

    Experiment(lambda ctx: 0, Pipeline("p").add_step(look), treatments=[Treatment("fast", {"rate": 2})]).run()
    assert taken == [1, 2]


@pytest.mark.parametrize(("parameters", "listed"), [("", "nothing"), ("a, b=1", "a, b"), ("*many", "nothing")])
def test_an_input_without_a_parameter_is_refused(parameters, listed):
    """What nobody can take need not be declared."""
    steps = [making("a"), making("c"), taking("f", parameters, inputs=["a", "c"] if "a" in listed else ["c"])]
    assert problems_of(*steps) == [
        f"step 'f' declares the input 'c', which no parameter of it can take; it takes: {listed}"
    ]


def how_to_have(distribution):
    """What is said of a plugin that is not active here, with it installed and without."""
    if any(found.metadata["Name"] == distribution for found in importlib.metadata.distributions()):
        return f"{distribution} is installed, but not active here; `crystallize plugins list` says why"
    return f"pip install {distribution}"


def test_an_option_that_nothing_provides_is_refused():
    """Each with the line that installs it, what was meant, or where it belongs; all at once."""
    steps = [
        taking("a", retry=3, timeout=5),
        taking("b", resources={"cpu": 1}),
        taking("c", retri=3),
        taking("d", input=["x"]),
        taking("e", colour="red"),
        pipeline_step(outputs=["x"])(lambda data=1: data),
    ]
    with pytest.raises(StepOptionError) as caught:
        Pipeline("p").add_steps(*steps).run()
    nothing = "but nothing in the stack provides"
    retries, executors = map(how_to_have, ("crystallize-retries", "crystallize-executors"))
    assert str(caught.value).split("\n  ") == [
        "pipeline 'p':",
        f"step 'a' asks for timeout=5, {nothing} 'timeout': {retries}",
        f"step 'a' asks for retry=3, {nothing} 'retry': {retries}",
        f"step 'b' asks for resources={{'cpu': 1}}, {nothing} 'resources': {executors}",
        f"step 'c' asks for retri=3, {nothing} 'retri': did you mean 'retry'?",
        f"step 'd' asks for input=['x'], {nothing} 'input': did you mean 'inputs'?",
        f"step 'e' asks for colour='red', {nothing} 'colour': it has no step options.",
        (
            f"step '<lambda>' asks for outputs=['x'], {nothing} 'outputs': it goes with @step, whose steps take and make "
            "assets by name"
        ),
    ]


def test_an_option_that_a_plugin_claims_is_used():
    """Any plugin may provide `retry`; a value of a wrong type names the step."""

    class Retries(BasePlugin):
        name = "mine"

        def step_options(self):
            return {"retry": int, "colour": str}

        def wrap_step(self, experiment, step, call):
            return (lambda data, ctx: call(data, ctx) + step.options["retry"]) if "retry" in step.options else None

    def run(**settings):
        steps = Pipeline([step(cache=False, **settings)(lambda: 1)])
        return Experiment(lambda ctx: 0, steps, plugins=[Retries()]).apply()

    assert run(retry=3) == 4
    with pytest.raises(StepOptionError, match=r"\n  step '<lambda>': option colour: expected str, found int 5$"):
        run(colour=5)


# Wrong pipelines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Pipeline([]),
            (
                "a pipeline needs at least one step; one that gets its steps later is given a name in their place: "
                'Pipeline("etl").add_step(...)'
            ),
        ),
        (lambda: Pipeline(5), "Pipeline needs a list of steps or a name, found int 5"),
        (lambda: Pipeline({}), "Pipeline needs a list of steps or a name, found dict {}"),
        (lambda: Pipeline(set()), "Pipeline needs a list of steps or a name, found set set()"),
        (
            lambda: Pipeline("a", name="b"),
            "Pipeline('a', name='b') has two names; write Pipeline('a'), or give it its steps",
        ),
        (
            lambda: Pipeline("p").add_steps(making("a"), 5),
            ("pipeline 'p', step 2 is int 5; a step is a function of data, a @pipeline_step factory, a "
            "functools.partial of one, or a PipelineStep"),
        ),
        (
            lambda: Pipeline("p", context=5),
            "the parameters of a context must be a mapping, found int 5",
        ),
        (
            lambda: Pipeline("p", context=FrozenContext()),
            "context must be a mapping or what context(...) makes; a FrozenContext goes with data: run(data, ctx)",
        ),
        (
            lambda: Pipeline("p").run(inputs=["x"]),
            "inputs must be a mapping from names to values, found list ['x']",
        ),
        (
            lambda: Pipeline("p").run(inputs={1: 2}),
            "inputs must be a mapping from names to values, found dict {1: 2}",
        ),
        (
            lambda: Pipeline("p").run(1, inputs={"x": 2}, debug=True),
            (
                "pipeline 'p' is run with data, which does not go with inputs=, debug=; write run(inputs={'data': ...}, "
                "...) to give it the data by name"
            ),
        ),
        (
            lambda: Pipeline("p").run(ctx=FrozenContext()),
            (
                "pipeline 'p' is run without data, which does not go with ctx=; write run(data, ctx, ...), or give a run "
                "without data inputs= and context="
            ),
        ),
        (
            lambda: Pipeline("p").run(resume=3),
            (
                "resume must be True for the newest run, False, or the id of a run as text; found 3 in a run of "
                "pipeline 'p'"
            ),
        ),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused(make, message):
    """What was found and what is expected."""
    with pytest.raises(DefinitionError) as caught:
        make()
    assert str(caught.value) == message


def test_a_pipeline_that_has_no_steps_yet_comes_to_nothing():
    """Made by name and left empty, it runs to no outputs."""
    result = Pipeline("empty").run()
    assert (result.success, result.state, dict(result.outputs), result.step_results) == (True, "completed", {}, {})
