"""Which names a piece of code reaches for: `helper`, `prep.clean`, `numpy.random.default_rng`, and its own imports.

Read from the instructions, because these say exactly which names are global. Attributes count as far as they follow the
name directly, since a module is then asked for just these; what is done with `getattr` cannot be seen.
"""

from __future__ import annotations

import dis
import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from crystallize_core.fingerprint.source import nested

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Import", "Names", "names_of"]

_GLOBALS: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_FREE: Final = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"})
# What the body of every class loads to say where it stands.
_OF_CLASSES: Final = frozenset({"__name__", "__annotations__", "__conditional_annotations__"})
_ATTRIBUTES: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """An import statement inside a function: the module, how many dots stand before it, and what is taken from it."""

    module: str
    level: int
    attribute: str = ""
    whole: bool = False  # `import a.b` binds `a`, not `a.b`


@dataclass(frozen=True, slots=True)
class Names:
    """Chains of names by where the first of them lives, in an order that does not depend on the version of Python."""

    globals: tuple[tuple[str, ...], ...]
    free: tuple[tuple[str, ...], ...]
    imports: tuple[tuple[Import, tuple[str, ...]], ...]


@dataclass(slots=True)
class _Found:
    globals: set[tuple[str, ...]] = field(default_factory=set)
    free: set[tuple[str, ...]] = field(default_factory=set)
    local: set[tuple[str, ...]] = field(default_factory=set)
    imports: dict[str, set[Import]] = field(default_factory=dict)


_known: WeakKeyDictionary[types.CodeType, Names] = WeakKeyDictionary()


def names_of(code: types.CodeType) -> Names:
    """The names that the code, and the code inside it, reaches for."""
    names = _known.get(code)
    if names is None:
        found = _Found()
        for part in (code, *nested(code)):
            _scan(part, found)
        names = _known[code] = _ordered(code, found)
    return names


def _ordered(code: types.CodeType, found: _Found) -> Names:
    imports: set[tuple[Import, tuple[str, ...]]] = set()
    for chain in found.globals | found.free | found.local:
        imports.update((what, chain[1:]) for what in found.imports.get(chain[0], ()))
    used = {what for what, _ in imports}
    imports.update((what, ()) for some in found.imports.values() for what in some if what not in used)
    return Names(
        globals=tuple(sorted(found.globals)),
        free=tuple(sorted(chain for chain in found.free if chain[0] in code.co_freevars)),
        imports=tuple(sorted(imports)),
    )


def _scan(code: types.CodeType, found: _Found) -> None:
    listing = [item for item in dis.get_instructions(code) if item.opname not in {"EXTENDED_ARG", "CACHE", "NOP"}]
    cells = {*code.co_cellvars, *code.co_freevars}
    for place, item in enumerate(listing):
        if item.opname == "LOAD_NAME" and item.argval in _OF_CLASSES:
            continue
        if item.opname in _GLOBALS:
            found.globals.add(_chain(item.argval, listing, place))
        elif item.opname in _FREE:
            found.free.add(_chain(item.argval, listing, place))
        elif "LOAD_FAST" in item.opname:
            name = item.argval[-1] if isinstance(item.argval, tuple) else item.argval
            if name not in cells:  # else it is the cell that is loaded, to make a closure
                found.local.add(_chain(name, listing, place))
        elif item.opname == "IMPORT_NAME":
            for name, what in _bindings(listing, place):
                found.imports.setdefault(name, set()).add(what)


def _chain(first: str, listing: list[dis.Instruction], place: int) -> tuple[str, ...]:
    attributes = []
    for item in listing[place + 1 :]:
        if item.opname not in _ATTRIBUTES:
            break
        attributes.append(str(item.argval))
    return (first, *attributes)


def _bindings(listing: list[dis.Instruction], place: int) -> Iterator[tuple[str, Import]]:
    """The names that an import statement binds: each `IMPORT_FROM` up to the store, or the module itself."""
    module = str(listing[place].argval)
    level, wanted = (item.argval for item in listing[place - 2 : place])
    level = level if isinstance(level, int) else 0
    if not wanted:
        yield _stored(listing, place, Import(module, level, whole="." in module and not _is_aliased(listing, place)))
        return
    names = set(wanted)
    for index in range(place + 1, len(listing)):
        item = listing[index]
        if item.opname == "IMPORT_FROM" and item.argval in names:
            names.discard(item.argval)
            yield _stored(listing, index, Import(module, level, attribute=str(item.argval)))
        if not names or item.opname == "IMPORT_NAME":
            return


def _is_aliased(listing: list[dis.Instruction], place: int) -> bool:
    """`import a.b as c` takes `b` from `a` after the import."""
    return place + 1 < len(listing) and listing[place + 1].opname == "IMPORT_FROM"


def _stored(listing: list[dis.Instruction], place: int, what: Import) -> tuple[str, Import]:
    for item in listing[place + 1 :]:
        if item.opname.startswith("STORE_"):
            name: Any = item.argval[0] if isinstance(item.argval, tuple) else item.argval
            return str(name), what
    return "", what
