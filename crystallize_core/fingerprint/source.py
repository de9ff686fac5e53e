"""What a piece of code says, without what does not change its meaning.

From its source where that can be found: the syntax tree without comments, formatting, docstrings, annotations and
positions, which stays the same when Python is upgraded. The source is believed only if compiling it gives exactly the
code that runs; a file that was edited after the import does not describe what is in memory. Where there is no source
(`exec`, generated code, modules rewritten on import) the instructions count, with names and constants instead of
indices into tables and places instead of offsets.
"""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import types
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from crystallize_core.fingerprint.encoding import Encoder, head, shorten, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

__all__ = ["nested", "shape"]

# Not part of what code does; where a name is read or written can be seen from where it stands.
_SILENT: Final = frozenset({"ctx", "kind", "type_comment", "type_params", "returns"})

# Arguments collected into `*args` and `**kwargs`, and what kind of generator or coroutine a call makes.
_FLAGS: Final = (
    inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ITERABLE_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)

# Code objects never change, so that their shape is found out once. They compare by what they contain, hence the file.
_shapes: WeakKeyDictionary[types.CodeType, dict[str, bytes]] = WeakKeyDictionary()


def shape(code: types.CodeType) -> bytes:
    """The encoding of what the code says."""
    known = _shapes.setdefault(code, {})
    if code.co_filename not in known:
        node = _node_of(code)
        encoding = _instructions(code) if node is None else head(b"s", 1) + _tree(_plain(node))
        known[code.co_filename] = shorten(encoding)
    return known[code.co_filename]


def nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code objects of the functions, classes and comprehensions inside, at any depth."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from nested(constant)


# --- from the source -------------------------------------------------------------------------------------------------


class _File:
    """The functions of one file: their code as the present text of the file compiles, and their syntax."""

    def __init__(self, name: str, source: str) -> None:
        self.source = source
        self.codes: dict[tuple[str, int], list[types.CodeType]] = {}
        self.nodes: dict[tuple[str, int], list[FunctionNode]] = {}
        try:
            tree = ast.parse(source)
            module = compile(source, name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError):
            return
        for code in nested(module):
            self.codes.setdefault((code.co_name, code.co_firstlineno), []).append(code)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                self.nodes.setdefault((node.name, line), []).append(node)
            elif isinstance(node, ast.Lambda):
                self.nodes.setdefault(("<lambda>", node.lineno), []).append(node)


_files: dict[str, _File] = {}


def _node_of(code: types.CodeType) -> FunctionNode | None:
    name = code.co_filename
    linecache.checkcache(name)
    source = "".join(linecache.getlines(name))
    if not source:
        return None
    file = _files.get(name)
    if file is None or file.source != source:
        file = _files[name] = _File(name, source)
    place = (code.co_name, code.co_firstlineno)
    if code not in file.codes.get(place, ()):
        return None
    nodes = file.nodes.get(place, [])
    return nodes[0] if len(nodes) == 1 else _innermost(code, nodes)


def _innermost(code: types.CodeType, nodes: list[FunctionNode]) -> FunctionNode | None:
    """Of several lambdas on one line, the smallest that encloses all that the code does."""
    places = [
        ((line, column), (end_line, end_column))
        for line, end_line, column, end_column in code.co_positions()
        if line and end_line and column is not None and end_column  # the first instructions stand nowhere
    ]
    around = [node for node in nodes if isinstance(node, ast.Lambda) and _encloses(node.body, places)]
    # Those that enclose the same place are inside each other: the last to begin is the innermost.
    return max(around, key=lambda node: _start(node.body)) if places and around else None


