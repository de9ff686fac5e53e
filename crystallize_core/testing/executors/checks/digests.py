"""The same inputs give the same bytes, whatever runs them."""

from __future__ import annotations

import random
import sys

import pytest

from crystallize_core.hypothesis import Hypothesis
from crystallize_core.testing.executors import steps
from crystallize_core.testing.executors.kit import TREATMENTS, Kit
from crystallize_core.testing.executors.marks import marked
from crystallize_core.testing.executors.plugins import Streams
from crystallize_core.treatment import Treatment

__all__ = ["DigestChecks"]


class DigestChecks(Kit):
    """The result is that of the plain loop."""

    def test_pure_python_has_the_digest_of_the_plain_loop(self, workers: int) -> None:
        """Metrics with tags, artifacts and several treatments: the same result for any number of workers."""
        experiment = self.study(steps.scale, steps.Twice, steps.total, treatments=TREATMENTS)
        found = self.same(experiment, workers)
        assert found.metrics.treatments["ten"]["factor"] == [10] * 6
        assert found.errors == {}

    def test_random_streams_have_the_digest_of_the_plain_loop(self, workers: int) -> None:
        """What a step draws from `ctx.rng` depends on its cell, and not on who runs it and in which order."""
        experiment = self.study(steps.drawn, steps.total, plugins=[Streams()], treatments=TREATMENTS, replicates=8)
        found = self.same(experiment, workers)
        assert len({tuple(values) for values in found.metrics.baseline["drawn"]}) == 8

    def test_random_numbers_without_a_plugin_have_the_digest_of_the_plain_loop(self) -> None:
        """A generator that a step makes from the number of its replicate gives the same numbers everywhere."""
        self.same(self.study(steps.drawn_by_number, treatments=TREATMENTS), self.fewest)

    def test_the_streams_of_the_seed_plugin_have_the_digest_of_the_plain_loop(self) -> None:
        """`crystallize-seeding` gives the same streams, and the same seeds are in the record."""
        seeding = pytest.importorskip("crystallize_seeding", reason="needs crystallize-seeding for real seeds")
        experiment = self.study(steps.drawn, plugins=[seeding.SeedPlugin(seed=7)], treatments=TREATMENTS)
        found = self.same(experiment)
        assert {condition: len(seeds) for condition, seeds in found.seeds.items()} == {
            "baseline": 6,
            "double": 6,
            "ten": 6,
        }

    def test_the_global_generator_has_the_digest_of_the_plain_loop(self) -> None:
        """Where a process runs one cell at a time, even `random.random()` gives the same numbers."""
        self.only_for("serial", "process", because="the global generator is shared by the cells that run at once")
        seeding = pytest.importorskip("crystallize_seeding", reason="needs crystallize-seeding for seeded generators")
        experiment = self.study(steps.drawn_globally, plugins=[seeding.SeedPlugin(seed=7)], treatments=TREATMENTS)
        self.same(experiment)

    def test_the_generator_of_the_caller_is_left_as_it_was(self) -> None:
        """A run without a plugin that seeds takes no number from the global generator of its caller."""
        before = random.getstate()
        self.run_there(self.study(steps.scale, steps.total), self.fewest)
        assert random.getstate() == before

    def test_verdicts_and_rankings_are_those_of_the_plain_loop(self) -> None:
        """Samples reach the verifiers in the order of replicates, for every treatment and every hypothesis."""
        claims = [
            Hypothesis(steps.higher, "total", name="any"),
            Hypothesis(steps.higher, "total", steps.by_gain, "gain"),
        ]
        found = self.same(self.study(steps.scale, steps.total, treatments=TREATMENTS, hypotheses=claims))
        assert [claim.ranking["best"] for claim in found.metrics.hypotheses] == ["ten", "ten"]

    def test_async_steps_beside_plain_ones_have_the_digest_of_the_plain_loop(self) -> None:
        """A step may be `def` or `async def`, in one pipeline."""
        experiment = self.study(steps.scale, steps.later, steps.total, steps.later, treatments=TREATMENTS)
        self.same(experiment)

    def test_steps_that_are_wired_by_name_have_the_digest_of_the_plain_loop(self) -> None:
        """A graph of steps, whether or not some of them run side by side."""
        experiment = self.study(
            steps.span, steps.high, steps.low, replicates=4, treatments=[Treatment("other", {"x": 1})]
        )
        assert self.same(experiment).metrics.baseline["span"] == [2, 2, 2, 2]

    def test_a_warm_cache_has_the_digest_of_a_cold_one(self) -> None:
        """Outputs that any worker has kept are found by any other."""
        experiment = self.study(steps.cached, steps.total, replicates=4)
        cold = self.run_there(experiment, self.fewest)
        warm = self.run_there(experiment)
        assert warm.digest == cold.digest == experiment.run().digest

    def test_replicates_that_finish_in_another_order_have_the_digest_of_the_plain_loop(self, folder: str) -> None:
        """The order of completion is nothing that a result could show: every other replicate waits for the next one."""
        self.only_for("thread", "async", "process", because="its replicates cannot wait for each other")
        if max(self.workers) == 1:
            pytest.skip("with one worker, replicates cannot wait for each other; `workers` of the kit has only 1")
        pair = [steps.scale, steps.waits_for_the_next, steps.total, steps.done]
        experiment = self.study(*pair, treatments=TREATMENTS[:1], folder=folder, patience=3.0)
        found = self.run_there(experiment)
        expected = self.study(*pair, treatments=TREATMENTS[:1], folder=folder, patience=0.0).run()
        assert list(found.rows()) == list(expected.rows())
        assert found.digest == expected.digest
        if marked(folder, "apart") and not marked(folder, "shuffled"):
            pytest.skip("the replicates of this executor did not overlap, so that they finished in their order")

    def test_what_a_step_does_to_its_process_is_not_in_the_result(
        self, folder: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The folder, the environment and the recursion limit may change under the executor's feet."""
        monkeypatch.setenv("CONFORMANCE_OF", "nothing yet")  # and is put back after the test, like the folder
        limit = sys.getrecursionlimit()
        try:
            self.same(self.study(steps.changes_the_process, steps.scale, steps.total, folder=folder), self.fewest)
        finally:
            sys.setrecursionlimit(limit)
