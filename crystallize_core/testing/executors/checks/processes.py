"""Workers that die, that hang, and that have other versions than the coordinator."""

from __future__ import annotations

import os

import attrs
import pytest

from crystallize_core.errors import StackMismatchError, StepError, WorkerError
from crystallize_core.stack.attached import Stack
from crystallize_core.testing.executors import steps
from crystallize_core.testing.executors.kit import Kit
from crystallize_core.testing.executors.marks import marked
from crystallize_core.testing.executors.plugins import Limits, Places

__all__ = ["ProcessChecks"]

APART = "its replicates have no processes of their own"


class ProcessChecks(Kit):
    """A worker process that is lost loses no more than it must."""

    def test_a_replicate_that_kills_its_worker_fails_alone(self) -> None:
        """With a `WorkerError` that has the address of the cell; all others have their outcomes."""
        self.only_for("process", because=APART)
        found = self.run_there(self.study(steps.dies, coordinator=os.getpid(), replicates=8))
        assert found.metrics.baseline["first"] == [0, 1, 3, 4, 5, 6, 7]
        (error,) = found.errors.values()
        assert isinstance(error, WorkerError)
        assert error.address == {"experiment": "study", "replicate": 2, "condition": "baseline"}

    def test_a_replicate_that_kills_its_worker_once_costs_at_most_itself(self, folder: str) -> None:
        """It is healed, or it fails with a `WorkerError`; all others have their outcomes."""
        self.only_for("process", because=APART)
        found = self.run_there(self.study(steps.dies_once, coordinator=os.getpid(), folder=folder, replicates=8))
        assert marked(folder, "died") == ["2"]
        lost = {error.address["replicate"] for error in found.errors.values() if isinstance(error, WorkerError)}
        assert lost <= {2}
        assert len(lost) == len(found.errors)
        assert found.metrics.baseline["first"] == [n for n in range(8) if n not in lost]

    def test_a_step_that_never_returns_is_ended_with_its_process(self) -> None:
        """The executor looks at the limits that policies announce: the cell fails with the error of its limit."""
        self.only_for("process", because=APART)
        if not self.ends_hanging_steps:
            pytest.skip("this executor does not say that it ends processes: set ends_hanging_steps = True if it does")
        found = self.run_there(self.study(steps.hangs, plugins=[Limits()]))
        assert found.metrics.baseline["first"] == [0, 1, 3, 4, 5]
        (error,) = found.errors.values()
        assert isinstance(error, StepError)
        assert error.address == {"experiment": "study", "replicate": 2, "condition": "baseline", "step": "hangs"}
        assert isinstance(error.__cause__, TimeoutError)
        assert str(error.__cause__) == "hangs took longer than 0.2 s"

    @pytest.mark.parametrize("distribution", ["crystallize-core", "no-such-distribution"])
    def test_a_worker_with_another_stack_gets_no_work(self, distribution: str, folder: str) -> None:
        """What is installed in the worker is not what the recipe says: refused with the difference, before a step runs."""
        self.only_for("process", because="workers in the process of the coordinator have its stack")
        experiment = self.study(steps.counted, plugins=[Places(), self.executor(self.fewest)], folder=folder)
        claimed = [
            attrs.evolve(entry, distribution=distribution, version="0.0.0") if entry.name == "places" else entry
            for entry in experiment.stack
        ]
        experiment.attach(Stack(claimed))
        with pytest.raises(StackMismatchError) as caught:
            experiment.run()
        assert f"{distribution}: " in str(caught.value)
        assert "0.0.0 in the coordinator" in str(caught.value)
        assert marked(folder, "started") == []
