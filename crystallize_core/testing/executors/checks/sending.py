"""What cannot be sent to another process costs what it must and says what it was; and the executor itself can be sent."""

from __future__ import annotations

import copy
import pickle

import pytest

from crystallize_core.errors import NotSendableError, WorkerError
from crystallize_core.stack.options import values_of
from crystallize_core.testing.executors import steps
from crystallize_core.testing.executors.kit import TREATMENTS, Kit
from crystallize_core.testing.executors.marks import marked

__all__ = ["SendingChecks"]


class SendingChecks(Kit):
    """Where replicates run in other processes, everything has to get there and back."""

    @pytest.mark.parametrize("odd", steps.ODD_VALUES)
    def test_a_value_that_does_not_travel_fails_its_own_replicate(self, odd: str) -> None:
        """A metric that cannot be pickled, or not be read again: a `WorkerError` that says so; all others arrive."""
        self.only_for("process", because="values need not travel")
        found = self.run_there(self.study(steps.makes_odd, odd=odd), self.fewest)
        assert found.metrics.baseline["value"] == [0, 1, 3, 4, 5]
        (error,) = found.errors.values()
        assert isinstance(error, WorkerError)
        assert (error.replicate, error.condition) == (2, "baseline")
        assert {"stuck": "it stays here", "unreadable": "it cannot be read elsewhere"}[odd] in str(error)

    def test_a_value_that_does_not_travel_stays_where_nothing_is_sent(self) -> None:
        """Under `serial`, `thread` and `async` a metric may be anything."""
        self.only_for("serial", "thread", "async", because="values have to travel")
        found = self.run_there(self.study(steps.makes_odd, odd="stuck"))
        assert [type(value).__name__ for value in found.metrics.baseline["value"]] == [
            "int", "int", "Stuck", "int", "int", "int",
        ]  # fmt: skip

    def test_an_experiment_that_cannot_be_sent_is_refused(self, folder: str) -> None:
        """With the name of the part, and before anything runs."""
        self.only_for("process", because="experiments need not travel")
        with pytest.raises(NotSendableError) as caught:
            self.run_there(self.study(steps.scale, steps.Holds(), folder=folder))
        assert "step 'Holds': " in str(caught.value)
        assert caught.value.experiment == "study"
        assert marked(folder, "ran") == []

    def test_an_experiment_that_cannot_be_sent_runs_where_nothing_is_sent(self, folder: str) -> None:
        """Under `serial`, `thread` and `async` a step may hold what it likes."""
        self.only_for("serial", "thread", "async", because="experiments have to travel")
        found = self.run_there(self.study(steps.scale, steps.Holds(), folder=folder))
        assert (found.metrics.baseline["first"], found.errors) == (list(range(6)), {})

    @pytest.mark.parametrize("way", ["pickle", "deepcopy"])
    def test_the_executor_can_be_copied(self, way: str) -> None:
        """It travels to the workers as a part of the stack: a copy has the same options and gives the same result."""
        executor = self.executor(self.fewest)
        copied = pickle.loads(pickle.dumps(executor)) if way == "pickle" else copy.deepcopy(executor)  # noqa: S301 - our own bytes
        assert type(copied) is type(executor)
        assert values_of(copied) == values_of(executor)
        assert getattr(copied, "concurrency", None) == getattr(executor, "concurrency", None)
        experiment = self.study(steps.scale, steps.total, treatments=TREATMENTS)
        assert experiment.run(executor=copied).digest == experiment.run().digest
