"""Which hooks run where, and how often."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from crystallize_core.errors import HookError
from crystallize_core.testing.executors import steps
from crystallize_core.testing.executors.kit import Kit
from crystallize_core.testing.executors.plugins import Faulty, Fussy, Hears

__all__ = ["HookChecks"]


class HookChecks(Kit):
    """Plugins are called as the table of hooks says."""

    def _heard(self) -> Hears:
        return self.once(self.recorded).heard

    def test_hooks_of_a_cell_run_once_per_cell(self) -> None:
        """`before_replicate` and `after_replicate` are called once for each condition of each replicate."""
        heard = self._heard()
        cells = [(n, condition) for n in range(6) for condition in ("baseline", "double", "ten")]
        for name in ("cell.began", "cell.ended"):
            found = Counter((event.replicate, event.condition) for event in heard.events if event.name == name)
            assert found == Counter(cells)

    def test_cells_run_where_the_concurrency_says(self) -> None:
        """Under `process` in other processes, under `serial`, `thread` and `async` in that of the coordinator."""
        found = {event.payload["process"] for event in self._heard().events if event.name.startswith("cell.")}
        if self.kind == "process":
            assert os.getpid() not in found
        else:
            assert found == {os.getpid()}

    def test_a_process_of_its_own_runs_one_cell_at_a_time(self) -> None:
        """Under `serial` and `process`, a step has its process to itself."""
        self.only_for("serial", "process", because="its cells may share a process")
        found = self.run_there(self.study(steps.alone, replicates=20), max(self.workers))
        assert found.metrics.baseline["inside"] == [1] * 20

    def test_steps_see_how_they_are_run(self) -> None:
        """`ctx.run.concurrency` and the record have what the executor says of itself, and the record its name."""
        recorded = self.once(self.recorded)
        kinds = {event.payload["kind"] for event in recorded.heard.events if event.name == "cell.began"}
        assert kinds == {self.kind}
        assert recorded.found.run.info.concurrency == self.kind
        stack = self.study(steps.scale, plugins=[self.executor(self.usual)]).stack.executor
        assert stack is not None
        assert recorded.found.run.executor == stack.name

    def test_what_the_coordinator_shares_reaches_the_workers(self) -> None:
        """What a plugin puts into `run.shared` in `before_run` is in `ctx.run.shared` of every cell."""
        found = {event.payload["told"] for event in self._heard().events if event.name == "cell.began"}
        assert found == {f"from {os.getpid()}"}

    def test_replicate_done_is_called_once_per_replicate_in_the_coordinator(self) -> None:
        """One call at a time, in the process that called `run`."""
        heard = self._heard()
        assert sorted(n for hook, n in heard.calls if hook == "replicate_done" and n is not None) == list(range(6))
        assert (heard.processes, heard.overlaps) == ({os.getpid()}, 0)

    def test_the_run_begins_once_and_ends_once(self) -> None:
        """`before_run` comes before all replicates, `after_run` after all of them."""
        hooks = [hook for hook, _ in self._heard().calls]
        assert hooks == ["before_run", *["replicate_done"] * 6, "after_run"]

    def test_an_observer_that_fails_costs_the_run_nothing(self) -> None:
        """It is switched off in each worker, the result says so once, and is otherwise the same."""
        plain = self.study(steps.scale, steps.total).run()
        found = self.run_there(self.study(steps.scale, steps.total, plugins=[Faulty()]), self.fewest)
        assert (found.digest, found.errors) == (plain.digest, {})
        assert [(note.kind, note.plugin) for note in found.run.notes] == [("switched-off", "faulty")]
        assert "the observer has a fault" in found.run.notes[0].text

    def test_an_essential_plugin_that_fails_in_the_coordinator_ends_the_run(self) -> None:
        """The error has its address, its cause and the result so far, whatever the executor does with it."""
        with pytest.raises(HookError) as caught:
            self.run_there(self.study(steps.scale, steps.total, plugins=[Fussy()], replicates=50), self.fewest)
        assert (caught.value.plugin, caught.value.hook) == ("fussy", "replicate_done")
        assert isinstance(caught.value.__cause__, RuntimeError)
        assert caught.value.result.run.interrupted
