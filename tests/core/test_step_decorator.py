"""`@step`: what it keeps of a function, what it takes, and what it refuses."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import os
import pickle
import subprocess
import sys
from typing import Any

import pytest

from crystallize_core import DefinitionError, Pipeline, PipelineStep, Step, pipeline_step, step


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No project, no installed plugin and no folder of the user takes part."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path))


@step(inputs=["raw"], outputs=["model", "score"])
def train(raw: list[int], rate: float = 0.5) -> tuple[float, float]:
    """Train a model."""
    return sum(raw) * rate, rate


@step
def bare(x):
    return x


def scaled(x, factor=1):
    return x * factor


class Offset:
    def __call__(self, x):
        return x + 10


def refused(**settings: Any) -> str:
    with pytest.raises(DefinitionError) as caught:
        step(**settings)(scaled)
    return str(caught.value)


# What a step keeps ---------------------------------------------------------------------------------------


def test_without_parentheses_and_with_them_is_the_same():
    """`@step`, `@step()` and `step(f)` make a step of the same name."""
    made = [bare, step()(bare.function), step(bare.function)]
    assert [(type(one), one.name, one(3)) for one in made] == [(Step, "bare", 3)] * 3


def test_a_step_stays_the_function_that_it_was():
    """Name, docstring, module, signature and the function itself."""
    plain = train.__wrapped__
    assert (train.__name__, train.__doc__, train.__module__) == ("train", "Train a model.", __name__)
    assert inspect.signature(train) == inspect.signature(plain)
    assert train.function is plain


def test_options_and_their_defaults_are_attributes():
    """The table of the options, as attributes of the step."""
    names = ("inputs", "outputs", "cache", "retry", "timeout", "resources", "execution_group", "tags", "condition")
    assert {name: getattr(bare, name) for name in names} == {
        "inputs": [], "outputs": [], "cache": "code_hash", "retry": 0, "timeout": None, "resources": None,
        "execution_group": None, "tags": {}, "condition": None,
    }  # fmt: skip
    assert (train.inputs, train.outputs) == (["raw"], ["model", "score"])


def test_given_options_are_attributes():
    """Each is there as it was given, whatever claims it later."""

    def is_wanted(x):
        return True

    made = step(
        inputs=("x",), outputs=iter(["y"]), cache=False, retry=3, timeout=30, resources={"gpu": 1},
        execution_group="g", tags={"team": "a"}, name="mine", condition=is_wanted,
    )(scaled)  # fmt: skip
    assert (made.inputs, made.outputs, made.cache, made.name) == (["x"], ["y"], False, "mine")
    assert (made.retry, made.timeout, made.resources) == (3, 30, {"gpu": 1})
    assert (made.execution_group, made.tags, made.condition) == ("g", {"team": "a"}, is_wanted)


def test_a_direct_call_is_a_call_of_the_plain_function():
    """No retry, no timeout, no condition, no cache and no context take part."""
    calls = []

    @step(retry=3, timeout=1, condition=lambda x: False)
    def fails(x):
        calls.append(x)
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fails(1)
    assert calls == [1, 1]
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'x'"):
        fails()


def test_a_step_of_a_module_is_pickled_by_reference():
    """Another process finds it in its module; here, it is the same object."""
    assert pickle.loads(pickle.dumps(train)) is train
    assert copy.deepcopy([train])[0] is train


def test_a_step_from_a_function_is_pickled_with_what_it_was_told():
    """One that no module has keeps its settings and its bound parameters."""
    made = pickle.loads(pickle.dumps(step(name="triple", tags={"a": 1})(scaled).bound({"factor": 3})))
    assert (made.name, made.tags, made.params, made(2)) == ("triple", {"a": 1}, {"factor": 3}, 6)


def test_decorating_changes_nothing_elsewhere():
    """Two steps of one function do not know of each other."""
    first, second = step(scaled), step(name="other", outputs=["y"])(scaled)
    assert (first.name, first.outputs, second.name, second.outputs) == ("scaled", [], "other", ["y"])
    assert not vars(scaled)


# What it works on ----------------------------------------------------------------------------------------


def test_an_async_function_is_awaited_by_a_run():
    """Called directly, it gives the coroutine of the plain function."""

    @step
    async def later(x):
        await asyncio.sleep(0)
        return x + 1

    assert asyncio.run(later(1)) == 2
    assert Pipeline([later]).run(inputs={"x": 1})["later"] == 2


def test_a_partial_is_a_step_with_bound_parameters():
    """What it binds by name beats the context; what it binds by position is no parameter any more."""
    made = step(name="triple")(functools.partial(scaled, factor=3))
    assert (made.params, made(2), made(2, factor=5)) == ({"factor": 3}, 6, 10)
    assert Pipeline([made], context={"x": 2, "factor": 100}).run()["triple"] == 6
    first = step(name="first")(functools.partial(scaled, 2))
    assert Pipeline([first], context={"x": 50, "factor": 4}).run()["first"] == 8


def test_a_partial_of_a_step_binds_by_name_too():
    """`partial(step, factor=3)` in a pipeline is the step with that parameter bound, and so is `step.bound`."""
    results = [
        Pipeline([made], context={"x": 2, "factor": 100}).run()["scaled"]
        for made in (functools.partial(step(scaled), factor=3), step(scaled).bound({"factor": 3}))
    ]
    assert results == [6, 6]


def test_bound_parameters_reach_the_further_parameters_of_a_function():
    """What `**kwargs` takes may be bound as well."""

    @step(cache=False)
    def all_of(**given):
        return given

    assert Pipeline([functools.partial(all_of, a=1)], context={"b": 2}).run()["all_of"] == {"a": 1}


def test_a_callable_object_is_a_step_where_a_name_is_given():
    """Its name cannot be guessed."""
    made = step(name="offset")(Offset())
    assert (made(1), Pipeline([made], context={"x": 5}).run()["offset"]) == (11, 15)
    with pytest.raises(DefinitionError) as caught:
        step(functools.partial(scaled, 1))
    assert str(caught.value) == f"step(...) of {functools.partial(scaled, 1)!r} needs a name: step(name=...)"


@pytest.mark.parametrize("thing", [Offset, bare, pipeline_step()(scaled), "scaled", functools.partial(bare, x=1)])
def test_what_is_no_function_is_refused(thing):
    """Classes, steps, and what cannot be called."""
    with pytest.raises(DefinitionError) as caught:
        step(name="x")(thing)
    assert str(caught.value) == f"@step makes a step of a function, found {thing!r}"


def test_a_parameter_that_does_not_exist_cannot_be_bound():
    """The message lists what there is, or says what was meant."""
    with pytest.raises(DefinitionError) as caught:
        step(scaled).bound({"factr": 2})
    assert str(caught.value) == "step 'scaled' has no parameter 'factr'; did you mean 'factor'?"


# What it refuses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"inputs": "data"}, "inputs must be a list of names, found str 'data'; write inputs=['data']"),
        ({"outputs": "model"}, "outputs must be a list of names, found str 'model'; write outputs=['model']"),
        ({"inputs": {"a": 1}}, "inputs must be a list of names, found dict {'a': 1}"),
        ({"inputs": 3}, "inputs must be a list of names, found int 3"),
        ({"inputs": ["a", "b", "a"]}, "inputs has 'a' more than once"),
        ({"outputs": ["a", "", 1]}, "outputs must be non-empty text, found '', 1"),
        ({"retry": -1}, "retry must be an int of at least 0, the further attempts after the first; found -1"),
        ({"retry": True}, "retry must be an int of at least 0, the further attempts after the first; found True"),
        ({"retry": 1.5}, "retry must be an int of at least 0, the further attempts after the first; found 1.5"),
        ({"retry": "3"}, "retry must be an int of at least 0, or what retry(...) makes; found '3'"),
        ({"timeout": 0}, "timeout must be a number of seconds above 0, found 0; leave it out for no limit"),
        ({"timeout": -2.5}, "timeout must be a number of seconds above 0, found -2.5; leave it out for no limit"),
        ({"timeout": float("inf")}, "timeout must be a number of seconds above 0, found inf; leave it out for no limit"),
        ({"timeout": "1h"}, "timeout must be a number of seconds; found '1h'"),
        ({"resources": {"gpus": 1}}, "resources: resources has no key 'gpus'; did you mean 'gpu'?"),
        (
            {"resources": {"memory": "16gb"}},
            "resources: memory has the unknown unit 'gb' in '16gb'; did you mean 'GB'?",
        ),
        (
            {"resources": {"cpu": "many"}},
            'resources: cpu must be a number of cores of at least 0, such as 4, 0.5, "4" or "500m"; found \'many\'',
        ),
        ({"name": ""}, "name must be a non-empty str, found ''"),
        ({"name": 5}, "name must be a non-empty str, found 5"),
        ({"execution_group": 5}, "execution_group must be a non-empty str, found 5"),
        ({"tags": ["a"]}, "tags must be a mapping with text as keys, found ['a']"),
        ({"condition": 1}, "condition must be a function that tells whether, found 1"),
        ({"skip_if": True}, "skip_if must be a function that tells whether, found True"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_option_is_refused_at_once(settings, problem):
    """The message names the step, what was found, what is expected and often what to do."""
    assert refused(**settings) == f"step 'scaled' cannot be made:\n  {problem}"


@pytest.mark.parametrize(
    ("value", "hint"), [("code_hsh", "; did you mean 'code_hash'?"), ("off", ""), (True, ""), (None, "")]
)
def test_an_unknown_cache_strategy_is_refused_with_those_that_there_are(value, hint):
    """Also True, which says nothing about the strategy."""
    assert refused(cache=value) == (
        "step 'scaled' cannot be made:\n  cache must be 'code_hash', 'input_hash', False, or a function "
        f"key(step, inputs, context) -> str; found {value!r}{hint}"
    )


def test_all_wrong_options_are_reported_together():
    """One decoration, one message with a line for each."""
    assert refused(retry=-1, timeout=0, inputs="data", name="load", tags=3) == (
        "step 'load' cannot be made:\n"
        "  inputs must be a list of names, found str 'data'; write inputs=['data']\n"
        "  retry must be an int of at least 0, the further attempts after the first; found -1\n"
        "  timeout must be a number of seconds above 0, found 0; leave it out for no limit\n"
        "  tags must be a mapping with text as keys, found 3"
    )


class Grouped(PipelineStep):
    options = {"execution_group": "g", "tags": {"team": "a"}}

    def __call__(self, data):
        return data


class Wrong(PipelineStep):
    options = {"condition": "always", "execution_group": 3}

    def __call__(self, data):
        return data


def test_steps_of_other_kinds_have_the_same_options():
    """The options of the core mean the same in `@pipeline_step(...)` and in the options of a class."""
    decorated = pipeline_step(execution_group="g", tags={"team": "a"})(scaled)()
    assert [(made.execution_group, made.tags) for made in (decorated, Grouped())] == [("g", {"team": "a"})] * 2
    found = Pipeline([Grouped, decorated], context={"factor": 2})
    assert "group g_0" in found.visualize()


def test_the_options_of_other_kinds_of_steps_are_checked_as_early_as_can_be():
    """When the function is decorated, or when the class becomes a step of a pipeline."""
    expected = (
        "step {!r} cannot be made:\n  execution_group must be a non-empty str, found 3\n"
        "  condition must be a function that tells whether, found 'always'"
    )
    with pytest.raises(DefinitionError) as caught:
        pipeline_step(condition="always", execution_group=3)(scaled)
    assert str(caught.value) == expected.format("scaled")
    with pytest.raises(DefinitionError) as caught:
        Pipeline([Wrong])
    assert str(caught.value) == expected.format("Wrong")


# Side effects --------------------------------------------------------------------------------------------


def test_importing_and_decorating_leave_no_trace(tmp_path):
    """No file, no output, no log handler, no thread, and nothing heavy is imported."""
    code = (
        "import logging, sys, threading\n"
        "from crystallize_core import Pipeline, context, step\n"
        "@step(outputs=['a'])\n"
        "def f(x, rate): return x\n"
        "Pipeline('p', context=context(rate=1)).add_step(f)\n"
        "assert not logging.getLogger().handlers and not logging.getLogger('crystallize').handlers\n"
        "assert threading.active_count() == 1\n"
        "assert not {'numpy', 'pandas', 'asyncio', 'multiprocessing', 'sqlite3'} & set(sys.modules)\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "CRYSTALLIZE_CACHE_DIR"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr, list(tmp_path.iterdir())) == (0, "", "", [])


def test_running_prints_nothing_and_writes_below_one_folder(tmp_path, monkeypatch, capfd):
    """Everything that a run leaves is in the folder of the cache; `sys.stdout` is left alone."""
    cache, here = tmp_path / "cache", tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    stdout = sys.stdout
    Pipeline([train], cache_dir=cache).run(inputs={"raw": [1]})
    assert (sys.stdout is stdout, capfd.readouterr(), list(here.iterdir())) == (True, ("", ""), [])
    assert list(cache.iterdir())
