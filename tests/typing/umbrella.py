"""The names of the umbrella as users write them; read by mypy, never run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_type

from crystallize import (
    ArtifactPlugin,
    Asset,
    AsyncExecution,
    Dataset,
    Experiment,
    LoggingPlugin,
    Metrics,
    Model,
    ParallelExecution,
    ProcessExecution,
    ResourcesPlugin,
    Result,
    RetryPlugin,
    SeedPlugin,
    SerialExecution,
    ThreadExecution,
    default_seed_function,
    load_asset,
    register_materializer,
)


def plugins_have_their_own_types() -> list[object]:
    assert_type(SeedPlugin(seed=7).seed, int | None)
    return [
        SeedPlugin(7, auto_seed=False, seed_fn=default_seed_function),
        LoggingPlugin(verbose=True, log_level="DEBUG"),
        ArtifactPlugin("./data", versioned=True, artifact_retention=3, big_file_threshold_mb=10),
        ResourcesPlugin(oversubscribe=True, record="all", available={"cpu": 4}),
        RetryPlugin(),
        SerialExecution(),
        ThreadExecution(max_workers=2),
        ProcessExecution(max_workers=2),
        AsyncExecution(max_workers=2),
    ]


def assets_keep_their_types(result: Result, materializer: Any) -> list[Asset]:
    assert_type(Model([1], name="m", framework="own").named("n"), Model)
    assert_type(Dataset.create(data=[1], name="d"), Dataset)
    assert_type(register_materializer(bytes, materializer), Callable[[], None])
    return [Metrics({"acc": 0.9}), Metrics(acc=0.9, metadata={"split": "test"}), load_asset(result, "m")]


def an_experiment_runs_to_a_result(number: int) -> Result:
    experiment = Experiment(datasource=lambda ctx: number, pipeline=[abs], plugins=[ParallelExecution(max_workers=2)])
    return assert_type(experiment.run(replicates=3), Result)
