"""Reproducible, replicated experiments, made of plugins: the core.

Everything that is public is here; the modules behind it are private but for `hookspecs`, the contract
that plugin authors read, `errors`, `clock`, `watchdog`, and `testing`. Names are imported when they are first used, so that
importing the package, and a command line that only prints its help, costs next to nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crystallize_core.artifact import Artifact, ArtifactList, ArtifactRecord, CellArtifact
    from crystallize_core.asset import Asset
    from crystallize_core.builder import ExperimentBuilder
    from crystallize_core.context import (
        BASELINE_CONDITION,
        CONDITION_KEY,
        REPLICATE_KEY,
        SEED_USED_KEY,
        Event,
        FrozenContext,
        standalone_context,
    )
    from crystallize_core.datasource import DataSource, ExperimentInput, data_source
    from crystallize_core.deprecation import PluginDeprecationWarning
    from crystallize_core.errors import (
        ArtifactError,
        ConfigurationError,
        ContextError,
        ContextKeyError,
        ContextMutationError,
        CrystallizeError,
        DatasourceError,
        DefinitionError,
        ExecutorError,
        FingerprintError,
        HookError,
        LockError,
        NotSendableError,
        OutputError,
        PluginError,
        PluginOrderError,
        RemoteError,
        RunError,
        RunInterrupted,
        StackError,
        StackMismatchError,
        StepError,
        StepOptionError,
        TreatmentError,
        VerifierError,
        WiringError,
        WorkerError,
    )
    from crystallize_core.experiment import Experiment
    from crystallize_core.fingerprint import code_digest, content_digest, register_hasher
    from crystallize_core.hookspecs import hookimpl
    from crystallize_core.hypothesis import Hypothesis, HypothesisResult, hypothesis, rank_by_p_value, verifier
    from crystallize_core.named import Step, step
    from crystallize_core.outcome import CellOutcome, Note, ReplicateOutcome
    from crystallize_core.parameters import Context, context
    from crystallize_core.pipeline import Pipeline, pipeline
    from crystallize_core.pipeline_result import PipelineResult, StepResult
    from crystallize_core.plugin import BasePlugin
    from crystallize_core.record import PluginRecord, RunInfo, RunRecord
    from crystallize_core.requirements import GPUConfig, ResourceRequest, as_request, combined
    from crystallize_core.resource import resource_factory
    from crystallize_core.result import Result
    from crystallize_core.samples import ConditionMetrics, ExperimentMetrics, Row
    from crystallize_core.skipping import Skipped, unless, when
    from crystallize_core.stack.notices import PluginWarning, SettingWarning
    from crystallize_core.step import PipelineStep, pipeline_step
    from crystallize_core.stream import ReplicateStream
    from crystallize_core.treatment import Treatment, treatment
    from crystallize_core.trial import CellTrace

__all__ = [
    "BASELINE_CONDITION",
    "CONDITION_KEY",
    "REPLICATE_KEY",
    "SEED_USED_KEY",
    "Artifact",
    "ArtifactError",
    "ArtifactList",
    "ArtifactRecord",
    "Asset",
    "BasePlugin",
    "CellArtifact",
    "CellOutcome",
    "CellTrace",
    "ConditionMetrics",
    "ConfigurationError",
    "Context",
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
    "FingerprintError",
    "FrozenContext",
    "GPUConfig",
    "HookError",
    "Hypothesis",
    "HypothesisResult",
    "LockError",
    "NotSendableError",
    "Note",
    "OutputError",
    "Pipeline",
    "PipelineResult",
    "PipelineStep",
    "PluginDeprecationWarning",
    "PluginError",
    "PluginOrderError",
    "PluginRecord",
    "PluginWarning",
    "RemoteError",
    "ReplicateOutcome",
    "ReplicateStream",
    "ResourceRequest",
    "Result",
    "Row",
    "RunError",
    "RunInfo",
    "RunInterrupted",
    "RunRecord",
    "SettingWarning",
    "Skipped",
    "StackError",
    "StackMismatchError",
    "Step",
    "StepError",
    "StepOptionError",
    "StepResult",
    "Treatment",
    "TreatmentError",
    "VerifierError",
    "WiringError",
    "WorkerError",
    "as_request",
    "code_digest",
    "combined",
    "content_digest",
    "context",
    "data_source",
    "hookimpl",
    "hypothesis",
    "pipeline",
    "pipeline_step",
    "rank_by_p_value",
    "register_hasher",
    "resource_factory",
    "standalone_context",
    "step",
    "treatment",
    "unless",
    "verifier",
    "when",
]

_HOMES = {
    "artifact": ("Artifact", "ArtifactList", "ArtifactRecord", "CellArtifact"),
    "asset": ("Asset",),
    "builder": ("ExperimentBuilder",),
    "context": (
        "BASELINE_CONDITION",
        "CONDITION_KEY",
        "REPLICATE_KEY",
        "SEED_USED_KEY",
        "Event",
        "FrozenContext",
        "standalone_context",
    ),
    "datasource": ("DataSource", "ExperimentInput", "data_source"),
    "deprecation": ("PluginDeprecationWarning",),
    "errors": (
        "ArtifactError",
        "ConfigurationError",
        "ContextError",
        "ContextKeyError",
        "ContextMutationError",
        "CrystallizeError",
        "DatasourceError",
        "DefinitionError",
        "ExecutorError",
        "FingerprintError",
        "HookError",
        "LockError",
        "NotSendableError",
        "OutputError",
        "PluginError",
        "PluginOrderError",
        "RemoteError",
        "RunError",
        "RunInterrupted",
        "StackError",
        "StackMismatchError",
        "StepError",
        "StepOptionError",
        "TreatmentError",
        "VerifierError",
        "WiringError",
        "WorkerError",
    ),
    "experiment": ("Experiment",),
    "fingerprint": ("code_digest", "content_digest", "register_hasher"),
    "hookspecs": ("hookimpl",),
    "hypothesis": ("Hypothesis", "HypothesisResult", "hypothesis", "rank_by_p_value", "verifier"),
    "named": ("Step", "step"),
    "outcome": ("CellOutcome", "Note", "ReplicateOutcome"),
    "parameters": ("Context", "context"),
    "pipeline": ("Pipeline", "pipeline"),
    "pipeline_result": ("PipelineResult", "StepResult"),
    "plugin": ("BasePlugin",),
    "record": ("PluginRecord", "RunInfo", "RunRecord"),
    "requirements": ("GPUConfig", "ResourceRequest", "as_request", "combined"),
    "resource": ("resource_factory",),
    "result": ("Result",),
    "samples": ("ConditionMetrics", "ExperimentMetrics", "Row"),
    "skipping": ("Skipped", "unless", "when"),
    "stack.notices": ("PluginWarning", "SettingWarning"),
    "step": ("PipelineStep", "pipeline_step"),
    "stream": ("ReplicateStream",),
    "treatment": ("Treatment", "treatment"),
    "trial": ("CellTrace",),
}
"""The module that each public name lives in, by module; the same as the imports above."""

_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = getattr(importlib.import_module(f"crystallize_core.{_MODULES[name]}"), name)
        globals()[name] = value  # the next time it is found without us
        return value
    if name == "__version__":
        from crystallize_core.version import version  # noqa: PLC0415 - reading metadata is not free

        return version()
    message = f"module 'crystallize_core' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])


class _Package(ModuleType):
    """This package; three of its names (`hypothesis`, `pipeline`, `treatment`) are functions and modules.

    Importing a module sets it as an attribute of its package, which would hide the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _MODULES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
