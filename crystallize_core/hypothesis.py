"""Hypotheses: claims about treatments, the tests that verify them, and the order they give."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from crystallize_core.errors import DefinitionError, VerifierError, describe, did_you_mean
from crystallize_core.pickling import by_reference
from crystallize_core.signature import name_of

__all__ = ["Hypothesis", "HypothesisResult", "VerifierFactory", "hypothesis", "rank_by_p_value", "verifier"]

Samples = Mapping[str, Sequence[Any]]
"""The values of each metric, one per replicate that succeeded under both conditions."""
Verdict = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""What a verifier found: one mapping, or one per group of metrics."""


def rank_by_p_value(result: Verdict) -> float:
    """The ranker used where none is given: the smaller the p-value, the better.

    Of several groups of metrics the largest p-value counts, because each of them has to hold.
    """
    if isinstance(result, Mapping):
        return float(result.get("p_value", 1.0))
    return max((rank_by_p_value(one) for one in result), default=1.0)


@attrs.frozen
class HypothesisResult:
    """What became of one hypothesis.

    Attributes:
        name: The name of the hypothesis.
        results: What the verifier said of each treatment.
        ranking: `best`, the treatment with the smallest score, and `ranked`, all with their scores.
        errors: What went wrong, by treatment; the key `ranker` is for the ranker.
        replicates: How many replicates entered the comparison, by treatment.

    """

    name: str
    results: Mapping[str, Any]
    ranking: Mapping[str, Any]
    errors: Mapping[str, Exception] = attrs.field(factory=dict)
    replicates: Mapping[str, int] = attrs.field(factory=dict)

    def get_for_treatment(self, treatment: str) -> Any:
        """What the verifier said of one treatment, or None."""
        return self.results.get(treatment)

    def in_words(self, treatment: str) -> str:
        """The verdict on one treatment as a short phrase."""
        if treatment in self.errors:
            return f"not verified: {self.errors[treatment]}"
        found = self.results.get(treatment)
        verdicts = found if isinstance(found, Sequence) and not isinstance(found, str) else [found]
        return "; ".join(_verdict_in_words(verdict) for verdict in verdicts)


def _verdict_in_words(verdict: Any) -> str:
    if not isinstance(verdict, Mapping):
        return str(verdict)
    words = next((str(verdict[key]) for key in ("verdict", "conclusion") if key in verdict), "")
    for key, yes, no in (("accepted", "supported", "not supported"), ("significant", "significant", "not significant")):
        if not words and key in verdict:
            words = yes if verdict[key] else no
    rest = ", ".join(
        f"{key} = {value:.4g}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in verdict.items()
        if key not in {"verdict", "conclusion", "accepted", "significant"} and isinstance(value, (int, float, str))
    )
    return f"{words} ({rest})" if words and rest else words or rest


