"""Scripts: what they define, another hash seed, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from crystallize_core.testing.executors import steps
from crystallize_core.testing.executors.alive import all_ended
from crystallize_core.testing.executors.kit import TREATMENTS, Kit
from crystallize_core.testing.executors.marks import marked, put_mark, wait_for_mark
from crystallize_core.testing.executors.plugins import Streams
from crystallize_core.testing.executors.scripts import start_script, written

__all__ = ["ScriptChecks"]

SEEDED = """
    if __name__ == "__main__":
        treatments = [Treatment("double", {"factor": 2}), Treatment("ten", {"factor": 10})]
        experiment = Experiment(
            steps.source, [steps.scale, steps.drawn, steps.total], [plugins.Streams(), executor()],
            name="study", treatments=treatments, replicates=6, autoload=False,
        )
        print(hash("a word"), experiment.run().digest)
"""
TYPED = """
    class Point:
        def __init__(self, x):
            self.x = x

    @pipeline_step()
    def shifted(data, ctx, by=1):
        return Point(data[0] + by)

    if __name__ == "__main__":
        given = [shifted(by=2), lambda data: (data, {"x": data.x})]
        experiment = Experiment(steps.source, given, replicates=5, autoload=False)
        found = experiment.run(executor=executor())
        print(found.metrics.baseline.metrics, found.errors, found.digest == experiment.run().digest)
"""
INTERRUPTED = """
    if __name__ == "__main__":
        experiment = Experiment(
            steps.source, [steps.interrupted], replicates=200, initial_ctx={"folder": "marks"}, autoload=False
        )
        try:
            experiment.run(executor=executor())
        except RunInterrupted as error:
            print("interrupted", error.result.run.interrupted, flush=True)
"""


class ScriptChecks(Kit):
    """The executor in processes of their own; it is made there by the `executor` of this class."""

    def _said(self, folder: Path, body: str, **environment: str) -> str:
        """What a script prints, once it has ended well."""
        process = start_script(written(type(self), folder, body, self.fewest), **environment)
        try:
            said, errors = process.communicate(timeout=self.timeout_seconds)
        finally:
            process.kill()
        assert process.returncode == 0, errors
        return said.strip()

    def test_the_hash_seed_makes_no_difference(self, tmp_path: Path) -> None:
        """The digest is the same whatever order sets of strings have: in two processes with two seeds, and here."""
        plugins = [Streams()]
        here = self.study(steps.scale, steps.drawn, steps.total, treatments=TREATMENTS, plugins=plugins).run().digest
        said = [self._said(tmp_path, SEEDED, PYTHONHASHSEED=seed).split() for seed in ("1", "2")]
        assert [digest for _, digest in said] == [here, here]
        assert said[0][0] != said[1][0]

    def test_what_a_script_defines_can_be_run(self, tmp_path: Path) -> None:
        """Functions and classes of a script, and a lambda, with the digest of the plain loop."""
        if self.kind == "process":
            pytest.importorskip("cloudpickle", reason="needs cloudpickle to send what a script defines")
        assert self._said(tmp_path, TYPED) == "{'x': [2, 3, 4, 5, 6]} {} True"

    @pytest.mark.skipif(os.name != "posix", reason="sends a signal to a group of processes")
    def test_ctrl_c_ends_the_run(self, tmp_path: Path, folder: str) -> None:
        """The run ends with `RunInterrupted` and its result, starts nothing more, and leaves no process behind."""
        process = start_script(written(type(self), tmp_path, INTERRUPTED, self.usual))
        try:
            ran = wait_for_mark(folder, "process", patience=self.timeout_seconds)
            if ran:
                os.killpg(process.pid, signal.SIGINT)
            put_mark(folder, "go", 0)  # what was in flight may end
            said, errors = process.communicate(timeout=self.timeout_seconds)
            left = all_ended(set(map(int, marked(folder, "process"))), process.pid, self.patience_seconds)
        finally:
            kill_group(process.pid)
            process.kill()
        assert ran, errors
        assert (said.splitlines()[-1:], process.returncode, left) == (["interrupted True"], 0, set()), errors
        assert len(marked(folder, "process")) <= self.usual * self.ahead


def kill_group(leader: int) -> None:
    """End whatever is left of a group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
