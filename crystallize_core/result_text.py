"""A result as text: the table, the verdicts in words, and the tree of provenance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from crystallize_core.result import Result

__all__ = ["mean_and_spread", "provenance_tree", "summary", "table"]

SHOWN_ERRORS: Final = 5
LEVELS: Final = ("treatment", "replicate", "step", "action")


def mean_and_spread(values: Sequence[Any]) -> tuple[float, float] | None:
    """Mean and sample standard deviation (n - 1); None where not every value is a finite number."""
    try:
        numbers = [float(v) for v in values if isinstance(v, (int, float)) and math.isfinite(v)]
    except OverflowError:  # an int beyond all floats
        return None
    if not numbers or len(numbers) != len(values):
        return None
    mean = math.fsum(numbers) / len(numbers)
    if len(numbers) == 1:
        return mean, math.nan
    return mean, math.sqrt(math.fsum((x - mean) ** 2 for x in numbers) / (len(numbers) - 1))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, words: bool = False) -> list[str]:
    """Lines of text with columns as wide as their widest cell; all but the first are aligned right, unless they are words."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        aligned = [cell.ljust(width) if words else cell.rjust(width) for cell, width in others]
        return "  ".join([first[0].ljust(first[1]), *aligned]).rstrip()

    return [line(lines[0]), "  ".join("-" * width for width in widths), *(line(cells) for cells in lines[1:])]


def summary(result: Result) -> str:
    """What `print(result)` shows."""
    parts = [
        _headline(result),
        _metrics_table(result),
        _verdicts(result),
        _errors(result),
        [f"warning: {text}" for text in result.warnings],
        _origin(result),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _headline(result: Result) -> list[str]:
    run = result.run
    asked = run.info.replicates
    replicates = f"{run.finished}" if run.finished == asked else f"{run.finished} of {asked}"
    words = (
        f"{run.info.experiment}: {len(run.info.conditions)} conditions, {replicates} replicates, {run.duration:.2f} s"
    )
    if run.stopped_at is not None:
        words += " (stopped early)"
    return [words + (" (interrupted)" if run.interrupted else "")]


def _metrics_table(result: Result) -> list[str]:
    conditions = result.metrics.conditions
    names = list(dict.fromkeys(name for condition in conditions.values() for name in condition.names))
    if not names:
        return ["no metrics were recorded"]
    rows = [
        [condition.condition, *(_cell(condition[name]) if name in condition else "-" for name in names)]
        for condition in conditions.values()
    ]
    return table(["condition", *names], rows)


def _cell(values: Sequence[Any]) -> str:
    found = mean_and_spread(values)
    if found is None:
        return f"{len(values)} values"
    mean, spread = found
    return f"{mean:.4g}" if math.isnan(spread) else f"{mean:.4g} ± {spread:.2g}"


def _verdicts(result: Result) -> list[str]:
    lines = []
    for hypothesis in result.metrics.hypotheses:
        lines += [
            f"{hypothesis.name}: {treatment} against baseline: {hypothesis.in_words(treatment)}"
            for treatment in dict.fromkeys([*hypothesis.results, *(t for t in hypothesis.errors if t != "ranker")])
        ]
        if "ranker" in hypothesis.errors:
            lines.append(f"{hypothesis.name}: no ranking: {hypothesis.errors['ranker']}")
    return lines


def _errors(result: Result) -> list[str]:
    if not result.errors:
        return []
    shown = list(result.errors.values())[:SHOWN_ERRORS]
    lines = [f"{len(result.errors)} cells failed:", *(f"  {error}" for error in shown)]
    left = len(result.errors) - len(shown)
    return [*lines, f"  and {left} more in result.errors"] if left else lines


def _origin(result: Result) -> list[str]:
    run = result.run
    described = [
        f"{key}: {value}"
        for values in run.described.values()
        if isinstance(values, Mapping)
        for key, value in values.items()
        if key == "seed"
    ]
    names = {p.name: f"{p.name} ({p.instance_of})" if p.instance_of else p.name for p in run.stack}
    stack = ", ".join(f"{names[p.name]} {p.version}" if p.version else names[p.name] for p in run.stack) or "no plugins"
    return [
        *described,
        f"stack: {stack} (core {run.core_version}, Python {run.python})",
        *([f"lock: {run.lock_digest}"] if run.lock_digest is not None else []),
        f"digest: {result.digest}",
    ]


def provenance_tree(provenance: Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]], fmt: str) -> str:
    """The records as an indented tree.

    Raises:
        ValueError: `fmt` has an unknown level, or `action` before its end.

    """
    levels = [level.strip().lower() for level in fmt.split(">")]
    unknown = [level for level in levels if level not in LEVELS]
    if unknown or len(set(levels)) != len(levels) or "action" in levels[:-1]:
        message = f"fmt {fmt!r}: levels are {', '.join(LEVELS)}, each once, separated by '>', 'action' last"
        raise ValueError(message)
    rows = [
        {"treatment": condition, "replicate": replicate, "step": record["step"], "record": record}
        for condition, replicates in provenance.items()
        for replicate, records in replicates.items()
        for record in records
    ]
    lines: list[str] = []
    _grow(lines, rows, levels, 0)
    return "\n".join(lines) if lines else "no provenance was kept"


def _grow(lines: list[str], rows: Sequence[Mapping[str, Any]], levels: Sequence[str], depth: int) -> None:
    indent = "  " * depth
    if depth == len(levels):
        return
    level = levels[depth]
    if level == "action":
        lines += [f"{indent}{line}" for row in rows for line in _actions(row["record"])]
        return
    for value in dict.fromkeys(row[level] for row in rows):
        chosen = [row for row in rows if row[level] == value]
        lines.append(f"{indent}{level} {value}" + (_outcome(chosen[0]["record"]) if level == "step" else ""))
        _grow(lines, chosen, levels, depth + 1)


def _outcome(record: Mapping[str, Any]) -> str:
    if "error" in record:
        return f"  failed: {record['error']}"
    return f"  {record['duration_seconds'] * 1e3:.3g} ms" + ("  (cached)" if record["cache_hit"] else "")


def _actions(record: Mapping[str, Any]) -> list[str]:
    changes = record["ctx_changes"]
    return [
        *(f"reads {key} = {value!r}" for key, value in changes["reads"].items()),
        *(f"writes {key} = {change['after']!r}" for key, change in changes["wrote"].items()),
        *(f"records {name}: {change['before']} -> {change['after']}" for name, change in changes["metrics"].items()),
    ]
