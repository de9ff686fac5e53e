"""Many small replicates, and a few large ones."""

from __future__ import annotations

from crystallize_core.testing.executors import steps
from crystallize_core.testing.executors.kit import Kit

__all__ = ["SizeChecks"]


class SizeChecks(Kit):
    """Neither their number nor their size is a matter of principle."""

    def test_many_tiny_replicates(self) -> None:
        """As many as `tiny` says, each of which takes microseconds."""
        found = self.same(self.study(steps.tiny, source=steps.number, replicates=self.tiny))
        assert found.metrics.baseline["number"] == list(range(self.tiny))

    def test_a_few_huge_replicates(self) -> None:
        """An experiment and outcomes of `huge_bytes` each: more than fits into any pipe, in both directions."""
        ballast = bytes(self.huge_bytes)
        experiment = self.study(steps.huge, replicates=3, size=self.huge_bytes // 2, ballast=ballast)
        found = self.run_there(experiment)
        assert found.metrics.baseline["ballast"] == [self.huge_bytes] * 3
        assert [(len(value), value[0]) for value in found.metrics.baseline["huge"]] == [
            (self.huge_bytes // 2, n + 2) for n in range(3)
        ]
        assert [artifact.size for artifact in found.artifacts] == [self.huge_bytes // 2] * 3
        assert found.digest == experiment.run().digest
