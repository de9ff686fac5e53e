"""What each hook is, in the words of its specification."""

from __future__ import annotations

import inspect
import re
from typing import Final

import attrs

from crystallize_core.hookspecs import HOOKS, PROJECT, UNWINDING

__all__ = ["Meaning", "meaning"]

ALL: Final = "all"
FIRST: Final = "first result"
COMPOSED: Final = "composed"

_TURNS: Final = {
    ALL: "every implementation is called, in the order of the stack",
    FIRST: "the implementations are asked in the order of the stack, and the first answer counts",
    COMPOSED: "the policies are put around each other, the first plugin of the stack outermost",
}
_UNWINDS: Final = "every implementation is called, in the reverse order of the stack"


@attrs.frozen
class Meaning:
    """A hook.

    Attributes:
        name: The hook.
        arguments: What its implementations may take.
        summary: When it is called, in one sentence.
        process: Where: `coordinator`, `worker` or `every process`.
        kind: `all`, `first result`, or `composed` for policies.
        unwinds: Whether it is called in the reverse order of the stack.

    """

    name: str
    arguments: tuple[str, ...]
    summary: str
    process: str
    kind: str
    unwinds: bool

    @property
    def turns(self) -> str:
        """Who is called in which order, as a sentence."""
        return _UNWINDS if self.unwinds else _TURNS[self.kind]


def meaning(hook: str) -> Meaning:
    """What a hook is, read from its specification."""
    specification = HOOKS[hook]
    summary = (inspect.getdoc(specification) or "").partition("\n")[0]
    process = re.search(r"\bin (?:the (coordinator|worker)|(every process))\b", summary)
    asks_first = getattr(specification, f"{PROJECT}_spec")["firstresult"]
    return Meaning(
        name=hook,
        arguments=tuple(inspect.signature(specification).parameters),
        summary=summary,
        process="" if process is None else process[1] or process[2],
        kind=COMPOSED if hook == "wrap_step" else FIRST if asks_first else ALL,
        unwinds=hook in UNWINDING,
    )
