"""`ParallelExecution`: threads or processes, chosen by one word."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import attrs

from crystallize_core import BasePlugin
from crystallize_core.option_checks import at_least_one, one_of, true_or_false
from crystallize_executors.processes import ProcessExecution
from crystallize_executors.threads import ThreadExecution

__all__ = ["ParallelExecution"]


@attrs.frozen
class ParallelExecution(BasePlugin):
    """Run replicates side by side, in threads or in processes.

    Args:
        max_workers: The number of workers; None for the number of cores that this process may use.
        executor_type: `"thread"` for steps that wait or compute outside Python, `"process"` for Python code.
        progress: Whether to say on stderr how far the run is.

    Raises:
        ValueError: An option has a value that it cannot have.

    """

    plugin_name: ClassVar[str | None] = "parallel"

    max_workers: int | None = attrs.field(default=None, validator=at_least_one)
    executor_type: Literal["thread", "process"] = attrs.field(default="thread", validator=one_of("thread", "process"))
    progress: bool = attrs.field(default=False, validator=true_or_false)

    @property
    def concurrency(self) -> str:  # type: ignore[override]  # fixed by executor_type
        """What the replicates share: `thread` or `process`."""
        return self.executor_type

    def step_workers(self, replicates: int) -> int:
        """How many steps of one cell may run side by side: as in `ThreadExecution`; in processes, one."""
        if self.executor_type == "process":
            return 1
        return ThreadExecution(max_workers=self.max_workers).step_workers(replicates)

    def run_experiment_loop(self, experiment: Any, replicate_fn: Any) -> list[Any]:
        """Run the pending replicates as `ThreadExecution` or `ProcessExecution` does."""
        kind = ThreadExecution if self.executor_type == "thread" else ProcessExecution
        return kind(max_workers=self.max_workers, progress=self.progress).run_experiment_loop(experiment, replicate_fn)
