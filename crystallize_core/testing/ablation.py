"""`ablate`: the proof that an observer changes nothing, by running an experiment with it and without it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs

from crystallize_core.errors import DefinitionError, PluginError, did_you_mean
from crystallize_core.experiment import Experiment
from crystallize_core.result import Result
from crystallize_core.stack.attached import ActivePlugin, Stack
from crystallize_core.values import value_digest

__all__ = ["Ablation", "WithoutPlugin", "ablate", "differences"]

MOST_DIFFERENCES: Final = 10


@attrs.frozen
class WithoutPlugin:
    """The run without one observer.

    Attributes:
        plugin: The name of the observer.
        distribution: Where it comes from; None for a local one.
        digest: The digest of the result without it.
        differences: Where the two results differ, the first ones in the order of the result.
        switched_off: What it failed with where it was there, so that its absence proves little; None if it did not.

    """

    plugin: str
    distribution: str | None
    digest: str
    differences: tuple[str, ...] = ()
    switched_off: str | None = None


@attrs.frozen
class Ablation:
    """What became of an experiment without its observers.

    Attributes:
        experiment: The name of the experiment.
        digest: The digest of the result with all plugins.
        without: One entry for each observer that was left out, in the order of the stack.

    """

    experiment: str
    digest: str
    without: tuple[WithoutPlugin, ...]

    @property
    def same(self) -> bool:
        """Whether leaving out an observer never changed the digest."""
        return all(entry.digest == self.digest for entry in self.without)

    def check(self) -> None:
        """Refuse observers that change the result.

        Raises:
            AssertionError: There is one; the message has what differs first.

        """
        if not self.same:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        lines = [f"experiment {self.experiment!r}, with all plugins: digest {self.digest}"]
        for entry in self.without:
            verdict = "the same" if entry.digest == self.digest else f"digest {entry.digest}"
            lines.append(f"without {entry.plugin!r} ({entry.distribution or 'local'}): {verdict}")
            lines += [f"  {difference}" for difference in entry.differences]
            lines += [] if entry.switched_off is None else [f"  but it proves little: {entry.switched_off}"]
        return "\n".join(lines)


def ablate(experiment: Experiment, plugin: str | type | None = None, *, replicates: int | None = None) -> Ablation:
    """Run an experiment with all its plugins and without an observer, and compare the digests.

    Args:
        experiment: What is run; its steps run once for all plugins, once more to see that it repeats itself, and once
            for each observer that is left out.
        plugin: The observer by name or by class; default each observer in turn.
        replicates: How many, instead of those of the experiment.

    Returns:
        The digests and what differs; `check()` of it raises where something does.

    Raises:
        PluginError: There is no such plugin in the stack, or it is essential and may change the result.
        DefinitionError: Two runs of the experiment as it is differ already, so that nothing can be compared.

    """
    chosen = _chosen(experiment, plugin)
    whole = experiment.run(replicates=replicates)
    again = _with(experiment, list(experiment.stack)).run(replicates=replicates)
    _refuse_unrepeatable(experiment, whole, again)
    found = []
    for entry in chosen:
        rest = _with(experiment, [other for other in experiment.stack if other is not entry])
        found.append(_compared(entry, whole, rest.run(replicates=replicates)))
    return Ablation(experiment.name, whole.digest, tuple(found))


def _compared(entry: ActivePlugin, whole: Result, rest: Result) -> WithoutPlugin:
    owner = None if entry.distribution is None else f"{entry.distribution} {entry.version}"
    off = [note.text for note in whole.run.notes if note.kind == "switched-off" and note.plugin == entry.name]
    found = () if rest.digest == whole.digest else differences(whole, rest, f"with {entry.name!r}", "without it")
    return WithoutPlugin(entry.name, owner, rest.digest, tuple(found), off[0] if off else None)


def _with(experiment: Experiment, plugins: list[ActivePlugin]) -> Experiment:
    derived = copy.copy(experiment)
    derived.attach(Stack(plugins, experiment.stack.skipped, experiment.stack.disabled))
    return derived


def _chosen(experiment: Experiment, plugin: str | type | None) -> list[ActivePlugin]:
    observers = [entry for entry in experiment.stack if not entry.essential and not entry.is_executor]
    if plugin is None:
        return observers
    found = [
        e for e in experiment.stack if plugin == e.name or (isinstance(plugin, type) and isinstance(e.plugin, plugin))
    ]
    if not found:
        wanted = plugin if isinstance(plugin, str) else plugin.__qualname__
        hint = did_you_mean(wanted, [entry.name for entry in experiment.stack], listing="the stack has")
        message = f"there is no plugin {wanted!r} in the stack of {experiment.title}; {hint}"
        raise PluginError(message, plugin=wanted)
    entry = found[0]
    if entry not in observers:
        message = (
            f"plugin {entry.name!r} is essential and may change the result; only an observer (essential = False) "
            f"promises that it does not"
        )
        raise PluginError(message, distribution=entry.distribution, plugin=entry.name)
    return [entry]


def _refuse_unrepeatable(experiment: Experiment, first: Result, second: Result) -> None:
    if first.digest == second.digest:
        return
    lines = "".join(f"\n  {line}" for line in differences(first, second, "the first run", "the second run"))
    message = (
        f"two runs of {experiment.title} with the same plugins differ, so that nothing can be said of one plugin; "
        f"seed what is random, such as by SeedPlugin(seed=7):{lines}"
    )
    raise DefinitionError(message, experiment=experiment.name)


# What differs -------------------------------------------------------------------------------------------


def differences(one: Result, other: Result, first: str = "one", second: str = "the other") -> list[str]:
    """Where two results differ, in words: the first ones in the order of replicates and conditions.

    Args:
        one, other: The results.
        first, second: What they are called.

    """
    found = list(itertools.islice(_differences(one, other, first, second), MOST_DIFFERENCES + 1))
    return [*found[:MOST_DIFFERENCES], "and more"] if len(found) > MOST_DIFFERENCES else found


def _differences(one: Result, other: Result, first: str, second: str) -> Iterator[str]:
    for parts in (_errors, _metrics, _artifacts, _verdicts):
        here, there = parts(one), parts(other)
        for key in sorted(here.keys() | there.keys(), key=_place):
            mine, theirs = here.get(key, _ABSENT), there.get(key, _ABSENT)
            if mine[1] != theirs[1]:
                yield f"{_named(key)}: {mine[0]} {first}, {theirs[0]} {second}"


_ABSENT: Final = ("nothing", "")
_Key = tuple[int, str, str]
_Parts = dict[_Key, tuple[str, str]]


def _place(key: _Key) -> tuple[Any, ...]:
    return key


def _named(key: _Key) -> str:
    replicate, condition, what = key
    return what if replicate < 0 else f"replicate {replicate}, condition {condition!r}, {what}"


def _errors(result: Result) -> _Parts:
    found = {}
    for cell, error in result.errors.items():
        condition, _, number = cell.rpartition("_rep_")
        found[int(number), condition, "error"] = (str(error), "failed")  # that it failed counts, and not in which words
    return found


def _metrics(result: Result) -> _Parts:
    columns: dict[_Key, list[Any]] = {}
    for row in result.rows():
        columns.setdefault((row.replicate, row.condition, f"metric {row.metric!r}"), []).append(row)
    return {key: (_values(rows), _digest(rows)) for key, rows in columns.items()}


def _values(rows: Sequence[Any]) -> str:
    values = [row.value for row in rows]
    return _short(values[0] if len(values) == 1 else values)


def _digest(rows: Sequence[Any]) -> str:
    return repr([(value_digest(r.value), {k: value_digest(v) for k, v in r.tags.items()}, r.failed) for r in rows])


def _artifacts(result: Result) -> _Parts:
    return {
        (a.replicate, a.condition, f"artifact {a.name!r} of step {a.step!r}"): (a.digest[:12], a.digest)
        for a in result.artifacts
    }


def _verdicts(result: Result) -> _Parts:
    return {
        (-1, "", f"hypothesis {h.name!r}"): (
            _short(dict(h.results)),
            repr({name: value_digest(verdict) for name, verdict in h.results.items()}) + value_digest(dict(h.ranking)),
        )
        for h in result.metrics.hypotheses
    }


def _short(value: Any, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
