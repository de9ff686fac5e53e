"""A graph: steps that are found by the names of what they make, in an order that follows from it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from crystallize_core.signature import REQUIRED, name_of
from crystallize_core.skipping import asked_already, guards_of, lacks
from crystallize_core.state import ALL_KEYS
from crystallize_core.step import PipelineStep
from crystallize_core.wiring.calls import call_of
from crystallize_core.wiring.fills import Fill, WiredGuard, WiredStep, return_key
from crystallize_core.wiring.order import cycles_of, in_order, units_of
from crystallize_core.wiring.outputs import splitter
from crystallize_core.wiring.resolve import (
    Place,
    Sources,
    Unfilled,
    fills_of,
    guard_fills,
    known_after,
    suggestion,
    unfilled,
)
from crystallize_core.wiring.type_checks import checking_call
from crystallize_core.wiring.types import misfits

__all__ = ["GraphWiring"]


@attrs.frozen
class _Resolved:
    """A step whose parameters have their sources; `asks` has a condition, its fills, and whether they go by name."""

    step: PipelineStep
    name: str
    fills: tuple[Fill, ...]
    asks: tuple[tuple[Any, tuple[Fill, ...], bool], ...]

    @property
    def all_fills(self) -> Iterator[Fill]:
        yield from self.fills
        for _, fills, _ in self.asks:
            yield from fills

    @property
    def looks_in_all(self) -> bool:
        """Whether a condition names an entry, which may be in whatever was made before: it is asked last."""
        return any(fill.source == "entry" for fill in self.all_fills)


class GraphWiring:
    """Wires the steps of a graph and collects everything that is wrong with them.

    Args:
        steps: The steps in the order in which they were added.
        names: Their unique names.
        sources: Where values may come from besides the steps.
        check_types: Whether the calls of steps check what they pass against the annotations.

    Attributes:
        problems: What is wrong, one sentence each.

    """

    def __init__(
        self, steps: Sequence[PipelineStep], names: Sequence[str], sources: Sources, *, check_types: bool = False
    ) -> None:
        self.problems: list[str] = []
        self._check_types = check_types
        self._steps, self._names, self._sources = steps, names, sources
        self._makers = self._makers_of_assets()
        self._may_have_all = any(ALL_KEYS in keys for keys in sources.conditions.values())

    def wired(self) -> list[WiredStep]:
        """The steps in the order in which they run; without meaning where there are problems."""
        resolved = [self._resolved(number) for number in range(len(self._steps))]
        numbers = {name: number for number, name in enumerate(self._names)}
        waits_for = [
            {numbers[fill.maker] for fill in found.all_fills if fill.maker is not None} - {number}
            for number, found in enumerate(resolved)
        ]
        cycles = cycles_of(waits_for)
        self.problems += [self._around(cycle, resolved) for cycle in cycles]
        units = [[number] for number in range(len(resolved))]
        if not cycles:
            units = self._units(waits_for, {n for n, found in enumerate(resolved) if found.looks_in_all})
        order = [number for unit in units for number in unit]
        self._check_context([resolved[number] for number in order])
        self.problems += misfits(resolved)
        if self.problems:
            return []
        groups = self._group_names(units)
        shared = self._shared(resolved)
        needed = {fill.key for found in resolved for fill in found.all_fills}
        before: list[Hashable] = []
        wired = []
        for number in order:
            found = resolved[number]
            wired.append(self._compiled(found, shared, needed, tuple(before), groups.get(number)))
            before += found.step.outputs or [found.name]
        return wired

    # Who makes what -------------------------------------------------------------------------------

    def _makers_of_assets(self) -> dict[str, str]:
        """The names of the steps by the assets that they make."""
        makers: dict[str, str] = {}
        met: dict[int, str] = {}
        for step, name in zip(self._steps, self._names, strict=True):
            if step.is_named and id(step) in met:
                self.problems.append(f"step {met[id(step)]!r} was added twice; make a second step of the function")
                continue
            met[id(step)] = name
            for asset in step.outputs or (name,):
                if asset in makers:
                    self.problems.append(f"steps {makers[asset]!r} and {name!r} both make {asset!r}; rename one output")
                elif asset in self._sources.inputs:
                    self.problems.append(
                        f"step {name!r} makes {asset!r}, which is an input of the run as well; rename one of them"
                    )
                makers.setdefault(asset, name)
        self.problems += [
            f"step {name!r} has the name of an output of step {makers[name]!r}; rename one of them"
            for name in self._names
            if makers.get(name, name) != name
        ]
        return makers

    def _resolved(self, number: int) -> _Resolved:
        step, name = self._steps[number], self._names[number]
        previous = (self._steps[number - 1], self._names[number - 1]) if number else None
        place = Place(step, name, self._sources, self._makers, previous)
        fills = fills_of(place)
        if not step.signature.takes_extra:
            known = set(step.signature.order)
            self.problems += [
                f"step {name!r} declares the input {fill.key!r}, which no parameter of it can take; it takes: "
                f"{', '.join(step.signature.order) or 'nothing'}"
                for fill in fills
                if fill.parameter not in known
            ]
        asks = []
        for guard in step.guards:
            found, by_name = guard_fills(guard, place, fills)
            if not by_name and not self._may_have_all and (lacking := lacks(guard.predicate, len(fills))):
                self.problems.append(
                    f"step {name!r}: its condition {name_of(guard.predicate)!r} takes {lacking}, which are not all "
                    f"parameters of the step, outputs, inputs or context values; by position it would get {len(fills)}"
                )
            asks.append((guard, tuple(found), by_name))
        return _Resolved(step, name, tuple(fills), tuple(asks))

    # Order ----------------------------------------------------------------------------------------

    def _units(self, waits_for: list[set[int]], late: set[int]) -> list[list[int]]:
        groups = {n: step.execution_group for n, step in enumerate(self._steps) if step.execution_group is not None}
        return units_of(waits_for, groups, late) if groups else [[number] for number in in_order(waits_for, late)]

    def _group_names(self, units: list[list[int]]) -> dict[int, str]:
        """The unit that a step of an execution group runs in, such as `prepare_0`."""
        counts: Counter[str] = Counter()
        found = {}
        for unit in units:
            group = self._steps[unit[0]].execution_group
            if group is not None:
                found.update(dict.fromkeys(unit, f"{group}_{counts[group]}"))
                counts[group] += 1
        return found

    def _around(self, cycle: Sequence[int], resolved: Sequence[_Resolved]) -> str:
        """A cycle in words: who takes what from whom."""
        names = [self._names[number] for number in cycle]
        takes = []
        for maker, taker in itertools.pairwise(names):
            found = next(f for r in resolved if r.name == taker for f in r.all_fills if f.maker == maker)
            why = ", which was added before it" if found.source == "data" else ""
            takes.append(f"{taker!r} takes {found.parameter!r} from {maker!r}{why}")
        return f"steps wait for each other: {' -> '.join(names)} ({'; '.join(takes)})"

    # Checks ---------------------------------------------------------------------------------------

    def _check_context(self, ordered: Sequence[_Resolved]) -> None:
        """Report what can be neither in the context nor anywhere else when its step runs."""
        known: Mapping[str, frozenset[str]] = dict(self._sources.conditions)
        there = [*self._makers, *self._sources.inputs]
        for found in ordered:
            own = found.step.outputs or [found.name]
            for missing in Unfilled.among(found.name, found.fills):
                self.problems += unfilled(missing, known, there, own)
            self.problems += [
                f"step {found.name!r} declares the input {fill.place!r}, which nothing provides; "
                f"{suggestion(fill.place, known, there, own)} If it need not be there, leave it out of inputs"
                for fill in found.fills
                if fill.place in found.step.inputs and _is_nowhere(fill, known)
            ]
            known = known_after(found.step, known)

    # Compiling ------------------------------------------------------------------------------------

    def _shared(self, resolved: Sequence[_Resolved]) -> dict[Hashable, int]:
        """The keys of what several take, and of what is kept, of which each gets a copy; with how many steps take it."""
        uses = Counter(fill.key for found in resolved for fill in found.all_fills if _is_made(fill))
        if any(found.looks_in_all for found in resolved):
            uses.update(return_key(found.step, found.name) for found in resolved)
        takers = Counter(key for found in resolved for key in {fill.key for fill in found.fills if _is_made(fill)})
        # What only conditions look at besides has one taker: they are asked, and take nothing out of it.
        shared = {key: takers[key] or 1 for key, count in uses.items() if count > 1 or self._sources.retained}
        for found in resolved:
            whole = return_key(found.step, found.name)
            if len(found.step.outputs) > 1 and uses[whole]:  # the same values under two names
                shared = {key: takers[key] or 1 for key in (whole, *found.step.outputs)} | shared
        return shared

    def _compiled(
        self,
        found: _Resolved,
        shared: Mapping[Hashable, int],
        needed: Collection[Hashable],
        before: tuple[Hashable, ...],
        group: str | None,
    ) -> WiredStep:
        step, name = found.step, found.name
        extra = {fill.parameter for fill in found.fills} - set(step.signature.order)
        function = checking_call(step.function, name, found.fills) if self._check_types else step.function
        invoke = call_of(function, found.fills, step.signature.keyword_only | extra, shared)
        if guards_of(step.function):
            invoke = asked_already(invoke, step.function, awaits=step.is_async)
        asked = dict.fromkeys(shared, 1)
        guards = tuple(
            WiredGuard(
                fills := tuple(attrs.evolve(f, value=before) if f.source == "entry" else f for f in given),
                call_of(guard.predicate, fills, {f.parameter for f in fills} if by_name else (), asked),
                guard.wanted,
                guard.reason,
            )
            for guard, given, by_name in found.asks
        )
        waits_for = {fill.maker for fill in found.all_fills if fill.maker is not None}
        has_several = len(step.outputs) > 1
        whole = return_key(step, name)
        return WiredStep(
            step=step,
            name=name,
            fills=found.fills,
            invoke=invoke,
            guards=guards,
            waits_for=frozenset(waits_for),
            single=None if has_several else whole,
            split=splitter(name, step.outputs) if has_several else None,
            keeps_return=whole if has_several and (whole in needed or self._sources.retained) else None,
            takes_assets=True,
            group=group,
        )


def _is_nowhere(fill: Fill, known: Mapping[str, frozenset[str]]) -> bool:
    """Whether it can only be the default."""
    is_there = any(keys & {fill.place, ALL_KEYS} for keys in known.values())
    return fill.source == "context" and fill.value is not REQUIRED and not is_there


def _is_made(fill: Fill) -> bool:
    """Whether the value was made in this run, and not bound, in the context or the default."""
    return fill.source in ("output", "input", "data")
