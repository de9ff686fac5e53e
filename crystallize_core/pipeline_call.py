"""What goes together in a call that runs a pipeline, and what does not."""

from __future__ import annotations

from typing import Any

from crystallize_core.errors import DefinitionError

__all__ = ["refuse_idle", "refuse_mixed", "refuse_named"]


def refuse_mixed(pipeline: str, ctx: Any, rep: Any, condition: Any, provenance: Any, experiment: Any) -> None:
    """Refuse, in a run without data, what goes with data.

    Raises:
        DefinitionError: All of it.

    """
    given = {
        "ctx": ctx,
        "rep": rep,
        "condition": condition,
        "return_provenance": provenance or None,
        "experiment": experiment,
    }
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        message = (
            f"pipeline {pipeline!r} is run without data, which does not go with {'=, '.join(wrong)}=; write "
            f"run(data, ctx, ...), or give a run without data inputs= and context="
        )
        raise DefinitionError(message)


def refuse_named(pipeline: str, *values: Any) -> None:
    """Refuse, in a run with data, what goes with inputs by name; the values come in the order of `run`.

    Raises:
        DefinitionError: All of it.

    """
    names = ("inputs", "context", "debug", "resume", "raise_on_error", "executor")
    wrong = [name for name, value in zip(names, values, strict=True) if value not in (None, False)]
    if wrong:
        message = (
            f"pipeline {pipeline!r} is run with data, which does not go with {'=, '.join(wrong)}=; write "
            f"run(inputs={{'data': ...}}, ...) to give it the data by name"
        )
        raise DefinitionError(message)


def refuse_idle(pipeline: str, executor: Any) -> None:
    """Refuse an executor that was asked for and would run the steps one after the other all the same.

    Raises:
        DefinitionError: It is one of them.

    """
    from crystallize_core.stack.resolve import resolve  # noqa: PLC0415 - not for the workers of an experiment

    active = None if executor is None else resolve(executor=executor).executor
    found = "serial" if active is None else getattr(active.plugin, "concurrency", None) or "process"
    if active is not None and found not in ("serial", "thread", "async"):
        message = (
            f"executor {active.name!r} ({found}) cannot run the steps of pipeline {pipeline!r} side by side; "
            f"executor='thread' runs them in threads, executor='async' as tasks of an event loop"
        )
        raise DefinitionError(message)
