"""Which context keys a function adds, read from its code without calling it.

Rule 1 wants a parameter that nothing fills reported before anything runs, but steps, treatments and
plugins may add keys while they run. So their code is looked at: `ctx.add("key", ...)` and
`ctx.override("key", ...)` with a constant name are certain. A context that is used in any other way than
by its attributes (it is passed on, or the name of the key is computed) may get any key, and the check is
then left to the moment when the step is called. The doubt always falls on that side: what is reported
as missing cannot be there.
"""

from __future__ import annotations

import dis
import functools
import types
from typing import TYPE_CHECKING, Any

from crystallize_core.errors import DefinitionError
from crystallize_core.signature import signature_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["keys_added_by", "looks_at_state"]

_WRITERS = ("add", "override", "__setitem__")
_BLIND = ("attempt", "emit", "logger", "record", "rng", "run", "step_name")
_LOGS = ("artifacts", "metrics")
_LOADS = ("LOAD_FAST", "LOAD_DEREF", "LOAD_CLOSURE", "LOAD_CLASSDEREF")
_CONSTANT_LOADS = ("LOAD_CONST", "LOAD_GLOBAL", "LOAD_NAME")
_NOISE = ("PUSH_NULL", "PRECALL", "RESUME", "CACHE", "EXTENDED_ARG", "NOP", "COPY_FREE_VARS")


def keys_added_by(function: Callable[..., Any], ctx_name: str | None = None) -> frozenset[str] | None:
    """The keys that calling `function` may add to its context; None if they cannot be known.

    Args:
        function: A function, method, partial or callable object.
        ctx_name: The name of the parameter that is the context; default as its signature says.

    """
    if ctx_name is None:
        try:
            signature = signature_of(function)
        except DefinitionError:
            return None
        ctx_name = signature.ctx or signature.maybe_ctx
        if ctx_name is None:
            return frozenset()
    target = _plain_function(function)
    if target is None:
        return None
    found: set[str] = set()
    for code in _nested(target.__code__):
        keys = _keys_in(code, ctx_name, target.__globals__)
        if keys is None:
            return None
        found |= keys
    return frozenset(found)


def looks_at_state(function: Callable[..., Any], ctx_name: str) -> bool:
    """Whether calling `function` may depend on what other steps wrote: values, metrics, artifacts of the cell.

    False is certain: then it only records, emits, draws and logs.
    """
    target = _plain_function(function)
    return target is None or any(_looks(code, ctx_name) for code in _nested(target.__code__))


def _looks(code: types.CodeType, ctx_name: str) -> bool:
    instructions = [i for i in dis.get_instructions(code) if i.opname not in _NOISE]
    for at, instruction in enumerate(instructions):
        if not _loads(instruction, ctx_name) or instruction.opname == "LOAD_CLOSURE":
            continue
        if isinstance(instruction.argval, tuple) and ctx_name in instruction.argval[:-1]:
            return True
        use, then = [*instructions[at + 1 : at + 3], None, None][:2]
        if use is None or not _is_attribute(use):
            return True
        if use.argval in _LOGS:
            if then is None or not _is_attribute(then) or then.argval != "add":
                return True
        elif use.argval not in _BLIND:
            return True
    return False


def _plain_function(function: Any) -> types.FunctionType | None:
    """The function whose code runs when this is called; None if that is not certain."""
    target: Any = function
    while isinstance(target, functools.partial):
        target = target.func
    if not isinstance(target, (types.FunctionType, types.MethodType)):
        target = getattr(type(target), "__call__", target)  # noqa: B004 - the method itself is wanted
    target = getattr(target, "__func__", target)
    return target if isinstance(target, types.FunctionType) and not hasattr(target, "__wrapped__") else None


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _keys_in(code: types.CodeType, ctx_name: str, names: dict[str, Any]) -> set[str] | None:
    everything = list(dis.get_instructions(code))
    instructions = [i for i in everything if i.opname not in _NOISE]
    found: set[str] = set()
    for at, instruction in enumerate(instructions):
        if not _loads(instruction, ctx_name):
            continue
        if isinstance(instruction.argval, tuple) and ctx_name in instruction.argval[:-1]:
            return None  # loaded under something else: it is passed on
        following = [*instructions[at + 1 : at + 3], None, None]
        use, key = following[0], following[1]
        if use is None or not _is_attribute(use):
            if (
                use is not None
                and use.opname in _CONSTANT_LOADS
                and key is not None
                and key.opname.startswith("BINARY")
            ):
                continue  # ctx["key"] or ctx[KEY]
            if instruction.opname == "LOAD_CLOSURE":
                continue  # a nested function that uses it; its own code is looked at too
            return None
        if use.argval in _WRITERS:
            if key is None or key.opname not in _CONSTANT_LOADS:
                return None
            value = key.argval if key.opname == "LOAD_CONST" else names.get(key.argval)
            if not isinstance(value, str) or not _is_whole_argument(everything, everything.index(key)):
                return None
            found.add(value)
    return found


def _is_whole_argument(instructions: list[dis.Instruction], at: int) -> bool:
    """Whether the constant at `at` is a positional argument as it is, and not the beginning of a computed one.

    It lies on the stack until the call takes it; what lies above it meanwhile are the other arguments.
    """
    depth = 1
    for instruction in instructions[at + 1 :]:
        if instruction.opname == "KW_NAMES" and depth == 2:  # noqa: PLR2004 - this very call has keywords
            return False
        depth += dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
        if depth < 2:  # noqa: PLR2004 - the key and one more argument
            return depth < 1 and instruction.opname in ("PRECALL", "CALL")
    return False


def _is_attribute(instruction: dis.Instruction) -> bool:
    return instruction.opname in ("LOAD_ATTR", "LOAD_METHOD")


def _loads(instruction: dis.Instruction, name: str) -> bool:
    """Whether it leaves the variable on top of the stack, or uses it in a way that nobody foresaw."""
    if isinstance(instruction.argval, tuple):  # two loads in one instruction, since Python 3.13
        return name in instruction.argval
    if not instruction.opname.startswith(_LOADS):
        return False
    return bool(instruction.argval == name)
