"""The digest of code by what it says and by all that it reaches.

The walk starts at a function and makes a flat list of parts: the function itself, its defaults and closure, and whatever
a global name in it leads to. Functions and classes of the project are parts of their own, so that a cycle is simply a
name that is in the list already, and so that a change can be told by the part that changed. Installed distributions
count by name and version, the standard library by name, everything else by content.

Nothing is remembered about functions between two walks: a global that is assigned anew, or a module whose attribute was
replaced, gives another digest at the next call. Only what cannot change, what a code object says, is kept.

What cannot be seen: attributes looked up by text, code in C, files, environment variables, and what is sent to a step
as data; attributes of `self` are followed only where the object or its class is reached.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.util
import sys
import types
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from crystallize_core.errors import FingerprintError
from crystallize_core.fingerprint.classes import annotations_of, members
from crystallize_core.fingerprint.encoding import Blocked, Encoder, hasher, head, text, type_name
from crystallize_core.fingerprint.names import Import, names_of
from crystallize_core.fingerprint.objects import CODE_TYPES
from crystallize_core.fingerprint.origin import Origin, origin_of, origin_of_module
from crystallize_core.fingerprint.source import shape
from crystallize_core.fingerprint.wrappers import (
    carries_code,
    cells_of,
    closure_of,
    defaults_of,
    described,
    fields_of,
    file_in,
    key_of,
    module_name,
    place_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["MOST_PARTS", "absolute", "attribute_of", "code_digest", "code_parts", "is_project"]

# More parts than any project has: something makes new functions while it is looked at.
MOST_PARTS: Final = 100_000

_MISSING: Final = object()
# Where a module was found, which is another folder on another machine.
_WHEREABOUTS: Final = frozenset({"__builtins__", "__cached__", "__file__", "__loader__", "__path__", "__spec__"})
_PYTHON: Final = f"Python {sys.version_info.major}.{sys.version_info.minor} ({sys.implementation.name})"
_SCALARS: Final = (bool, int, float, complex, str, bytes, type(None))


def code_digest(obj: Any, *, seen: Iterable[Any] | None = None) -> str:
    """The digest of a function, class, module or callable object and of all that it reaches: 64 hexadecimal digits.

    Args:
        obj: What is to be run.
        seen: Functions and classes that count by their name alone, and are not walked into.

    Raises:
        FingerprintError: The object is not code.

    """
    parts = _walk(obj, seen)
    whole = hasher()
    for label in sorted(parts):
        whole.update(text(label) + text(parts[label]))
    return whole.hexdigest()


def code_parts(obj: Any) -> dict[str, str]:
    """What the code digest is made of: a label for people and the digest of each part.

    The first is "its own code"; others, such as "default of `size`", "helper `clean` in `prep.py`", "constant `LIMIT` in
    `prep.py`" and "distribution `numpy 2.4.1`", follow in the order in which the walk met them, and at last Python. A label that begins with
    "unseen" is something that has no content to digest and counts by its type. Two pieces of code have the same digest
    if and only if all their parts are the same.

    Raises:
        FingerprintError: The object is not code.

    """
    return _walk(obj, None)


def _walk(obj: Any, seen: Iterable[Any] | None) -> dict[str, str]:
    if not isinstance(obj, CODE_TYPES) and not callable(obj):
        raise FingerprintError(
            f"{type_name(type(obj))} is not code: expected a function, class, module or callable object; "
            "the digest of a value is content_digest(value)"
        )
    walk = _Walk(seen or ())
    walk.start(obj)
    # The same code comes to other values in another Python: since 3.12 `sum` rounds less, for example.
    return {**walk.parts, _PYTHON: _hex(text(_PYTHON))}


class _Walk:
    """One walk over code: the parts that were found, the labels that were given, and what is still to be visited."""

    def __init__(self, seen: Iterable[Any]) -> None:
        self.parts: dict[str, str] = {}
        self._seen = list(seen)
        self._seen_keys = {key_of(value) for value in self._seen}
        self._root = ""
        self._labels: dict[Any, str] = {}
        self._taken: set[str] = set()
        self._kept: list[Any] = []  # so that no id is used twice
        self._waiting: deque[tuple[str, Any]] = deque()

    def start(self, root: Any) -> None:
        """Walk from one object to all that it reaches."""
        if isinstance(root, CODE_TYPES):
            self._root = self._give_label(root, "its own code")
            self.parts[self._root] = ""  # the first
            self._waiting.append((self._root, root))
            distribution = origin_of(root)[1]
            if distribution:
                self._distribution(distribution)
        else:
            self._constant("its attributes", root)
        while self._waiting:
            self._visit(*self._waiting.popleft())
            if len(self.parts) > MOST_PARTS:
                raise FingerprintError(
                    f"the code that {self._root} reaches has no end: it makes new functions meanwhile"
                )

    # --- labels ---

    def refer(self, value: Any) -> str:
        """The label of a function, class or module; it is visited later if it counts by more than its name."""
        label = self._labels.get(key_of(value))
        if label is not None:
            return label
        label = self._give_label(value)
        origin, distribution = origin_of(value)
        if distribution:
            self._distribution(distribution)
        if key_of(value) not in self._seen_keys and (origin is Origin.PROJECT or carries_code(value)):
            self._waiting.append((label, value))
        return label

    def note(self, kind: type) -> None:
        """The class of an object that was met: what the object does is in its methods."""
        origin, distribution = origin_of(kind)
        if origin is Origin.PROJECT:
            self.refer(kind)
        elif distribution:
            self._distribution(distribution)

    def _give_label(self, value: Any, name: str = "") -> str:
        label = self._unique(name or described(value))
        self._labels[key_of(value)] = label
        self._kept.append(value)
        return label

    def _unique(self, name: str) -> str:
        label, number = name, 1
        while label in self._taken:
            number += 1
            label = f"{name} #{number}"
        self._taken.add(label)
        return label

    def _distribution(self, name: str) -> None:
        self.parts.setdefault(f"distribution `{name}`", _hex(text(name)))

    def _of(self, label: str) -> str:
        """Nothing for what the walk started at; ` of ...` for the others."""
        return "" if label == self._root else f" of {label}"

    # --- parts ---

    def _visit(self, label: str, value: Any) -> None:
        self.parts[label] = ""  # its place in the order
        if isinstance(value, types.FunctionType):
            encoding = self._function(label, value)
        elif isinstance(value, type):
            encoding = self._class(value)
        elif isinstance(value, types.ModuleType):
            encoding = self._module(value)
        elif isinstance(value, types.CodeType):
            encoding = shape(value)
        else:
            encoding = text(described(value)) + self._fields(label, fields_of(value))
        self.parts[label] = _hex(encoding)

    def _function(self, label: str, function: types.FunctionType) -> bytes:
        project = origin_of(function)[0] is Origin.PROJECT
        encoding = shape(function.__code__) + self._names(function) if project else text(place_of(function))
        fields = closure_of(function)
        if project:
            fields = {**defaults_of(function), **fields}
        wrapped = function.__dict__.get("__wrapped__", _MISSING)
        if wrapped is not _MISSING:
            fields["__wrapped__"] = wrapped
        return encoding + self._fields(label, fields)

    def _fields(self, label: str, fields: Mapping[str, Any]) -> bytes:
        bound = [text(name) + self._bind(f"{name}{self._of(label)}", value) for name, value in fields.items()]
        return head(b"d", len(bound)) + b"".join(bound)

    def _class(self, kind: type) -> bytes:
        if origin_of(kind)[0] is not Origin.PROJECT:
            return text(place_of(kind))
        bases = [text(self.refer(base)) for base in (type(kind), *kind.__bases__)]
        name, file = kind.__qualname__, file_in(kind.__module__)
        bound = [text(key) + self._bind(f"attribute `{name}.{key}`{file}", value) for key, value in members(kind)]
        parts = [*bases, annotations_of(kind), *bound]
        return head(b"k", len(parts)) + text(place_of(kind)) + b"".join(parts)

    def _module(self, module: types.ModuleType) -> bytes:
        if origin_of(module)[0] is not Origin.PROJECT:
            return text(module.__name__)
        names = [name for name in sorted(vars(module)) if not name.startswith("__") or name == "__getattr__"]
        file = file_in(module.__name__)
        bound = [text(name) + self._bind(f"constant `{name}`{file}", vars(module)[name]) for name in names]
        return head(b"m", len(bound)) + b"".join(bound)

    def _bind(self, label: str, value: Any, rest: tuple[str, ...] = ()) -> bytes:
        """What a name is bound to: the label of code, or of a constant, which becomes a part."""
        if not isinstance(value, CODE_TYPES):
            return text(self._offered(value) or self._constant(label, value))
        found = text(self.refer(value))
        if rest and isinstance(value, types.FunctionType) and rest[0] in value.__dict__:
            # Functions keep notes on themselves; those that the code reads count.
            label = f"attribute `{rest[0]}` of {described(value)}"
            found += self._bind(label, value.__dict__[rest[0]])
        return head(b"b", 1) + found

    def _offered(self, value: Any) -> str:
        """The name of a compiled function of a library, of whatever type; empty for everything else."""
        name, home = getattr(value, "__name__", None), getattr(value, "__module__", None)
        if not callable(value) or not isinstance(name, str) or not isinstance(home, str):
            return ""
        origin, distribution = origin_of_module(home)
        if origin is Origin.PROJECT or vars(sys.modules.get(home, builtins)).get(name) is not value:
            return ""
        if distribution:
            self._distribution(distribution)
        return f"builtin `{home}.{name}`"

    def _constant(self, label: str, value: Any) -> str:
        key = (label, id(value))
        known = self._labels.get(key)
        if known is not None:
            return known
        try:
            encoding = Encoder(self)(value)
        except (Blocked, RecursionError):
            self.note(type(value))
            label = f"unseen {label} ({type_name(type(value))})"
            encoding = text(type_name(type(value)))
        unique = self._labels[key] = self._unique(label)
        self._kept.append(value)
        self.parts[unique] = _hex(encoding)
        return unique

    # --- names ---

    def _names(self, function: types.FunctionType) -> bytes:
        """What the names in the code lead to; the names themselves are in the code already."""
        names = names_of(function.__code__)
        space = function.__globals__
        home = str(space.get("__name__", "") or "")
        found = [text(".".join(chain)) + self._global(space, home, chain) for chain in names.globals]
        cells = cells_of(function)
        found += [
            text(".".join(chain)) + self._follow(cells[chain[0]], home, chain)
            for chain in names.free
            if len(chain) > 1 and isinstance(cells.get(chain[0]), types.ModuleType | types.FunctionType)
        ]
        found += [
            text(".".join((what.module, what.attribute, *rest))) + self._import(what, rest, space)
            for what, rest in names.imports
        ]
        return head(b"g", len(found)) + b"".join(found)

    def _global(self, space: dict[str, Any], home: str, chain: tuple[str, ...]) -> bytes:
        value = space.get(chain[0], _MISSING)
        if value is _MISSING:
            value = getattr(builtins, chain[0], _MISSING)
            home = "builtins"
            if value is _MISSING:
                return text("missing")
            if not is_project(value) and getattr(value, "__name__", "") == chain[0]:
                return text(f"builtins.{chain[0]}")
        return self._follow(value, home, chain)

    def _follow(self, value: Any, home: str, chain: tuple[str, ...]) -> bytes:
        """Follow a chain of names through modules to what it means."""
        name, *rest = chain
        outside: types.ModuleType | None = None
        path = ""  # from the first module outside on
        while rest and isinstance(value, types.ModuleType):
            module, name = value, rest.pop(0)
            value, home = attribute_of(module, name), module.__name__
            path = f"{path or module.__name__}.{name}"
            outside = None if origin_of(module)[0] is Origin.PROJECT else module
            if outside is None:
                path = ""
            if value is _MISSING:
                return text(f"missing {module_name(module)}.{name}") + self._asked(module)
        if name in _WHEREABOUTS:
            return text(name)
        if outside is not None and not is_project(value):
            return self._outside(outside, path, value)
        return self._bind(f"constant `{name}`{file_in(home)}", value, tuple(rest))

    def _asked(self, module: types.ModuleType) -> bytes:
        """A module that makes its attributes when they are asked for counts by the function that does it."""
        maker = vars(module).get("__getattr__")
        return text(self.refer(maker)) if isinstance(maker, CODE_TYPES) else b""

    def _outside(self, module: types.ModuleType, path: str, value: Any) -> bytes:
        """Something that was looked up in an installed or standard module: by name, and by version of the former.

        Who replaced an attribute by another function or number is noticed.
        """
        origin, distribution = origin_of(module)
        if distribution:
            self._distribution(distribution)
        found = text(path)
        if callable(value):  # its own name only: which module or type implements it differs between platforms
            return found + text(str(getattr(value, "__name__", type_name(type(value)))))
        scalar = (
            origin is Origin.INSTALLED and isinstance(value, _SCALARS) and not path.rpartition(".")[2].startswith("__")
        )
        return found + (Encoder()(value) if scalar else b"")

    def _import(self, what: Import, rest: tuple[str, ...], space: dict[str, Any]) -> bytes:
        name = absolute(what, space)
        origin, distribution = origin_of_module(name)
        chain = tuple(part for part in (what.attribute, *rest) if part)
        if origin is not Origin.PROJECT and name not in sys.modules:
            if distribution:
                self._distribution(distribution)
            return text(".".join((name, *chain[:1])))
        try:
            module = importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - a module may raise anything; the step will, when it gets there
            label = f"unseen module `{name}` ({type_name(type(error))})"
            self.parts[label] = _hex(text(name))
            return text(label)
        if origin is not Origin.PROJECT:
            return self._imported_from_outside(module, name, chain)
        if what.attribute and attribute_of(module, what.attribute) is _MISSING:
            with contextlib.suppress(Exception):  # it may be a module itself, which the statement imports
                importlib.import_module(f"{name}.{what.attribute}")
        if what.whole:
            module, chain = sys.modules[name.partition(".")[0]], rest
        return self._follow(module, "", ("", *chain))

    def _imported_from_outside(self, module: types.ModuleType, name: str, chain: tuple[str, ...]) -> bytes:
        """By name alone: the digest must be the same before the first call, when the module is not imported yet."""
        distribution = origin_of(module)[1]
        if distribution:
            self._distribution(distribution)
        value = attribute_of(module, chain[0]) if chain else _MISSING
        if value is not _MISSING and is_project(value):  # somebody replaced it
            return self._follow(module, "", ("", *chain))
        return text(".".join((name, *chain[:1])))


def attribute_of(module: types.ModuleType, name: str) -> Any:
    """What a module has under a name; a submodule counts."""
    found = vars(module).get(name, _MISSING)
    return found if found is not _MISSING else sys.modules.get(f"{module.__name__}.{name}", _MISSING)


def is_project(value: Any) -> bool:
    """Whether a piece of code, or the class of anything else, belongs to the project."""
    return origin_of(value if isinstance(value, CODE_TYPES) else type(value))[0] is Origin.PROJECT


def absolute(what: Import, space: dict[str, Any]) -> str:
    """The full name of the module that an import statement means."""
    if not what.level:
        return what.module
    package = space.get("__package__") or str(space.get("__name__", "")).rpartition(".")[0]
    try:
        return importlib.util.resolve_name("." * what.level + what.module, str(package))
    except ImportError:
        return what.module


def _hex(encoding: bytes) -> str:
    whole = hasher()
    whole.update(encoding)
    return whole.hexdigest()
