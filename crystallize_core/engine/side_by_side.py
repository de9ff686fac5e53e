"""The steps of one cell side by side, with the result that they have one after the other.

Outputs go to those who take them as soon as they are there. Everything else that a step wrote (metrics,
artifacts, events, context values) is committed in the order of the plan. A step that may look at what others
wrote waits until all before it are committed, so that it sees what it would see in sequence.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import attrs

from crystallize_core.additions import looks_at_state
from crystallize_core.engine.plan import Plan, PlannedStep
from crystallize_core.engine.step_run import Awaiting, StepRun, run_step
from crystallize_core.state import ALL_KEYS
from crystallize_core.wiring.resolve import known_after

if TYPE_CHECKING:
    from crystallize_core.engine.crew import Crew
    from crystallize_core.engine.graph import GraphCell

__all__ = ["side_by_side", "watchers"]


def watchers(plan: Plan) -> frozenset[str]:
    """The names of the steps that may look at what other steps wrote into the cell."""
    found = set()
    added: frozenset[str] = frozenset()
    for planned in plan.steps:
        step = planned.step
        filled = {f.place for f in planned.wired.all_fills if f.source == "context"}
        takes_all = any(fill.source in ("parameters", "entry") for fill in planned.wired.all_fills)
        asks_ctx = any(fill.source == "ctx" for guard in planned.wired.guards for fill in guard.fills)
        ctx_name = next((fill.parameter for fill in planned.wired.fills if fill.source == "ctx"), None)
        looks = ctx_name is not None and looks_at_state(step.function, ctx_name)
        if takes_all or asks_ctx or looks or added & filled or (filled and ALL_KEYS in added):
            found.add(planned.name)
        added |= known_after(step, {"": frozenset()})[""]
    return frozenset(found)


def side_by_side(cell: GraphCell, crew: Crew) -> Awaiting:
    """Run the steps of a cell by the crew, and commit them in the order of the plan."""
    work = _Work(cell)
    shift = crew.shift()
    try:
        while not work.is_done:
            for unit in work.ready():
                shift.start(unit, functools.partial(work.run_unit, unit))
            if work.settle():
                continue  # what was committed may let others begin
            unit, found = yield from shift.next_done()
            work.ended(unit, found)
    except BaseException as error:
        work.stop()
        shift.abandon()
        if not isinstance(error, GeneratorExit):  # then nobody is there any more to wait for anything
            yield from shift.until_gone()
        raise


@attrs.frozen(eq=False)
class _Layout:
    """What is the same for all cells of a plan.

    Attributes:
        units: The steps of one unit of an execution group together, all others on their own; in the order of the plan.
        places: The place in the plan of the first step of each unit.
        needs: How many steps each unit waits for.
        takers: The units that wait for a step, by its name.
        in_turn: The units that begin only when everything before them is committed: those that look at what others
            wrote, and those of several steps, which commit each of them themselves.

    """

    units: tuple[tuple[PlannedStep, ...], ...]
    places: tuple[int, ...]
    needs: tuple[int, ...]
    takers: Mapping[str, Iterable[int]]
    in_turn: frozenset[int]

    @classmethod
    def of(cls, plan: Plan) -> _Layout:
        """That of a plan, made once."""
        found = _layouts.get(plan)
        if found is None:
            found = _layouts[plan] = cls._made(plan)
        return found

    @classmethod
    def _made(cls, plan: Plan) -> _Layout:
        units = _units(plan.steps)
        looking = watchers(plan)
        places, needs, in_turn = [0], [], set()
        takers: dict[str, list[int]] = {}
        for number, unit in enumerate(units):
            names = frozenset[str]().union(*(planned.wired.waits_for for planned in unit))
            names -= {planned.name for planned in unit}
            needs.append(len(names))
            for name in names:
                takers.setdefault(name, []).append(number)
            if len(unit) > 1 or unit[0].name in looking:
                in_turn.add(number)
            places.append(places[-1] + len(unit))
        return cls(units, tuple(places[:-1]), tuple(needs), takers, frozenset(in_turn))


_layouts: Final[WeakKeyDictionary[Plan, _Layout]] = WeakKeyDictionary()
"""Those that were made, for as long as their plans are there."""


class _Work:
    """What is to be done in one cell: units of steps, each of which runs in one go.

    All of it belongs to the thread of the cell, but for `run_unit`, which runs wherever the crew runs it.
    """

    def __init__(self, cell: GraphCell) -> None:
        self._cell, self._plan = cell, cell.plan
        self._steps = cell.plan.steps
        self._layout = layout = _Layout.of(cell.plan)
        self._missing = list(layout.needs)
        self._free: list[int] = []
        self._held: dict[int, int] = {}
        self._ended: dict[str, StepRun | None] = {}
        self._settled: set[str] = set()
        self._committed = 0
        self._is_stopped = False
        for unit, count in enumerate(layout.needs):
            if not count:
                self._release(unit)

    @property
    def is_done(self) -> bool:
        """Whether every step is committed."""
        return self._committed == len(self._steps)

    def ready(self) -> list[int]:
        """The units that begin now. A step that is left out needs nobody to run it."""
        found = []
        while self._free:
            unit = heapq.heappop(self._free)
            first, *others = self._layout.units[unit]
            if not others and self._cell.fate_of(first) is not None:
                self._ended[first.name] = None
            else:
                found.append(unit)
        return found

    def run_unit(self, unit: int) -> Awaiting:
        """Run the steps of a unit; gives what a single step came to. Several are kept and committed here."""
        first, *others = self._layout.units[unit]
        cell = self._cell
        if not others:
            return (yield from run_step(self._plan, first, cell.state, cell.assets))
        for planned in (first, *others):
            done = None
            if cell.fate_of(planned) is None:
                done = yield from run_step(self._plan, planned, cell.state, cell.assets)
            if self._is_stopped:  # the cell has ended meanwhile, and nothing counts any more
                return None
            if done is not None:
                cell.keep(planned, done)
            self._commit(planned, done)
        return None

    def ended(self, unit: int, found: StepRun | None) -> None:
        """A unit has ended."""
        steps = self._layout.units[unit]
        if found is None:  # it was at it until now, and nothing else could be committed meanwhile
            self._advance(len(steps))
            for planned in steps:
                self._settle(planned.name)
            return
        (planned,) = steps
        self._cell.keep(planned, found)
        self._ended[planned.name] = found
        if found.error is None and found.skipped is None:  # what it made can be taken before it is committed
            self._settle(planned.name)

    def settle(self) -> bool:
        """Commit what can be committed; whether anything was."""
        before = self._committed
        while not self.is_done and (planned := self._steps[self._committed]).name in self._ended:
            self._commit(planned, self._ended[planned.name])
            self._advance(1)
            self._settle(planned.name)
        return self._committed > before

    def stop(self) -> None:
        """The cell has ended before its steps did."""
        self._is_stopped = True

    def _settle(self, name: str) -> None:
        """A step made what it makes, or is known to have made nothing."""
        if name in self._settled:
            return
        self._settled.add(name)
        for unit in self._layout.takers.get(name, ()):
            self._missing[unit] -= 1
            if not self._missing[unit]:
                self._release(unit)

    def _release(self, unit: int) -> None:
        """Nothing is missing any more that a unit takes."""
        place = self._layout.places[unit]
        if unit in self._layout.in_turn and self._committed < place:
            self._held[place] = unit
        else:
            heapq.heappush(self._free, unit)

    def _advance(self, count: int) -> None:
        """So many more steps are committed."""
        self._committed += count
        unit = self._held.pop(self._committed, None)
        if unit is not None:
            heapq.heappush(self._free, unit)

    def _commit(self, planned: PlannedStep, done: StepRun | None) -> None:
        cell = self._cell
        if done is None:
            cell.is_left_out(planned)
            return
        if cell.observer is not None:
            cell.observer.starts(planned, cell.state, cell.assets)
        cell.commit(planned, done)


def _units(steps: tuple[PlannedStep, ...]) -> tuple[tuple[PlannedStep, ...], ...]:
    """The steps of one unit of an execution group together, all others on their own; in the order of the plan."""
    found: list[list[PlannedStep]] = []
    for planned in steps:
        if found and planned.wired.group is not None and found[-1][0].wired.group == planned.wired.group:
            found[-1].append(planned)
        else:
            found.append([planned])
    return tuple(map(tuple, found))
