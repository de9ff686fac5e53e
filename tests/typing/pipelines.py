"""Steps that are wired by name and their pipelines, as users write them; read by mypy, never run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, assert_type

from crystallize_core import Context, FrozenContext, Pipeline, PipelineResult, Step, StepResult, context, step, when


@step
def bare(x: int) -> int:
    return x


@step(
    inputs=["raw"],
    outputs=("model", "score"),
    cache="input_hash",
    retry=3,
    timeout=2.5,
    resources={"gpu": 1},
    execution_group="training",
    tags={"team": "a"},
    name="fit",
    condition=lambda raw: len(raw) > 1,
    own_option=True,
)
async def train(raw: list[int], rate: float = 0.1) -> tuple[float, float]:
    return sum(raw) * rate, rate


def own_key(step: Step, inputs: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    return str(inputs["x"])


def a_decorated_function_is_a_step() -> list[Step]:
    assert_type(bare, Step)
    assert_type(train, Step)
    assert_type(step(own_key), Step)
    assert_type(step(own_key, cache=False, own_option=True), Step)
    assert_type(step(cache=False), Callable[[Callable[..., Any]], Step])
    return [step(cache=own_key)(bare.function), when(lambda x: x > 1)(bare), bare.bound({"x": 1})]


def an_unknown_cache_strategy_is_an_error() -> Any:
    return step(cache="code_hsh")  # type: ignore[call-overload]  # only the two that there are


def what_a_step_says_of_itself() -> None:
    assert_type(bare.name, str)
    assert_type(bare.inputs, Sequence[str])
    assert_type(bare.outputs, Sequence[str])
    assert_type(bare.execution_group, str | None)
    assert_type(bare.tags, Mapping[str, Any])
    assert_type(bare.options, Mapping[str, Any])
    assert_type(bare.condition, Callable[..., Any] | None)


def parameters_are_a_context() -> Context:
    found = assert_type(context({"a/b": 1}, rate=0.1), Context)
    found.update(rate=2, epochs=3)
    assert_type(found.to_dict(), dict[str, Any])
    return found.inherit(rate=1)


def pipelines_are_made_in_several_ways() -> list[Pipeline]:
    by_name = Pipeline("training", context=context(rate=0.1), enable_cache=True, cache_dir="cache", check_types=True)
    assert_type(by_name.add_step(bare).add_steps(train, [bare]), Pipeline)
    return [by_name, Pipeline([bare, train], name="p", context={"rate": 1}), Pipeline.from_steps(bare, name="p")]


class Own(Pipeline):
    """Adding returns the pipeline itself, also of a derived class."""


def a_derived_pipeline_stays_one() -> Own:
    assert_type(Own.from_steps(bare), Own)
    return Own("own").add_step(bare).add_steps(train)


def a_run_on_its_own_gives_a_result(pipeline: Pipeline) -> PipelineResult:
    assert_type(pipeline.run(), PipelineResult)
    assert_type(pipeline.run(inputs={"raw": [1]}, context={"rate": 2}, debug=True), PipelineResult)
    assert_type(pipeline.rerun("20260101T000000-0", from_step="fit"), PipelineResult)
    return pipeline.run(resume=True, raise_on_error=True, executor="thread")


def a_run_with_data_gives_the_output(pipeline: Pipeline) -> None:
    ctx = FrozenContext({"rate": 1})
    assert_type(pipeline.run([1], ctx), Any)
    assert_type(pipeline.run([1], ctx, True, rep=3, condition="baseline"), Any)
    assert_type(pipeline.run([1], return_provenance=False), Any)
    assert_type(pipeline.run([1], ctx, return_provenance=True), tuple[Any, list[Mapping[str, Any]]])


def the_two_forms_cannot_be_mixed(pipeline: Pipeline) -> None:
    pipeline.run([1], inputs={"raw": [1]})  # type: ignore[call-overload]  # data is an input by another name
    pipeline.run(ctx=FrozenContext())  # type: ignore[call-overload]  # a context for steps goes with data


async def awaiting_is_possible(pipeline: Pipeline) -> object:
    return await pipeline.arun(inputs={"raw": [1]})


def a_result_says_what_it_has(result: PipelineResult) -> StepResult:
    assert_type(result.success, bool)
    assert_type(result.state, Literal["completed", "failed"])
    assert_type(result["model"], Any)
    assert_type(result.outputs["model"], Any)
    assert_type("model" in result, bool)
    assert_type(list(result), list[str])
    assert_type(result.metrics, dict[str, list[Any]])
    assert_type(result.summary(), str)
    assert_type(result.visualize("mermaid"), str)
    assert_type(result.to_dict(), dict[str, Any])
    assert_type(result.raise_for_status(), PipelineResult)
    assert_type(result.lineage["model"].digest, str | None)
    return result.step_results["fit"]


def a_step_result_says_what_became_of_it(found: StepResult) -> None:
    assert_type(found.state, Literal["ok", "cached", "skipped", "failed", "not run"])
    assert_type(found.success, bool)
    assert_type(found.exception, BaseException | None)
    assert_type(found.error, str | None)
    assert_type(found.duration_seconds, float)
    assert_type(found.artifact_uri, str | None)


def a_picture_has_three_forms(pipeline: Pipeline) -> str:
    pipeline.visualize("dot")  # type: ignore[arg-type]  # text, mermaid and svg
    return assert_type(pipeline.visualize("svg"), str)
