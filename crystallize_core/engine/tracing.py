"""`--trace-hooks` and `CRYSTALLIZE_TRACE_HOOKS`: a line on standard error for each call of a hook."""

from __future__ import annotations

import contextlib
import datetime
import inspect
import os
import sys
from typing import Any, Final

from crystallize_core.context import CONDITION_KEY, REPLICATE_KEY
from crystallize_core.engine.watching import ENCLOSING, POLICY, Call
from crystallize_core.errors import describe
from crystallize_core.hookspecs import HOOKS
from crystallize_core.stack.config import switch

__all__ = ["Tracer", "tracer"]

VARIABLE: Final = "CRYSTALLIZE_TRACE_HOOKS"
_ARGUMENTS: Final = {name: tuple(inspect.signature(hook).parameters) for name, hook in HOOKS.items()} | {
    POLICY: ("experiment", "step", "ctx")
}


def tracer() -> Tracer | None:
    """Who writes the lines, where the environment asks for them.

    Raises:
        ConfigurationError: The variable is neither on nor off.

    """
    return Tracer() if switch(VARIABLE, default=False) else None


class Tracer:
    """Writes one line when a call has ended, and one more when a call begins that others happen inside of."""

    def begins(self, call: Call) -> None:
        """Say that it begins."""
        _write(f"{_head(call)}  begins")

    def ended(self, call: Call) -> None:
        """Say how long it took, and what it raised."""
        words = [_head(call), f"{call.nanoseconds / 1e6:.3f} ms"]
        words += ["of its own"] if call.hook in ENCLOSING - {"run_experiment_loop"} else []
        words += [f"raised {describe(call.error)}"] if call.error is not None else []
        words += ["left it to others"] if call.answer is NotImplemented else []
        _write("  ".join(words))


def _head(call: Call) -> str:
    now = datetime.datetime.now().astimezone()
    where = _address(call)
    return f"{now:%H:%M:%S.%f} pid {os.getpid()}  {call.hook}  {call.plugin}" + (f"  [{where}]" if where else "")


def _address(call: Call) -> str:
    """Replicate, condition, step and attempt, as far as the arguments say."""
    given = dict(zip(_ARGUMENTS[call.hook], call.arguments, strict=True))
    ctx, step = given.get("ctx"), given.get("step")
    # Behind the view, because what is read through it counts as something that the step depends on.
    values = getattr(getattr(ctx, "_state", None), "values", {})
    subject = given.get("event") or given.get("outcome")
    found: dict[str, Any] = {
        "replicate": values.get(REPLICATE_KEY, given.get("replicate", getattr(subject, "replicate", None))),
        "condition": values.get(CONDITION_KEY, getattr(subject, "condition", None)),
        "step": getattr(ctx, "step_name", None) or getattr(step, "name", None) or getattr(subject, "step", None),
        "attempt": given.get("attempt") or (getattr(ctx, "attempt", None) if step is not None else None) or None,
        "event": getattr(given.get("event"), "name", None),
    }
    return ", ".join(f"{word} {value!r}" for word, value in found.items() if value is not None)


def _write(line: str) -> None:
    """Write a whole line at once, so that those of several threads and processes do not mix."""
    text = " ".join(line.splitlines()) + "\n"
    with contextlib.suppress(OSError, ValueError):  # nobody reads it any more, which is no reason to fail a run
        if sys.stderr is None:
            return
        try:
            number = sys.stderr.fileno()
        except (OSError, AttributeError, ValueError):  # a stream that is no file, as in a notebook
            sys.stderr.write(text)
            return
        sys.stderr.flush()
        os.write(number, text.encode(sys.stderr.encoding or "utf-8", "backslashreplace"))
