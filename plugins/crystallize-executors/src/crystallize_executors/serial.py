"""`SerialExecution`: one replicate after the other, in this thread."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

from crystallize_core import BasePlugin
from crystallize_core.option_checks import true_or_false
from crystallize_core.progress import Progress
from crystallize_executors.pending import PendingNumbers

__all__ = ["SerialExecution"]


@attrs.frozen
class SerialExecution(BasePlugin):
    """Run one replicate after the other in the thread that called `run`.

    Args:
        progress: Whether to say on stderr how far the run is.

    Raises:
        ValueError: An option has a value that it cannot have.

    """

    plugin_name: ClassVar[str | None] = "serial"
    concurrency = "serial"

    progress: bool = attrs.field(default=False, validator=true_or_false)

    def run_experiment_loop(self, experiment: Any, replicate_fn: Any) -> list[Any]:  # noqa: ARG002 - the hook's name
        """Run the pending replicates in the order of their numbers; each call delivers its own outcome."""
        with Progress(len(replicate_fn.pending), enabled=self.progress) as shown:
            for number in PendingNumbers(replicate_fn):
                replicate_fn(number)
                shown.advance()
        return []
