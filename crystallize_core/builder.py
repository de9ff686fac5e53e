"""A fluent way to write an experiment down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["ExperimentBuilder"]


class ExperimentBuilder:
    """Collects the parts of an experiment; each method returns the builder, `build` makes the experiment.

    Example:
        >>> from crystallize import Experiment
        >>> experiment = (
        ...     Experiment.builder("sums")
        ...     .datasource(lambda ctx: [1, 2, 3])
        ...     .add_step(lambda data, ctx: (data, {"total": sum(data)}))
        ...     .replicates(2)
        ...     .build()
        ... )
        >>> experiment.name
        'sums'

    """

    def __init__(self, name: str | None, kind: Any) -> None:
        self._kind = kind
        self._parts: dict[str, Any] = {"name": name}
        self._steps: list[Any] = []

    def _set(self, part: str, value: Any) -> ExperimentBuilder:
        self._parts[part] = value
        return self

    def datasource(self, datasource: Any) -> ExperimentBuilder:
        """What yields the input of a replicate."""
        return self._set("datasource", datasource)

    def pipeline(self, pipeline: Any) -> ExperimentBuilder:
        """The whole pipeline; steps that were added before come first."""
        self._steps += list(pipeline)
        return self

    def add_step(self, step: Any) -> ExperimentBuilder:
        """One more step at the end of the pipeline."""
        self._steps.append(step)
        return self

    def plugins(self, plugins: Sequence[Any]) -> ExperimentBuilder:
        """Plugin objects; each replaces the installed one of its name."""
        return self._set("plugins", plugins)

    def treatments(self, treatments: Sequence[Any]) -> ExperimentBuilder:
        """What to compare with the baseline."""
        return self._set("treatments", treatments)

    def hypotheses(self, hypotheses: Sequence[Any]) -> ExperimentBuilder:
        """What is claimed of the treatments."""
        return self._set("hypotheses", hypotheses)

    def replicates(self, replicates: int) -> ExperimentBuilder:
        """How often everything is repeated."""
        return self._set("replicates", replicates)

    def description(self, description: str) -> ExperimentBuilder:
        """Free text for the record."""
        return self._set("description", description)

    def initial_ctx(self, initial_ctx: Mapping[str, Any]) -> ExperimentBuilder:
        """What the context of every cell starts with."""
        return self._set("initial_ctx", initial_ctx)

    def outputs(self, outputs: Sequence[Any]) -> ExperimentBuilder:
        """Artifacts that steps may take as parameters."""
        return self._set("outputs", outputs)

    def autoload(self, autoload: bool) -> ExperimentBuilder:  # noqa: FBT001 - one switch, named by the method
        """Whether the project's configuration and installed plugins take part."""
        return self._set("autoload", autoload)

    def build(self) -> Any:
        """The experiment.

        Raises:
            DefinitionError: Parts are missing or of the wrong kind; all problems are listed.

        """
        parts = {"datasource": None, **self._parts}
        return self._kind(pipeline=self._steps, **parts)
