"""Annotations of steps: compared with each other before anything runs, and with values while steps run."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypedDict, TypeVar

import pytest

from crystallize_core import (
    Artifact,
    Asset,
    BasePlugin,
    Context,
    Experiment,
    FrozenContext,
    OutputError,
    Pipeline,
    PipelineStep,
    Step,
    WiringError,
    step,
)

if TYPE_CHECKING:
    pass

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No project, no installed plugin and no folder of the user takes part."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path))


class Base:
    pass


class Derived(Base):
    pass


class Report(TypedDict):
    accuracy: float


class Sized(Protocol):
    def __len__(self) -> int: ...


class Pair(NamedTuple):
    a: int
    b: str


class Stored(Asset):
    pass


def making(annotation: Any, value: Any = None, **settings: Any) -> Step:
    def x():
        return value

    x.__annotations__["return"] = annotation
    return step(cache=False, **settings)(x)


def taking(annotation: Any, parameter: str = "x", **settings: Any) -> Step:
    scope: dict[str, Any] = {}
    exec(f"def take({parameter}): return {parameter}", scope)
    scope["take"].__annotations__[parameter] = annotation
    return step(cache=False, **settings)(scope["take"])


def problems_of(*steps: Any) -> list[str]:
    """What is found before anything runs; nothing if the steps can be wired."""
    pipeline = Pipeline(steps, name="p")
    try:
        pipeline.visualize()
    except WiringError as error:
        return str(error).split("\n  ")[1:]
    return []


# Before anything runs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("produced", "expected", "found"),
    [
        (int, str, "int, expected str"),
        (int, str | None, "int, expected str | None"),
        (str | None, str, None),
        (float, int, None),
        (Base, Derived, None),
        (list[int], list[str], "list[int], expected list[str]"),
        (dict[str, int], Sequence[str], "dict[str, int], expected Sequence[str]"),
        (list[int], Report, "list[int], expected Report"),
        (int, Sized, "int, expected Sized"),
        (int, list[T], "int, expected list[T]"),
        (int, Literal["a"], "int, expected 'a'"),
        (None, int, "None, expected int"),
        (tuple[int, int], tuple[int, int, int], None),
        (Derived, Base, None),
        (bool, int, None),
        (int, float, None),
        (int, int | None, None),
        (list[int], Iterable[int], None),
        (dict[str, int], Mapping[str, Any], None),
        (str, Sized, None),
        (Any, int, None),
        (object, int, None),
        ("Decimal", int, None),
        (int, "Missing", None),
        (T, int, None),
    ],
    ids=str,
)  # fmt: skip
def test_an_output_must_be_what_its_taker_expects(produced, expected, found):
    """An error only where it is certain; what is not known fits."""
    problem = f"step 'take' takes 'x' from output 'x' of 'x': that produces {found}; mend one of the two annotations"
    assert problems_of(making(produced), taking(expected)) == ([] if found is None else [problem])


def test_of_several_outputs_each_has_its_own_type():
    """By position in a tuple, by key in a TypedDict."""
    pair = making(tuple[int, str], outputs=["a", "b"])
    assert problems_of(pair, taking(str, "a"), taking(str, "b", name="fine")) == [
        "step 'take' takes 'a' from output 'a' of 'x': that produces int, expected str; mend one of the two annotations"
    ]
    assert problems_of(making(Pair, outputs=["a", "b"]), taking(int, "a"), taking(str, "b", name="fine")) == []
    report = making(Report, outputs=["accuracy", "name"])
    assert problems_of(report, taking(str, "accuracy"), taking(int, "name", name="fine")) == [
        (
            "step 'take' takes 'accuracy' from output 'accuracy' of 'x': that produces float, expected str; mend one of "
            "the two annotations"
        )
    ]


def test_the_annotation_is_that_of_the_parameter_that_takes_it():
    """Also where the input has another name than the parameter, and where the step before is taken as `data`."""
    assert problems_of(making(int, outputs=["data/x"]), taking(str, "raw", inputs=["data/x"])) == [
        (
            "step 'take' takes 'raw' from output 'data/x' of 'x': that produces int, expected str; mend one of the two "
            "annotations"
        )
    ]
    assert problems_of(making(int), taking(str, "data")) == [
        (
            "step 'take' takes 'data' from output 'x' of 'x': that produces int, expected str; mend one of the two "
            "annotations"
        )
    ]


def test_what_does_not_flow_is_not_compared():
    """A bound parameter hides the output of its name; what a step of one name makes is not what another makes."""
    assert problems_of(making(int), functools.partial(taking(str), x="bound")) == []
    assert problems_of(making(int, outputs=["y"]), taking(str, "z=1".partition("=")[0], inputs=["z"])) == []


def test_an_awaited_value_is_compared():
    """Not the coroutine."""

    @step
    async def x() -> int:
        return 1

    assert problems_of(x, taking(int)) == []
    assert len(problems_of(x, taking(str))) == 1


def test_a_value_may_be_annotated_as_the_asset_that_it_is_stored_as():
    """The taker gets what was returned; an asset of another kind never fits."""
    assert problems_of(making(Stored), taking(list)) == []

    class Other(Asset):
        pass

    assert len(problems_of(making(Stored), taking(Other))) == 1


def test_a_pair_may_be_an_output_with_its_metrics():
    """`-> tuple[list, dict]` of a step without declared outputs."""
    assert problems_of(making(tuple[list, dict]), taking(list)) == []
    assert len(problems_of(making(tuple[list, dict], outputs=["x"]), taking(list))) == 1


# While steps run -----------------------------------------------------------------------------------------


def error_of(*steps: Any, step_name: str = "take", data: Any = None, **context: Any) -> str | None:
    """Why a step failed; None if it did not."""
    pipeline = Pipeline(steps, context=context, check_types=True, checkpoint=False)
    return pipeline.run(inputs=data).step_results[step_name].error


def test_what_a_step_takes_is_compared_with_its_annotation():
    """From an output, an input of the run or the context; the function is not called."""
    wrong = "WiringError: step 'take' takes 'x' from {}: found str 'one', expected int [step 'take']"
    assert error_of(making(Any, "one"), taking(int)) == wrong.format("output 'x' of 'x'")
    assert error_of(taking(int), data={"x": "one"}) == wrong.format("input")
    assert error_of(taking(int), x="one") == wrong.format("context")
    assert error_of(taking(int).bound({"x": "one"})) == wrong.format("bound")
    assert error_of(taking(int), x=1) is None


def test_all_that_does_not_fit_is_said():
    """One message for all parameters."""

    @step(cache=False)
    def take(a: int, b: str, *, c: list[int], d: Any, e="no annotation"):
        return None

    assert error_of(take, a="1", b="2", c=(3,), d=4, e=5) == (
        "WiringError: step 'take' takes 'a' from context: found str '1', expected int; and 'c' from context: found "
        "tuple, expected list[int] [step 'take']"
    )


def test_what_is_given_by_the_run_itself_and_defaults_are_not_compared(tmp_path):
    """A default may be of another type, and so may what stands for the context or an artifact."""

    @step(cache=False)
    def take(ctx: FrozenContext, context: Context, size: int = "many"):
        return 1

    assert error_of(take) is None
    assert error_of(take, size="big") == (
        "WiringError: step 'take' takes 'size' from context: found str 'big', expected int [step 'take']"
    )


def test_a_secret_is_not_shown():
    """A value whose name says that it is a secret stands for itself by its type."""
    assert error_of(taking(int, "api_key"), api_key="hunter2") == (
        "WiringError: step 'take' takes 'api_key' from context: found str, expected int [step 'take']"
    )


def test_further_inputs_and_a_parameter_of_another_name_are_compared_where_they_are_annotated():
    """The annotation is that of the parameter."""
    steps = [making(Any, "one", outputs=["data/x"]), taking(int, "raw", inputs=["data/x"])]
    assert error_of(*steps) == (
        "WiringError: step 'take' takes 'raw' from output 'data/x' of 'x': found str 'one', expected int [step 'take']"
    )


def test_what_a_step_returns_is_compared_with_its_annotation():
    """What takes it does not run."""
    result = Pipeline([making(int, "one"), taking(Any)], check_types=True).run()
    found = result.step_results
    assert found["x"].error == "OutputError: step 'x' returns 'x': found str 'one', expected int [step 'x']"
    assert (type(found["x"].exception), found["take"].state, dict(result.outputs)) == (OutputError, "not run", {})


@pytest.mark.parametrize(
    ("annotation", "value", "found"),
    [
        (tuple[int, str], (1, "b"), None),
        (tuple[int, str], ("a", "b"), "'a': found str 'a', expected int"),
        (tuple[int, str], ("a", 2), "'a': found str 'a', expected int; and 'b': found int 2, expected str"),
        (tuple[int, str], [1, "b"], "'a', 'b': found list, expected tuple[int, str]"),
        (dict[str, int], {"a": 1, "b": "2"}, "'b': found str '2', expected int"),
        (Pair, Pair("a", "b"), "'a': found str 'a', expected int"),
        (Any, (1, 2), None),
    ],
    ids=str,
)
def test_each_of_several_outputs_is_compared(annotation, value, found):
    """And the whole, where the return has another form than it says."""
    expected = None if found is None else f"OutputError: step 'x' returns {found} [step 'x']"
    assert error_of(making(annotation, value, outputs=["a", "b"]), step_name="x") == expected


@pytest.mark.parametrize(
    ("annotation", "value", "fits"),
    [
        (list, ([1], {"n": 1}), True),
        (tuple[list, dict], ([1], {"n": 1}), True),
        (tuple, ([1], {"n": 1}), True),
        (str, ([1], {"n": 1}), False),
        (Stored, [1], True),
        (Stored, Stored([1]), True),
        (Stored, None, False),
        (list, Stored([1]), False),
        (None, None, True),
        (int | None, None, True),
        (int, True, True),
        (float, 1, True),
        (Sized, [1], True),
        (Report, {"accuracy": 1}, True),
        (Report, {}, False),
        ("Decimal", "anything", True),
    ],
    ids=str,
)
def test_metrics_assets_and_unknown_annotations(annotation, value, fits):
    """The annotation may speak of the pair with the metrics or of the value, of the asset or of what is in it."""
    assert (error_of(making(annotation, value), step_name="x") is None) is fits


def test_an_async_step_is_checked_before_and_after_it_is_awaited():
    """Under `run` and under `arun`."""

    @step(cache=False)
    async def take(x: int) -> str:
        await asyncio.sleep(0)
        return x

    pipeline = Pipeline([take], check_types=True)
    returned = "OutputError: step 'take' returns 'take': found int 1, expected str [step 'take']"
    taken = "WiringError: step 'take' takes 'x' from input: found str 'a', expected int [step 'take']"
    assert [pipeline.run(inputs={"x": x}).step_results["take"].error for x in (1, "a")] == [returned, taken]
    assert asyncio.run(pipeline.arun(inputs={"x": 1})).step_results["take"].error == returned


def test_chains_and_experiments_are_checked_too():
    """Plain functions and classes, by the parameter that gets the data, whatever its name is."""

    def scale(numbers: list[int], ctx, *, factor: int = 2) -> list[int]:
        return [factor * number for number in numbers]

    class Total(PipelineStep):
        def __call__(self, data: list[int]) -> int:
            return str(sum(data))

    chain = Pipeline([scale, Total], check_types=True)
    taken = "step 'scale' takes 'numbers' from data: found str 'abc', expected list[int]"
    with pytest.raises(Exception, match=f"failed: WiringError: {taken.replace('[', '.').replace(']', '.')}"):
        chain.run("abc")
    experiment = Experiment(lambda ctx: [1, 2], chain)
    (failure,) = experiment.run(replicates=1).errors.values()
    assert "OutputError: step 'Total' returns 'Total': found str '6', expected int" in str(failure)


def test_an_artifact_to_write_is_not_compared(tmp_path, monkeypatch):
    """It is given by the run, as the context is."""
    monkeypatch.chdir(tmp_path)

    def save(data: int, out: Artifact) -> int:
        out.write(b"1")
        return data

    result = Experiment(lambda ctx: 1, Pipeline([save], check_types=True), outputs=[Artifact("out")]).run(replicates=1)
    assert result.errors == {}


def test_a_violation_is_no_attempt_that_could_be_repeated():
    """What a step must not be given does not become right the next time; policies are told so by its type."""
    calls = []

    class Again(BasePlugin):
        name = "again"

        def wrap_step(self, experiment, step, call):
            def twice(data, ctx):
                for _ in range(2):
                    try:
                        return call(data, ctx)
                    except WiringError as error:
                        calls.append(type(error).__name__)
                return call(data, ctx)

            return twice

    pipeline = Pipeline([taking(int)], context={"x": "one"}, check_types=True)
    Experiment(lambda ctx: 0, pipeline, plugins=[Again()]).run(replicates=1)
    assert calls == ["WiringError", "WiringError"]


def test_what_was_refused_is_not_cached():
    """A wrong return is checked again the next time, and an unchecked run may keep what a checked one refuses."""

    @step
    def wrong() -> int:
        return "one"

    found = [Pipeline([wrong], check_types=check).run().step_results["wrong"] for check in (True, True, False, False)]
    assert [result.state for result in found] == ["failed", "failed", "ok", "cached"]


def test_nothing_is_checked_unless_asked_for():
    """The default; the function itself is called then, and no wrapper of it."""
    assert Pipeline([making(int, "one"), taking(int)]).run()["take"] == "one"
