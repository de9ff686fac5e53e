"""`ExecutorConformance`: the tests that every executor has to pass, put together."""

from __future__ import annotations

from crystallize_core.testing.executors.checks.digests import DigestChecks
from crystallize_core.testing.executors.checks.failures import FailureChecks
from crystallize_core.testing.executors.checks.hooks import HookChecks
from crystallize_core.testing.executors.checks.order import OrderChecks
from crystallize_core.testing.executors.checks.processes import ProcessChecks
from crystallize_core.testing.executors.checks.resuming import ResumingChecks
from crystallize_core.testing.executors.checks.scripts import ScriptChecks
from crystallize_core.testing.executors.checks.sending import SendingChecks
from crystallize_core.testing.executors.checks.sharing import SharingChecks
from crystallize_core.testing.executors.checks.sizes import SizeChecks
from crystallize_core.testing.executors.checks.stopping import StoppingChecks

__all__ = ["ExecutorConformance"]


class ExecutorConformance(
    DigestChecks,
    OrderChecks,
    HookChecks,
    FailureChecks,
    SendingChecks,
    ProcessChecks,
    StoppingChecks,
    ResumingChecks,
    SharingChecks,
    SizeChecks,
    ScriptChecks,
):
    """Tests for an executor: subclass it in a test module, and say how the executor is made.

    Example:
        class TestMine(ExecutorConformance):
            def executor(self, workers):
                return MyExecution(max_workers=workers)

    What the executor's attribute `concurrency` says decides about some of the tests; those that do not apply are skipped
    with the reason. The class has to be at the top of its module: some tests make the executor in a script.

    Attributes:
        workers: The numbers of workers to try; `(1,)` for an executor that has no more.
        tiny: How many replicates are many.
        huge_bytes: How large an experiment and an outcome are that are large.
        ahead: How many replicates a worker may have been given when a stop reaches it, each of which takes 50 ms.
        ends_hanging_steps: Whether the executor looks at announced limits, and ends the process of a step that is far
            beyond its own.
        keeps_workers: Whether threads and processes outlive a run on purpose.
        patience_seconds: How long something may take that happens at once on an idle machine.
        timeout_seconds: How long a script may take.

    """
