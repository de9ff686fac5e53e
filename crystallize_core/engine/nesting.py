"""A hook or a step that runs what it belongs to would do so without end, and is refused instead."""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any, Final

from crystallize_core.errors import DefinitionError

__all__ = ["refuse_nested"]

ENDINGS: Final = 2
"""How many runs of the same may end inside each other: a report may try a cell once more when its run has ended."""


def refuse_nested(subject: Any, inside: frozenset[CodeType], ending: CodeType) -> None:
    """Look for a run of the same pipeline among the callers, which costs nothing while a run goes on.

    Args:
        subject: What is to be run.
        inside: The code that calls hooks and steps while a run goes on; its `self` knows the experiment.
        ending: The code that calls hooks when a run ends.

    Raises:
        DefinitionError: It is run by one of its own hooks or steps.

    """
    endings = 0
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - the means to see who calls
    while frame is not None:
        code = frame.f_code
        if (code in inside or code is ending) and frame.f_locals["self"].experiment.pipeline is subject.pipeline:
            endings += code is ending
            if code is not ending or endings == ENDINGS:
                message = (
                    f"{subject.title} is run by one of its own hooks or steps, which would go on without end; run "
                    f"another one there, or run it when this run has ended"
                )
                raise DefinitionError(message)
        frame = frame.f_back