class Hypothesis:
    """A claim that is tested for each treatment against the baseline.

    Args:
        verifier: Called with the samples of the baseline and of a treatment; says what it found.
        metrics: The metric it looks at, several, or groups of several; default every metric that was
            recorded in both conditions.
        ranker: Called with what the verifier said; the treatment with the smallest score is the best.
            Default: the p-value.
        name: Default: the name of the ranker, else of the verifier.
        treatments: The names of the treatments that it speaks of; default all.

    Raises:
        DefinitionError: The verifier or ranker cannot be called, or `metrics` is of the wrong type.

    """

    def __init__(
        self,
        verifier: Callable[..., Any],
        metrics: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        ranker: Callable[[Any], Any] | None = None,
        name: str | None = None,
        *,
        treatments: Sequence[str] | None = None,
    ) -> None:
        if isinstance(verifier, VerifierFactory):
            verifier = verifier()
        for what, value in (("verifier", verifier), ("ranker", ranker)):
            if value is not None and not callable(value):
                message = f"the {what} of a hypothesis must be callable, found {type(value).__qualname__} {value!r}"
                raise DefinitionError(message)
        self.verifier = verifier
        self.metrics = metrics
        self.groups = _metric_groups(metrics)
        self.ranker = ranker or rank_by_p_value
        self.name = name or name_of(ranker or verifier)
        if isinstance(treatments, str):
            treatments = [treatments]
        self.treatments = None if treatments is None else tuple(treatments)

    def speaks_of(self, treatment: str) -> bool:
        """Whether this hypothesis is about that treatment."""
        return self.treatments is None or treatment in self.treatments

    def verify(self, baseline: Samples, treatment: Samples) -> Any:
        """What the verifier says of these samples; a list where there are several groups of metrics.

        Raises:
            VerifierError: A metric was not recorded, or the verifier failed or returned no mapping.

        """
        groups = self.groups or (tuple(name for name in baseline if name in treatment),)
        found = [self._verify_group(group, baseline, treatment) for group in groups]
        return found[0] if len(found) == 1 else found

    def _verify_group(self, group: tuple[str, ...], baseline: Samples, treatment: Samples) -> Mapping[str, Any]:
        for where, samples in (("the baseline", baseline), ("the treatment", treatment)):
            for metric in group:
                if metric not in samples:
                    hint = did_you_mean(metric, samples, listing="recorded")
                    message = f"metric {metric!r} was not recorded under {where}; {hint}"
                    raise VerifierError(message, hypothesis=self.name)
        try:
            found = self.verifier({m: baseline[m] for m in group}, {m: treatment[m] for m in group})
        except Exception as error:
            message = f"the verifier {name_of(self.verifier)!r} failed: {describe(error)}"
            raise VerifierError(message, hypothesis=self.name) from error
        if not isinstance(found, Mapping):
            message = (
                f"the verifier {name_of(self.verifier)!r} must return a mapping such as "
                f"{{'p_value': 0.03, 'accepted': True}}, found {type(found).__qualname__}"
            )
            raise VerifierError(message, hypothesis=self.name)
        return dict(found)

    def rank_treatments(self, results: Mapping[str, Any]) -> Mapping[str, Any]:
        """The treatments in the order of their scores, the smallest first.

        Raises:
            VerifierError: The ranker failed, or its scores cannot be compared.

        """
        try:
            scores = [(name, self.ranker(found)) for name, found in results.items()]
            # NaN is neither smaller nor greater than anything; it comes last, wherever its treatment stands.
            ranked = sorted(scores, key=lambda pair: (isinstance(pair[1], float) and math.isnan(pair[1]), pair[1]))
        except Exception as error:
            message = f"the ranker {name_of(self.ranker)!r} failed: {describe(error)}"
            raise VerifierError(message, hypothesis=self.name) from error
        return {"best": ranked[0][0] if ranked else None, "ranked": ranked}

    def __repr__(self) -> str:
        return f"Hypothesis({self.name!r}, metrics={self.metrics!r})"


def _metric_groups(metrics: Any) -> tuple[tuple[str, ...], ...]:
    """The groups of metric names that a verifier is called with; empty for "all"."""
    if metrics is None:
        return ()
    if isinstance(metrics, str):
        return ((metrics,),)
    if isinstance(metrics, Sequence) and metrics:
        if all(isinstance(item, str) for item in metrics):
            return (tuple(metrics),)
        groups = [(item,) if isinstance(item, str) else item for item in metrics]
        if all(isinstance(g, Sequence) and g and all(isinstance(m, str) for m in g) for g in groups):
            return tuple(tuple(group) for group in groups)
    message = f"metrics must be a name, a list of names or a list of such lists, found {metrics!r}"
    raise DefinitionError(message)


class VerifierFactory:
    """What `@verifier` makes of a test: call it, with parameters if it has any, to bind them."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, *samples: Any, **params: Any) -> Any:
        """The test with these parameters bound; with samples, what it says of them."""
        bound = BoundVerifier(self, params)
        return bound(*samples) if samples else bound

    def __reduce__(self) -> str | tuple[Any, ...]:
        return by_reference(self) or (VerifierFactory, (self.function,))


class BoundVerifier:
    """A test with its parameters."""

    def __init__(self, factory: VerifierFactory, params: Mapping[str, Any]) -> None:
        self.factory, self.params = factory, dict(params)
        self.__name__ = name_of(factory.function)

    def __call__(self, baseline: Samples, treatment: Samples) -> Any:
        return self.factory.function(baseline, treatment, **self.params)


def verifier(function: Callable[..., Any]) -> VerifierFactory:
    """Decorate a statistical test so that calling it binds its parameters.

    The function gets the samples of the baseline and of the treatment (a mapping of metric to values,
    aligned by replicate) as its first two arguments, and returns a mapping.

    Example:
        >>> @verifier
        ... def higher(baseline, treatment, *, by=0):
        ...     gain = sum(treatment["score"]) - sum(baseline["score"])
        ...     return {"gain": gain, "accepted": gain > by}
        >>> higher(by=1)({"score": [1, 2]}, {"score": [2, 3]})
        {'gain': 2, 'accepted': True}

    """
    return VerifierFactory(function)


def hypothesis(
    *,
    verifier: Callable[..., Any],
    metrics: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
    name: str | None = None,
    treatments: Sequence[str] | None = None,
) -> Callable[[Callable[[Any], Any]], Hypothesis]:
    """Decorate a ranker so that it becomes a hypothesis of that name."""

    def decorate(ranker: Callable[[Any], Any]) -> Hypothesis:
        return Hypothesis(verifier, metrics, ranker, name or name_of(ranker), treatments=treatments)

    return decorate
