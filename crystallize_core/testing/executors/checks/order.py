"""What a result has, it has in the order of conditions and replicates; and everything in it arrived once."""

from __future__ import annotations

from crystallize_core.context import Event
from crystallize_core.testing.executors import steps
from crystallize_core.testing.executors.kit import Kit
from crystallize_core.testing.executors.marks import marked, put_mark
from crystallize_core.treatment import Treatment

__all__ = ["OrderChecks"]

MEASURED = ("duration", "process", "told", "kind")
"""What events say of their run, and not of their cell."""


class OrderChecks(Kit):
    """Nothing is lost, nothing comes twice, and all of it has its place."""

    def test_every_replicate_runs_once(self, folder: str) -> None:
        """Of all replicates, each is started exactly once."""
        self.run_there(self.study(steps.counted, folder=folder, replicates=20))
        assert sorted(map(int, marked(folder, "started"))) == list(range(20))

    def test_metrics_are_in_the_order_of_replicates(self) -> None:
        """The columns, the rows and their tags."""
        found = self.once(self.recorded).found
        assert found.metrics.baseline.metrics == {
            "factor": [1] * 6,
            "total": [3 * n + 3 for n in range(6)],
            "root": [(3 * n + 3) ** 0.5 for n in range(6)],
        }
        assert found.metrics.treatments["double"]["total"] == [6 * n + 6 for n in range(6)]
        assert [(row.replicate, dict(row.tags)) for row in found.rows() if row.metric == "factor"][:6] == [
            (n, {"of": "baseline"}) for n in range(6)
        ]

    def test_artifacts_are_in_the_order_of_replicates(self) -> None:
        """By replicate and condition, each with what its own cell has written."""
        found = self.once(self.recorded).found
        assert [(a.replicate, a.condition, a.step, a.name, a.read()) for a in found.artifacts] == [
            (n, condition, "total", "total.txt", str(by * (3 * n + 3)).encode())
            for n in range(6)
            for condition, by in (("baseline", 1), ("double", 2), ("ten", 10))
        ]

    def test_events_travel_with_the_outcome(self) -> None:
        """Those of a replicate arrive together, in the order of its conditions and steps, each once."""
        recorded = self.once(self.recorded)
        plain, there = recorded.heard_plain, recorded.heard
        assert len(there.events) == len(plain.events)
        for replicate in (*range(6), None):
            assert of_replicate(there.events, replicate) == of_replicate(plain.events, replicate)
        together = [event.replicate for event in there.events if event.replicate is not None]
        assert [n for n, before in zip(together, [None, *together], strict=False) if n != before] == list(
            dict.fromkeys(together)
        )

    def test_provenance_is_that_of_the_plain_loop(self) -> None:
        """The records of the steps of every cell, where all are asked for."""
        recorded = self.once(self.recorded)
        plain, found = recorded.plain.provenance, recorded.found.provenance
        assert {c: list(cells) for c, cells in found.items()} == {c: list(cells) for c, cells in plain.items()}
        assert [[r["step"] for r in cell] for cell in found["double"].values()] == [["scale", "total"]] * 6

    def test_a_stream_gives_replicates_in_order(self) -> None:
        """Whatever the order in which they arrive."""
        experiment = self.study(steps.scale, steps.total, treatments=[Treatment("double", {"factor": 2})])
        stream = experiment.stream(executor=self.executor(self.usual))
        outcomes = list(stream)
        assert [outcome.replicate for outcome in outcomes] == list(range(6))
        assert stream.result.digest == experiment.run().digest

    def test_outcomes_are_delivered_as_they_complete(self, folder: str) -> None:
        """A reader of `experiment.stream()` has the first replicate while others still run: they wait for the reader."""
        experiment = self.study(steps.waits_for_the_reader, replicates=3, folder=folder, patience=self.patience_seconds)
        with experiment.stream(executor=self.executor(self.usual)) as stream:
            assert next(stream).replicate == 0
            put_mark(folder, "read", 0)
            rest = list(stream)
        assert [(outcome.replicate, outcome.failed) for outcome in rest] == [(1, False), (2, False)], (
            f"the first outcome did not arrive within {self.patience_seconds} s: "
            f"call replicate_fn.deliver(outcome) as each outcome comes back, not at the end"
        )

    def test_one_replicate(self) -> None:
        """A run of one replicate, with more workers than there is to do."""
        self.same(self.study(steps.scale, steps.total, replicates=1), max(self.workers))


def of_replicate(events: list[Event], replicate: int | None) -> list[tuple[object, ...]]:
    """What was said of one replicate, without what is measured."""
    return [
        (event.name, event.condition, event.step, {k: v for k, v in event.payload.items() if k not in MEASURED})
        for event in events
        if event.replicate == replicate
    ]
