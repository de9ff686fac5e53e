"""The steps of one cell side by side, with the result that they have one after the other.

Outputs go to those who take them as soon as they are there. Everything else that a step wrote (metrics,
artifacts, events, context values) is committed in the order of the plan. A step that may look at what others
wrote waits until all before it are committed, so that it sees what it would see in sequence.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from crystallize_core.additions import looks_at_state
from crystallize_core.engine.step_run import Awaiting, StepRun, run_step
from crystallize_core.state import ALL_KEYS
from crystallize_core.wiring.resolve import known_after

if TYPE_CHECKING:
    from crystallize_core.engine.crew import Crew
    from crystallize_core.engine.graph import GraphCell
    from crystallize_core.engine.plan import Plan, PlannedStep

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
    except BaseException:
        shift.abandon()
        raise


class _Work:
    """What is to be done in one cell: units of steps, each of which runs in one go."""

    def __init__(self, cell: GraphCell) -> None:
        self._cell, self._plan = cell, cell.plan
        self._steps = cell.plan.steps
        self._watchers = watchers(cell.plan)
        self._place = {planned.name: at for at, planned in enumerate(self._steps)}
        self._units = _units(self._steps)
        self._open = dict.fromkeys(range(len(self._units)))
        self._ended: dict[str, StepRun | None] = {}
        self._committed = 0

    @property
    def is_done(self) -> bool:
        """Whether every step is committed."""
        return self._committed == len(self._steps)

    def ready(self) -> list[int]:
        """The units that begin now. A step that is left out needs nobody to run it."""
        found = []
        for unit in [unit for unit in self._open if self._can_begin(self._units[unit])]:
            del self._open[unit]
            first, *others = self._units[unit]
            if not others and self._cell.fate_of(first) is not None:
                self._ended[first.name] = None
            else:
                found.append(unit)
        return found

    def _can_begin(self, steps: list[PlannedStep]) -> bool:
        own = {planned.name for planned in steps}
        if not all(self._is_settled(name) for planned in steps for name in planned.wired.waits_for - own):
            return False
        # A unit of several steps commits each of them itself, so that all before it must be committed.
        waits = len(steps) > 1 or steps[0].name in self._watchers
        return not waits or self._committed >= self._place[steps[0].name]

    def _is_settled(self, name: str) -> bool:
        """Whether a step made what it makes, or is known to have made nothing."""
        done = self._ended.get(name)
        made = done is not None and done.error is None and done.skipped is None
        return made or self._place[name] < self._committed

    def run_unit(self, unit: int) -> Awaiting:
        """Run the steps of a unit, wherever the crew does that; gives what a single step came to."""
        first, *others = self._units[unit]
        cell = self._cell
        if not others:
            return (yield from run_step(self._plan, first, cell.state, cell.assets))
        for planned in (first, *others):
            done = None
            if cell.fate_of(planned) is None:
                done = yield from run_step(self._plan, planned, cell.state, cell.assets)
                cell.keep(planned, done)
            self._ended[planned.name] = done
            self._commit(planned, done)
        return None

    def ended(self, unit: int, found: StepRun | None) -> None:
        """A unit has ended."""
        if found is not None:
            (planned,) = self._units[unit]
            self._cell.keep(planned, found)
            self._ended[planned.name] = found

    def settle(self) -> bool:
        """Commit what can be committed; whether anything was."""
        before = self._committed
        while not self.is_done and (planned := self._steps[self._committed]).name in self._ended:
            if planned.wired.group is not None and self._is_among_others(planned):
                break  # its unit is at it
            self._commit(planned, self._ended[planned.name])
        return self._committed > before

    def _is_among_others(self, planned: PlannedStep) -> bool:
        return sum(other.wired.group == planned.wired.group for other in self._steps) > 1

    def _commit(self, planned: PlannedStep, done: StepRun | None) -> None:
        cell = self._cell
        if done is None:
            cell.is_left_out(planned)
        else:
            if cell.observer is not None:
                cell.observer.starts(planned, cell.state, cell.assets)
            cell.commit(planned, done)
        self._committed += 1


def _units(steps: tuple[PlannedStep, ...]) -> list[list[PlannedStep]]:
    """The steps of one unit of an execution group together, all others on their own; in the order of the plan."""
    found: list[list[PlannedStep]] = []
    for planned in steps:
        if found and planned.wired.group is not None and found[-1][0].wired.group == planned.wired.group:
            found[-1].append(planned)
        else:
            found.append([planned])
    return found
