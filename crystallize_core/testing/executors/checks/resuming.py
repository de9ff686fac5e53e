"""Runs that take over what an earlier one had finished."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from crystallize_core.testing.executors import steps
from crystallize_core.testing.executors.kit import TREATMENTS, Kit
from crystallize_core.testing.executors.marks import marked
from crystallize_core.testing.executors.plugins import Hears, Knows

__all__ = ["ResumingChecks"]


class ResumingChecks(Kit):
    """An executor runs `replicate_fn.pending`, and nothing else."""

    def _resumed(self, known: Sequence[int], folder: str) -> tuple[list[int], Hears]:
        """The replicates that run where these are known, once the result was compared."""
        given = (steps.scale, steps.total)
        outcomes = list(self.study(*given, treatments=TREATMENTS).stream())
        heard = Hears()
        plugins = [Knows([outcomes[number] for number in known]), heard]
        found = self.run_there(self.study(*given, steps.counted, treatments=TREATMENTS, plugins=plugins, folder=folder))
        plain = self.study(*given, treatments=TREATMENTS).run()
        for name, condition in plain.metrics.conditions.items():
            assert found.metrics.conditions[name]["total"] == condition["total"]
        assert [a.digest for a in found.artifacts] == [a.digest for a in plain.artifacts]
        return sorted(map(int, marked(folder, "started")))[:: len(TREATMENTS) + 1], heard

    @pytest.mark.parametrize("known", [[0, 5], [1, 2, 4]], ids=str)
    def test_only_what_is_pending_runs(self, known: list[int], folder: str) -> None:
        """Replicates that a plugin knows from an earlier run are not run again, and the result has all."""
        ran, heard = self._resumed(known, folder)
        assert ran == [n for n in range(6) if n not in known]
        assert sorted(n for hook, n in heard.calls if hook == "replicate_done" and n is not None) == list(range(6))

    def test_nothing_runs_where_all_is_known(self, folder: str) -> None:
        """A run with nothing pending ends at once, with the whole result."""
        ran, _ = self._resumed(range(6), folder)
        assert ran == []

    def test_a_resumed_run_has_the_digest_of_a_whole_one(self) -> None:
        """As if it had never been interrupted."""
        given = (steps.scale, steps.fails, steps.total)
        outcomes = list(self.study(*given, treatments=TREATMENTS).stream())
        found = self.run_there(self.study(*given, treatments=TREATMENTS, plugins=[Knows(outcomes[1:4])]))
        plain = self.study(*given, treatments=TREATMENTS).run()
        assert (found.digest, list(found.errors)) == (plain.digest, list(plain.errors))
