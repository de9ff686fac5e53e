"""A result as plain JSON values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from crystallize_core import errors
from crystallize_core.artifact import ArtifactList, ArtifactRecord, CellArtifact
from crystallize_core.errors import CrystallizeError, describe, safe_str
from crystallize_core.hypothesis import HypothesisResult
from crystallize_core.outcome import Note
from crystallize_core.record import PluginRecord, RunInfo, RunRecord
from crystallize_core.samples import ConditionMetrics, ExperimentMetrics
from crystallize_core.values import decode, encode

if TYPE_CHECKING:
    from crystallize_core.result import Result

__all__ = ["result_parts", "result_to_dict"]

FORMAT: Final = 1


def result_to_dict(result: Result) -> dict[str, Any]:
    """Everything that a result holds, as values that JSON has."""
    return {
        "format": FORMAT,
        "digest": result.digest,
        "run": _run_to_dict(result.run),
        "metrics": [_condition_to_dict(condition) for condition in result.metrics.conditions.values()],
        "hypotheses": [_hypothesis_to_dict(hypothesis) for hypothesis in result.metrics.hypotheses],
        "errors": {name: _error_to_dict(error) for name, error in result.errors.items()},
        "artifacts": [
            {"replicate": a.replicate, "condition": a.condition}
            | {"name": a.name, "step": a.step, "digest": a.digest, "size": a.size, "uri": a.uri}
            | ({} if a.signature is None else {"signature": a.signature})
            for a in result.artifacts
        ],
        "provenance": {
            condition: {str(number): [encode(dict(record)) for record in records] for number, records in found.items()}
            for condition, found in result.provenance.items()
        },
        "seeds": {
            condition: {str(number): encode(seed) for number, seed in found.items()}
            for condition, found in result.seeds.items()
        },
    }


def result_parts(data: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of the result that `result_to_dict` wrote.

    Raises:
        CrystallizeError: It is no such dictionary, or one of a newer format.

    """
    if not isinstance(data, Mapping) or "format" not in data:
        message = "this is not a result: it has no 'format'"
        raise CrystallizeError(message)
    if data["format"] != FORMAT:
        message = f"this result has format {data['format']!r}, and this version reads {FORMAT}: pip install -U crystallize-core"
        raise CrystallizeError(message)
    try:
        return _parts(data)
    except KeyError as error:
        message = f"this is not a result: it has no {error}"
        raise CrystallizeError(message) from error
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        message = f"this is not a result: {describe(error)}"
        raise CrystallizeError(message) from error


def _parts(data: Mapping[str, Any]) -> dict[str, Any]:
    baseline, *treatments = [_condition_from_dict(item) for item in data["metrics"]]
    hypotheses = [_hypothesis_from_dict(item) for item in data["hypotheses"]]
    return {
        "metrics": ExperimentMetrics(baseline, {c.condition: c for c in treatments}, hypotheses),
        "run": _run_from_dict(data["run"]),
        "errors": {name: _error_from_dict(item) for name, item in data["errors"].items()},
        "artifacts": ArtifactList(_artifact_from_dict(item) for item in data["artifacts"]),
        "provenance": {
            condition: {int(number): tuple(decode(record) for record in records) for number, records in found.items()}
            for condition, found in data["provenance"].items()
        },
        "seeds": {
            condition: {int(number): decode(seed) for number, seed in found.items()}
            for condition, found in data["seeds"].items()
        },
    }


def _artifact_from_dict(item: Mapping[str, Any]) -> CellArtifact:
    record = ArtifactRecord(
        item["name"], item["step"], item["digest"], item["size"], None, item["uri"], item.get("signature")
    )
    return CellArtifact(item["replicate"], item["condition"], record)


def _run_to_dict(run: RunRecord) -> dict[str, Any]:
    fields: dict[str, Any] = encode(
        {field.name: getattr(run, field.name) for field in attrs.fields(RunRecord)}
        | {
            "info": {field.name: getattr(run.info, field.name) for field in attrs.fields(RunInfo)},
            "stack": [attrs.asdict(plugin) for plugin in run.stack],
            "notes": [attrs.asdict(note) for note in run.notes],
        }
    )
    return fields


def _run_from_dict(data: Mapping[str, Any]) -> RunRecord:
    fields = dict(decode(data))
    fields["info"] = RunInfo(**fields["info"])
    fields["stack"] = tuple(PluginRecord(**plugin) for plugin in fields["stack"])
    fields["notes"] = [Note(**note) for note in fields["notes"]]
    return RunRecord(**fields)


def _condition_to_dict(condition: ConditionMetrics) -> dict[str, Any]:
    rows = [
        [row.replicate, row.metric, encode(row.value), encode(dict(row.tags)) if row.tags else None, row.failed]
        for row in condition.rows()
    ]
    return {"condition": condition.condition, "failed": list(condition.failed), "rows": rows}


def _condition_from_dict(data: Mapping[str, Any]) -> ConditionMetrics:
    condition = ConditionMetrics(data["condition"])
    for replicate, metric, value, tags, failed in data["rows"]:
        condition.restore(replicate, metric, decode(value), decode(tags), failed=failed)
    condition.restore_failed(data["failed"])
    return condition


def _hypothesis_to_dict(found: HypothesisResult) -> dict[str, Any]:
    return {
        "name": found.name,
        "results": encode(dict(found.results)),
        "ranking": encode(dict(found.ranking)),
        "errors": {name: _error_to_dict(error) for name, error in found.errors.items()},
        "replicates": dict(found.replicates),
    }


def _hypothesis_from_dict(data: Mapping[str, Any]) -> HypothesisResult:
    return HypothesisResult(
        name=data["name"],
        results=decode(data["results"]),
        ranking=decode(data["ranking"]),
        errors={name: _error_from_dict(item) for name, item in data["errors"].items()},
        replicates=data["replicates"],
    )


def _error_to_dict(error: BaseException) -> dict[str, Any]:
    cause = error.__cause__
    return {
        "type": type(error).__name__,
        "message": error.message if isinstance(error, CrystallizeError) else safe_str(error),
        "address": encode(error.address) if isinstance(error, CrystallizeError) else {},
        "cause": None if cause is None else {"type": type(cause).__qualname__, "message": safe_str(cause)},
    }


def _error_from_dict(data: Mapping[str, Any]) -> Exception:
    """An error of the same class where it is one of ours; what caused it remains as its name and text."""
    kind = getattr(errors, data["type"], None)
    error: Exception = errors.RemoteError(data["type"], data["message"])
    if isinstance(kind, type) and issubclass(kind, CrystallizeError):
        error = kind(data["message"], **decode(data["address"]))
    if data["cause"] is not None:
        error.__cause__ = errors.RemoteError(data["cause"]["type"], data["cause"]["message"])
    return error
