"""One executor object for several runs, and runs in odd places: event loops, threads, steps."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from crystallize_core.testing.executors import steps
from crystallize_core.testing.executors.kit import TREATMENTS, Kit

__all__ = ["SharingChecks"]


class SharingChecks(Kit):
    """What belongs to a run is kept by the run, not by the executor; and a run works wherever it is started."""

    def test_two_runs_one_after_the_other(self) -> None:
        """The second run of an executor knows nothing of the first."""
        executor = self.executor(self.usual)
        first = self.study(steps.scale, steps.total, treatments=TREATMENTS, replicates=7)
        second = self.study(steps.later, steps.drawn_by_number, replicates=4)
        found = [experiment.run(executor=executor).digest for experiment in (first, second)]
        assert found == [experiment.run().digest for experiment in (first, second)]

    def test_two_runs_at_the_same_time(self) -> None:
        """One executor object may serve two threads; neither run sees anything of the other."""
        executor, together = self.executor(self.usual), threading.Barrier(2, timeout=self.timeout_seconds)
        both = [
            self.study(steps.scale, steps.later, steps.total, treatments=TREATMENTS, replicates=9),
            self.study(steps.later, steps.drawn_by_number, replicates=12),
        ]

        def run(place: int) -> str:
            together.wait()
            return both[place].run(executor=executor).digest

        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(run, range(2)))
        assert found == [experiment.run().digest for experiment in both]

    def test_a_run_in_another_thread(self) -> None:
        """Not only the main thread may run an experiment."""
        experiment = self.study(steps.scale, steps.later, steps.total, treatments=TREATMENTS)
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(self.run_there, experiment, self.fewest).result()
        assert found.digest == experiment.run().digest

    def test_a_run_inside_a_running_event_loop(self) -> None:
        """`run()` works where a loop runs already, as in a notebook, also with `async def` steps."""
        experiment = self.study(steps.scale, steps.later, steps.total, treatments=TREATMENTS)

        async def main() -> str:
            return self.run_there(experiment, self.fewest).digest

        assert asyncio.run(main()) == experiment.run().digest

    def test_a_run_that_is_awaited(self) -> None:
        """`await experiment.arun()` is the same, and leaves the loop free for others."""
        experiment = self.study(steps.scale, steps.later, steps.total, treatments=TREATMENTS, replicates=20)

        async def main() -> tuple[str, bool]:
            run = asyncio.ensure_future(experiment.arun(executor=self.executor(self.usual)))
            turns = 0
            while not run.done():
                await asyncio.sleep(0)
                turns += 1
            return (await run).digest, turns > 1

        assert asyncio.run(main()) == (experiment.run().digest, True)

    def test_the_folder_and_the_environment_of_the_caller_stay(self) -> None:
        """A run changes neither, whatever its workers need."""
        before = os.getcwd(), dict(os.environ)  # noqa: PTH109 - as text, like the environment
        self.run_there(self.study(steps.scale, steps.total), self.fewest)
        assert (os.getcwd(), dict(os.environ)) == before  # noqa: PTH109 - as above

    def test_an_experiment_inside_a_step(self) -> None:
        """A step may run an experiment of its own, with `async def` steps in it, in the middle of this one."""
        self.same(self.study(steps.experiments, steps.later, treatments=TREATMENTS[:1], replicates=4), self.fewest)

    def test_parallel_map_inside_a_step(self) -> None:
        """Work inside a step may be spread over threads of its own."""
        pytest.importorskip("crystallize_executors", reason="needs crystallize-executors for parallel_map")
        found = self.same(self.study(steps.maps, replicates=4), self.fewest)
        assert found.metrics.baseline["squares"] == [sum((n + k) ** 2 for k in range(3)) for n in range(4)]
