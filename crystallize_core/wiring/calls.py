"""Generated calls: one function of data and context that fills the parameters of a step and calls it.

They are generated, so that a step costs one call and no dictionary of arguments. Calls of one shape share
their code, because compiling it costs as much as a hundred steps; names and values are closed over.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from keyword import iskeyword
from typing import Any, Final

from crystallize_core.copying import hand_out, hand_to_each
from crystallize_core.errors import WiringError, did_you_mean
from crystallize_core.parameters import RunContext
from crystallize_core.signature import REQUIRED
from crystallize_core.wiring.fills import Fill

__all__ = ["call_of", "entry_of"]

# Bound containers are copied for each call, so that a step cannot change them for the next replicate.
_COPIED: Final = (list, dict, set, bytearray)
_NOTHING: Final[Mapping[Any, int]] = {}


def call_of(
    function: Callable[..., Any], fills: Sequence[Fill], by_name: Collection[str], shared: Mapping[Any, int] = _NOTHING
) -> Callable[[Any, Any], Any]:
    """`invoke(data, ctx)` for a function; one that takes data and context by position is called as it is.

    Args:
        function: What is called.
        fills: How its parameters are filled, in their order.
        by_name: The parameters that can only be passed by name.
        shared: The keys of outputs of which it gets a copy, with how many steps take each.

    """
    if not hasattr(function, "__code__") and hasattr(function, "__call__"):  # noqa: B004 - the bound method is faster to call
        function = function.__call__
    if not by_name and [(fill.source, fill.key) for fill in fills] == [("data", None), ("ctx", None)]:
        return function
    shape: list[str] = []
    named = False
    for number, fill in enumerate(fills):
        expression = _expression(fill, number, takers=shared.get(fill.key, 0))
        named = named or fill.parameter in by_name
        if named and fill.parameter.isidentifier() and not iskeyword(fill.parameter):
            expression = f"{fill.parameter}={expression}"
        elif named:  # the name of an asset, which only `**kwargs` can take
            expression = f"**{{p{number}: {expression}}}"
        shape.append(expression)
    constants = [(fill.parameter, fill.parameter if fill.key is None else fill.key, fill.value) for fill in fills]
    return _maker(tuple(shape))(function, *(item for constant in constants for item in constant))


@functools.lru_cache(maxsize=4096)
def _maker(shape: tuple[str, ...]) -> Callable[..., Callable[[Any, Any], Any]]:
    """What makes calls of one shape out of a function and, for each parameter, its name, key and value."""
    scope: dict[str, Any] = {
        "deepcopy": copy.deepcopy,
        "hand_out": hand_out,
        "hand_to_each": hand_to_each,
        "RunContext": RunContext,
        "entry_of": entry_of,
    }
    constants = "".join(f", p{number}, k{number}, v{number}" for number in range(len(shape)))
    body = f"def make(function{constants}):\n    def invoke(data, ctx):\n        return function({', '.join(shape)})\n"
    exec(f"{body}    return invoke", scope)  # noqa: S102 - made of numbers and of names that are parameters
    made: Callable[..., Callable[[Any, Any], Any]] = scope["make"]
    return made


def _expression(fill: Fill, number: int, *, takers: int) -> str:
    """How a generated call gets the value of one parameter."""
    key, value = f"k{number}", f"v{number}"
    match fill.source:
        case "data" if fill.key is None:
            return "data"
        case "data" | "output" | "input":
            found = f"data[{key}]" if fill.value is REQUIRED else f"data.get({key}, {value})"
            if takers > 1:
                return f"hand_to_each({found}, {key})"
            return f"hand_out({found})" if takers else found
        case "ctx":
            return "ctx"
        case "parameters":
            return "RunContext(ctx)"
        case "context":
            return f"ctx._fill({key}, {value})"
        case "artifact":
            return f"{value}.bound_to(ctx.artifacts)"
        case "entry":
            return f"entry_of(data, {key}, {value}, ctx)"
        case "bound" if isinstance(fill.value, _COPIED):
            return f"deepcopy({value})"
        case _:
            return value


def entry_of(made: Mapping[Hashable, Any], name: str, keys: Sequence[Hashable], ctx: Any) -> Any:
    """The context value of that name, which a step may have added; else the entry of an output that is a mapping.

    Of several outputs that have such an entry, it is that of the last one.

    Raises:
        WiringError: None of them has.

    """
    if name in ctx:
        return ctx[name]
    for key in reversed(keys):
        output = made.get(key)
        if isinstance(output, dict) and name in output:
            return hand_out(output[name])
    entries = [
        entry for key in keys if isinstance(made.get(key), dict) for entry in made[key] if isinstance(entry, str)
    ]
    hint = did_you_mean(name, entries, listing="the entries before it are")
    message = (
        f"a condition needs {name!r}, which is no parameter of its step, no output, input or context value, and no "
        f"entry of an output that is a mapping; {hint}"
    )
    raise WiringError(message)
