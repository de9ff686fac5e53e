"""Runs that end early: by a plugin, by the reader of a stream; and what a run leaves behind when it ends."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest

from crystallize_core.testing.executors import steps
from crystallize_core.testing.executors.alive import is_alive
from crystallize_core.testing.executors.kit import TREATMENTS, Kit
from crystallize_core.testing.executors.marks import PAUSE, marked
from crystallize_core.testing.executors.plugins import Enough, Hears, Places

__all__ = ["StoppingChecks"]

MANY = 200
"""More replicates than any executor has in flight."""


class StoppingChecks(Kit):
    """An executor looks at `replicate_fn.stopped` before it starts another replicate, and cleans up behind itself."""

    def _skip_where_workers_are_kept(self) -> None:
        if self.keeps_workers:
            pytest.skip("this executor says that its workers outlive a run: keeps_workers = True")

    def _most_started(self, counted: int) -> int:
        return counted + self.usual * self.ahead

    def test_a_plugin_that_has_enough_stops_the_run(self, folder: str) -> None:
        """No replicate is started after the stop, beyond what was in flight; the result ends where the plugin said."""
        plugins = [Enough(5)]
        experiment = self.study(steps.counted, steps.slow, plugins=plugins, replicates=MANY, folder=folder, quick=4)
        found = self.run_there(experiment)
        started = len(marked(folder, "started"))
        assert (found.run.stopped_at, found.metrics.baseline["first"]) == (4, [0, 1, 2, 3, 4])
        assert started <= self._most_started(5), (
            f"{started} of {MANY} replicates were started although the run was over after 5: "
            f"look at replicate_fn.stopped before each; see `ahead` of the kit"
        )

    def test_a_run_that_is_stopped_has_the_digest_of_the_plain_loop(self) -> None:
        """What was in flight, and arrives after the stop, does not count."""
        experiment = self.study(steps.scale, steps.total, plugins=[Enough(7)], treatments=TREATMENTS, replicates=30)
        assert self.same(experiment).run.stopped_at == 6

    def test_a_stream_that_is_left_stops_the_run(self, folder: str) -> None:
        """No replicate is started after the reader has gone, beyond what was in flight; what was finished is kept."""
        experiment = self.study(steps.counted, steps.slow, replicates=MANY, folder=folder, quick=2)
        with experiment.stream(executor=self.executor(self.usual)) as stream:
            for outcome in stream:
                if outcome.replicate == 2:
                    break
        started = len(marked(folder, "started"))
        assert stream.result.metrics.baseline["first"][:3] == [0, 1, 2]
        assert started <= self._most_started(3 + self.usual), (
            f"{started} of {MANY} replicates were started although the reader left after 3: "
            f"look at replicate_fn.stopped before each; see `ahead` of the kit"
        )

    def test_a_stream_that_is_left_has_no_hole(self) -> None:
        """What is kept of it are the first replicates, and the plugins hear of the end once."""
        heard = Hears()
        experiment = self.study(steps.scale, steps.total, plugins=[heard], replicates=40)
        with experiment.stream(executor=self.executor(self.usual)) as stream:
            read = [next(stream) for _ in range(3)]
        assert [outcome.replicate for outcome in read] == [0, 1, 2]
        assert stream.result.errors == {}
        assert [hook for hook, _ in heard.calls].count("after_run") == 1

    def test_no_thread_is_left_behind(self) -> None:
        """After a run there are no more threads than before."""
        self._skip_where_workers_are_kept()
        before = set(threading.enumerate())
        self.run_there(self.study(steps.scale, steps.later, steps.total, replicates=8))
        until = time.monotonic() + self.patience_seconds
        while (left := set(threading.enumerate()) - before) and time.monotonic() < until:
            time.sleep(PAUSE)
        assert {thread.name for thread in left} == set()

    def test_no_process_is_left_behind(self) -> None:
        """After a run the processes that ran its replicates have ended."""
        self.only_for("process", because="it starts no process")
        self._skip_where_workers_are_kept()
        heard = Hears()
        self.run_there(self.study(steps.scale, plugins=[Places(), heard], replicates=8))
        processes = {event.payload["process"] for event in heard.events if event.name == "cell.began"}
        until = time.monotonic() + self.patience_seconds
        while (left := set(filter(is_alive, processes))) and time.monotonic() < until:
            multiprocessing.active_children()  # which takes notice of those that have ended
            time.sleep(PAUSE)
        assert len(processes) > 0
        assert left == set()