def _start(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _end(node: ast.expr) -> tuple[int, int]:
    return node.end_lineno or 0, node.end_col_offset or 0


def _encloses(node: ast.expr, places: list[tuple[tuple[int, int], tuple[int, int]]]) -> bool:
    return all(_start(node) <= start and end <= _end(node) for start, end in places)


def _plain(node: FunctionNode) -> ast.AST:
    """The function alone.

    What its decorators did can be seen from what the name is bound to, and its defaults from their values, which may
    differ although the expressions are the same.
    """
    names = {name: value for name, value in ast.iter_fields(node.args) if name not in {"defaults", "kw_defaults"}}
    args = ast.arguments(**names, defaults=[], kw_defaults=[])
    if isinstance(node, ast.Lambda):
        return ast.Lambda(args=args, body=node.body)
    kind = type(node)
    return kind(name=node.name, args=args, body=node.body, decorator_list=[])


def _tree(node: Any, *, in_class: bool = False) -> bytes:
    """The encoding of a syntax tree; fields that are empty do not count, since new versions of Python add some."""
    if isinstance(node, list):
        return head(b"l", len(node)) + b"".join(_tree(item, in_class=in_class) for item in node)
    if not isinstance(node, ast.AST):
        return Encoder()(node)
    if isinstance(node, ast.AnnAssign) and not in_class:
        node = _unannotated(node)
    inside = isinstance(node, ast.ClassDef) or (in_class and not _is_function(node))
    parts = [text(name) + _tree(value, in_class=inside) for name, value in _children(node)]
    return shorten(head(b"A", len(parts)) + text(type(node).__name__) + b"".join(parts))


def _children(node: ast.AST) -> Iterator[tuple[str, Any]]:
    for name in node._fields:
        value = getattr(node, name, None)
        if name in _SILENT or value is None or value == []:
            continue
        if name == "annotation" and isinstance(node, ast.arg):
            continue
        if name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            value = _without_docstring(value)
        if isinstance(node, ast.JoinedStr):
            value = _joined(node.values)
        yield name, value


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string; how many pieces the text between two values is in differs between versions."""
    merged: list[ast.expr] = []
    for value in values:
        last = merged[-1] if merged else None
        if isinstance(value, ast.Constant) and isinstance(last, ast.Constant):
            merged[-1] = ast.Constant(value=str(last.value) + str(value.value))
        elif not isinstance(value, ast.Constant) or value.value != "":
            merged.append(value)
    return merged


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:] or [ast.Pass()]
    return body


def _unannotated(node: ast.AnnAssign) -> ast.stmt:
    """`x: int = 1` as `x = 1`. `x: int` alone stays, since it makes the name a local one. Not for fields of classes."""
    if node.value is not None:
        return ast.Assign(targets=[node.target], value=node.value)
    return ast.AnnAssign(target=node.target, annotation=ast.Constant(value=None), value=None, simple=node.simple)


# --- from the instructions -------------------------------------------------------------------------------------------


def _instructions(code: types.CodeType) -> bytes:
    signature = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _FLAGS)
    names = (code.co_name, code.co_varnames, code.co_cellvars, code.co_freevars)
    listing = [item for item in dis.get_instructions(code) if item.opname != "EXTENDED_ARG"]
    places = {item.offset: place for place, item in enumerate(listing)}
    parts = []
    for place, item in enumerate(listing):
        if not _is_docstring(listing, place):
            parts.append(text(item.opname) + _argument(item, places))
    start = head(b"i", len(parts)) + Encoder()((signature, names, code.co_exceptiontable))
    return start + b"".join(parts)


def _argument(item: dis.Instruction, places: dict[int, int]) -> bytes:
    if item.opcode in dis.hasjrel or item.opcode in dis.hasjabs:
        return Encoder()(("to", places.get(item.argval, item.arg)))
    if isinstance(item.argval, types.CodeType):
        return shorten(_instructions(item.argval))
    if item.opcode in dis.hasconst:
        return _constant(item.argval)
    if isinstance(item.argval, str | tuple):  # a name, or several; not a description, which versions word differently
        return Encoder()(item.argval)
    return Encoder()(item.arg)


def _constant(value: Any) -> bytes:
    """Constants are data, except that code may hide in a tuple of them."""
    if isinstance(value, tuple):
        return head(b"t", len(value)) + b"".join(_constant(item) for item in value)
    return shorten(_instructions(value)) if isinstance(value, types.CodeType) else Encoder()(value)


def _is_docstring(listing: list[dis.Instruction], place: int) -> bool:
    """Whether the instruction loads or stores the docstring of a class; that of a function is never loaded."""
    around = listing[place : place + 2] if listing[place].opname == "LOAD_CONST" else listing[place - 1 : place + 1]
    if len(around) < 2 or around[0].opname != "LOAD_CONST" or not isinstance(around[0].argval, str):  # noqa: PLR2004
        return False
    return around[1].opname == "STORE_NAME" and around[1].argval == "__doc__"
