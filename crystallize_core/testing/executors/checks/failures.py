"""Failures have an address, keep their cause, and cost nothing but their own cell."""

from __future__ import annotations

import pytest

from crystallize_core.errors import DatasourceError, StepError, TreatmentError
from crystallize_core.result import Result
from crystallize_core.testing.executors import steps
from crystallize_core.testing.executors.kit import TREATMENTS, Kit
from crystallize_core.testing.executors.plugins import Streams
from crystallize_core.treatment import Treatment

__all__ = ["FailureChecks"]


class FailureChecks(Kit):
    """What fails, fails as in the plain loop."""

    def failed(self) -> Result:
        """A run in which one cell fails, compared with the plain loop."""
        return self.same(self.study(steps.scale, steps.fails, steps.total, treatments=TREATMENTS))

    def test_a_failure_has_its_address(self) -> None:
        """Experiment, replicate, condition and step; the other cells have their outcomes."""
        found = self.once(self.failed)
        assert list(found.errors) == ["double_rep_2"]
        error = found.errors["double_rep_2"]
        assert isinstance(error, StepError)
        assert error.address == {"experiment": "study", "replicate": 2, "condition": "double", "step": "fails"}
        assert found.metrics.treatments["double"]["total"] == [6 * n + 6 for n in range(6) if n != 2]
        assert found.metrics.treatments["ten"]["total"] == [30 * n + 30 for n in range(6)]

    def test_a_failure_keeps_its_causes(self) -> None:
        """What the step raised, and what that was raised from."""
        found = self.once(self.failed)
        cause = found.errors["double_rep_2"].__cause__
        assert (type(cause), str(cause)) == (ValueError, "not 4")
        assert cause is not None
        assert (type(cause.__cause__), str(cause.__cause__)) == (KeyError, "'the first reason'")

    def test_a_failed_step_leaves_no_trace(self) -> None:
        """What it had recorded before it failed is not in the result."""
        found = self.once(self.failed)
        assert found.metrics.treatments["double"]["before"] == [0, 2, 6, 8, 10]

    def failed_always(self) -> Result:
        """A run in which all cells fail, compared with the plain loop."""
        return self.same(self.study(steps.scale, steps.fails_always, treatments=TREATMENTS[:1]))

    def test_all_replicates_may_fail(self) -> None:
        """The run ends, with an error for each cell and no other."""
        found = self.once(self.failed_always)
        assert len(found.errors) == 12
        assert {type(error) for error in found.errors.values()} == {StepError}

    def test_errors_are_in_the_order_of_replicates(self) -> None:
        """By replicate, and within it by condition."""
        found = self.once(self.failed_always)
        assert list(found.errors) == [f"{c}_rep_{n}" for n in range(6) for c in ("baseline", "double")]

    @pytest.mark.parametrize("odd", steps.ODD_ERRORS)
    def test_an_exception_that_does_not_travel_fails_its_own_replicate(self, odd: str) -> None:
        """One that cannot be pickled, and one that cannot be read again: the words and the address arrive."""
        found = self.same(self.study(steps.fails_oddly, odd=odd), self.fewest)
        assert found.metrics.baseline["first"] == [0, 1, 3, 4, 5]
        (error,) = found.errors.values()
        assert isinstance(error, StepError)
        assert (error.replicate, error.condition, error.step) == (2, "baseline", "fails_oddly")

    def test_a_datasource_that_fails_costs_its_own_replicate(self) -> None:
        """With the address of the cell."""
        found = self.same(
            self.study(steps.scale, steps.total, source=steps.failing_source, treatments=TREATMENTS[:1]), self.fewest
        )
        assert list(found.errors) == ["baseline_rep_1", "double_rep_1"]
        assert {type(error) for error in found.errors.values()} == {DatasourceError}

    def test_a_treatment_that_fails_costs_its_own_cell(self) -> None:
        """The baseline of the same replicate is there."""
        treatment = Treatment("odd", steps.failing_treatment)
        found = self.same(self.study(steps.scale, steps.total, treatments=[treatment]), self.fewest)
        assert {name: type(error) for name, error in found.errors.items()} == {"odd_rep_1": TreatmentError}
        assert found.metrics.baseline["total"] == [3 * n + 3 for n in range(6)]

    def test_a_step_that_succeeds_at_the_second_attempt_leaves_one_trace(self) -> None:
        """Under `crystallize-retries`, the attempt that counts has the numbers that the first one had."""
        retries = pytest.importorskip("crystallize_retries", reason="needs crystallize-retries for steps that retry")
        plugins = [Streams(), retries.RetryPlugin(first_delay=0.0)]
        found = self.same(self.study(steps.unlucky, plugins=plugins, replicates=4), self.fewest)
        assert found.metrics.baseline["attempts"] == [2] * 4
        assert len(set(found.metrics.baseline["drawn"])) == 4

    def test_a_step_that_waits_for_ever_ends_at_its_timeout(self) -> None:
        """Under `crystallize-retries`, one hanging `async def` step fails its own replicate, and nothing else hangs."""
        retries = pytest.importorskip(
            "crystallize_retries", reason="needs crystallize-retries for steps with a timeout"
        )
        found = self.run_there(self.study(steps.waits_for_ever, plugins=[retries.RetryPlugin()], replicates=5))
        assert found.metrics.baseline["first"] == [0, 1, 3, 4]
        (error,) = found.errors.values()
        assert isinstance(error, StepError)
        assert isinstance(error.__cause__, TimeoutError)
        assert (error.replicate, error.step) == (2, "waits_for_ever")
