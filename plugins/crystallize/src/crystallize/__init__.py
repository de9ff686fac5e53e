"""Crystallize: the core and its standard plugins under one name.

Everything public of `crystallize_core` is here, and the plugins of the distributions that come with this one. A name is
imported when it is first used, so that whoever uses no process pool does not wait for one.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from crystallize_artifacts import ArtifactPlugin
    from crystallize_core import (
        BASELINE_CONDITION,
        CONDITION_KEY,
        REPLICATE_KEY,
        SEED_USED_KEY,
        Artifact,
        ArtifactError,
        ArtifactList,
        ArtifactRecord,
        BasePlugin,
        CellArtifact,
        CellOutcome,
        CellTrace,
        ConditionMetrics,
        ConfigurationError,
        ContextError,
        ContextKeyError,
        ContextMutationError,
        CrystallizeError,
        DataSource,
        DatasourceError,
        DefinitionError,
        Event,
        ExecutorError,
        Experiment,
        ExperimentBuilder,
        ExperimentInput,
        ExperimentMetrics,
        FingerprintError,
        FrozenContext,
        GPUConfig,
        HookError,
        Hypothesis,
        HypothesisResult,
        Note,
        NotSendableError,
        Pipeline,
        PipelineStep,
        PluginError,
        PluginOrderError,
        PluginRecord,
        PluginWarning,
        RemoteError,
        ReplicateOutcome,
        ReplicateStream,
        ResourceRequest,
        Result,
        Row,
        RunError,
        RunInfo,
        RunInterrupted,
        RunRecord,
        StackError,
        StepError,
        StepOptionError,
        Treatment,
        TreatmentError,
        VerifierError,
        WiringError,
        WorkerError,
        as_request,
        code_digest,
        combined,
        content_digest,
        data_source,
        hookimpl,
        hypothesis,
        pipeline,
        pipeline_step,
        rank_by_p_value,
        register_hasher,
        resource_factory,
        standalone_context,
        treatment,
        verifier,
    )
    from crystallize_executors import (
        AsyncExecution,
        ItemError,
        ParallelExecution,
        ProcessExecution,
        ResourcesPlugin,
        SerialExecution,
        ThreadExecution,
        parallel_map,
    )
    from crystallize_logging import LoggingPlugin
    from crystallize_retries import (
        CircuitBreaker,
        CircuitOpenError,
        Exponential,
        RetryPlugin,
        StepTimeout,
        on_failure,
        retry,
    )
    from crystallize_seeding import SeedPlugin, default_seed_function

__all__ = [
    "BASELINE_CONDITION",
    "CONDITION_KEY",
    "REPLICATE_KEY",
    "SEED_USED_KEY",
    "STANDARD_STACK",
    "Artifact",
    "ArtifactError",
    "ArtifactList",
    "ArtifactPlugin",
    "ArtifactRecord",
    "AsyncExecution",
    "BasePlugin",
    "CellArtifact",
    "CellOutcome",
    "CellTrace",
    "CircuitBreaker",
    "CircuitOpenError",
    "ConditionMetrics",
    "ConfigurationError",
    "ContextError",
    "ContextKeyError",
    "ContextMutationError",
    "CrystallizeError",
    "DataSource",
    "DatasourceError",
    "DefinitionError",
    "Event",
    "ExecutorError",
    "Experiment",
    "ExperimentBuilder",
    "ExperimentInput",
    "ExperimentMetrics",
    "Exponential",
    "FingerprintError",
    "FrozenContext",
    "GPUConfig",
    "HookError",
    "Hypothesis",
    "HypothesisResult",
    "ItemError",
    "LoggingPlugin",
    "NotSendableError",
    "Note",
    "ParallelExecution",
    "Pipeline",
    "PipelineStep",
    "PluginError",
    "PluginOrderError",
    "PluginRecord",
    "PluginWarning",
    "ProcessExecution",
    "RemoteError",
    "ReplicateOutcome",
    "ReplicateStream",
    "ResourceRequest",
    "ResourcesPlugin",
    "Result",
    "RetryPlugin",
    "Row",
    "RunError",
    "RunInfo",
    "RunInterrupted",
    "RunRecord",
    "SeedPlugin",
    "SerialExecution",
    "StackError",
    "StepError",
    "StepOptionError",
    "StepTimeout",
    "ThreadExecution",
    "Treatment",
    "TreatmentError",
    "VerifierError",
    "WiringError",
    "WorkerError",
    "as_request",
    "code_digest",
    "combined",
    "content_digest",
    "data_source",
    "default_seed_function",
    "hookimpl",
    "hypothesis",
    "on_failure",
    "parallel_map",
    "pipeline",
    "pipeline_step",
    "rank_by_p_value",
    "register_hasher",
    "resource_factory",
    "retry",
    "standalone_context",
    "treatment",
    "verifier",
]

STANDARD_STACK: Final[Mapping[str, Any]] = {"plugins": ["seeding", "logging", "resources", "retries", "artifacts"]}
"""What `extends = ["standard"]` in a project's configuration stands for; the outermost comes first."""

_PLUGINS: Final = {
    "ArtifactPlugin": "crystallize-artifacts",
    "AsyncExecution": "crystallize-executors",
    "CircuitBreaker": "crystallize-retries",
    "CircuitOpenError": "crystallize-retries",
    "Exponential": "crystallize-retries",
    "ItemError": "crystallize-executors",
    "LoggingPlugin": "crystallize-logging",
    "ParallelExecution": "crystallize-executors",
    "ProcessExecution": "crystallize-executors",
    "ResourcesPlugin": "crystallize-executors",
    "RetryPlugin": "crystallize-retries",
    "SeedPlugin": "crystallize-seeding",
    "SerialExecution": "crystallize-executors",
    "StepTimeout": "crystallize-retries",
    "ThreadExecution": "crystallize-executors",
    "default_seed_function": "crystallize-seeding",
    "on_failure": "crystallize-retries",
    "parallel_map": "crystallize-executors",
    "retry": "crystallize-retries",
}
"""The distributions of the names that are not the core's."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib_metadata import version  # noqa: PLC0415 - reading metadata is not free

        return version("crystallize")
    if name not in __all__:
        message = f"module 'crystallize' has no attribute {name!r}"
        raise AttributeError(message)
    distribution = _PLUGINS.get(name, "crystallize-core")
    package = distribution.replace("-", "_")
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        message = f"{name} is in {distribution}, which is not installed: pip install {distribution}"
        raise ModuleNotFoundError(message, name=package) from error
    value = globals()[name] = getattr(module, name)  # the next time it is found without us
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
