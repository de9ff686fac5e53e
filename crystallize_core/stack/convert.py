"""Checks a value that came from a configuration against a type annotation, strictly.

Here lives what is known about *types*: what each annotation accepts, and what little is converted. How an
annotation is written is in `option_types.py`, what is known about *classes* and their options in `options.py`.

Two things kept us from using a library for it. Strictness: a value is converted only where a text
format has no way to write the type (a `Path`, a `tuple`, a function), so `"7"` is never an `int` and
`true` is never `1`. And reporting: every problem is collected with its path, so that those of types,
converters and validators stand in one list, where a library would stop at its own.
"""

from __future__ import annotations

import datetime as dt
import enum
import importlib
import json
import re
import types
import typing
from collections import abc
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

import attrs

from crystallize_core.errors import describe, did_you_mean, safe_str
from crystallize_core.stack.option_types import UNIONS, bare, choice_texts, element_types, is_table_class, type_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    _Reader = Callable[["Conversion", Any, Any, str], Any]

__all__ = [
    "CONTAINERS",
    "Conversion",
    "Fit",
    "Problem",
    "as_path",
    "scalar_from_text",
    "shown",
]

_SIMPLE = (str, bytes, bool, int, float, dt.date, dt.time, dt.timedelta, enum.Enum)
_WORDS = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_IMPORT_STRING = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_SHOWN_LENGTH = 60


class Fit(enum.IntEnum):
    """How well a value fits a type; a union takes its best member."""

    EXACT = 0
    CONVERTED = 1
    UNCHECKED = 2


@attrs.frozen
class Problem:
    """One thing that is wrong: where, what, and the exception behind it if there was one."""

    path: str
    text: str
    cause: BaseException | None = None
    mismatch: bool = False  # the value as a whole is not of the expected type, whatever is inside it
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" + (f"; {self.hint}" if self.hint else "")


def as_path(where: str, key: object) -> str:
    """The path of `key` in the table at `where`; keys that TOML would quote are quoted."""
    name = safe_str(key)
    name = name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)
    return f"{where}.{name}" if where else name


def shown(value: object, *, secret: bool = False) -> str:
    """A value for an error message; what containers and objects hold is left out, it may be secret."""
    if value is None:
        return "None"
    kind = type(value).__name__
    if not isinstance(value, _SIMPLE):
        return kind
    text = repr(value) if isinstance(value, (str, bytes)) else safe_str(value)
    if len(text) > _SHOWN_LENGTH:
        text = f"{text[:_SHOWN_LENGTH]}…"
    return f"{kind} {'***' if secret else text}"


def scalar_from_text(kind: Any, text: str) -> bool | int | float:
    """A bool, int or float written as text; ValueError when it is not one."""
    if kind is not bool:
        return int(text) if kind is int else float(text)
    if text.strip().lower() not in _WORDS:
        raise ValueError(text)
    return _WORDS[text.strip().lower()]


def _chosen(choices: Sequence[Any], value: object) -> list[Any]:
    """The choice that `value` is, names or stands for; `1`, `1.0` and `True` are three values."""
    members = [c for c in choices if isinstance(c, enum.Enum)]
    ways = (
        [c for c in choices if type(c) is type(value) and c == value],
        [c for c in members if c.name == value],
        [c for c in members if type(c.value) is type(value) and c.value == value],
    )
    return next((way for way in ways if way), [])


def _imported(text: str) -> object:
    """What an import string names; ValueError with the reason when there is no such callable."""
    module_name, _, names = text.partition(":")
    try:
        target: object = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a module may raise anything while it is imported
        message = f"cannot import the module {module_name!r}: {describe(error)}"
        raise ValueError(message) from error
    for name in names.split("."):
        try:
            target = getattr(target, name)
        except AttributeError as error:
            hint = did_you_mean(name, [n for n in dir(target) if not n.startswith("_")])
            message = f"cannot find {name!r} for {text!r}; {hint}"
            raise ValueError(message) from error
    if not callable(target):
        message = f"{text!r} is of type {type(target).__name__} and cannot be called"
        raise ValueError(message)  # noqa: TRY004 - one type for every way in which a name does not serve
    return target


def _is_instance(value: object, kind: Any) -> bool:
    try:
        return isinstance(value, kind)
    except TypeError:  # not a class, or a protocol that cannot be asked
        return False


# What a value of each declared class is read from, and what is made when it is not one already.
_ITEMS: dict[Any, tuple[tuple[type, ...], type]] = {
    list: ((list,), list),
    tuple: ((list, tuple), tuple),
    set: ((list, set), set),
    frozenset: ((list, set, frozenset), frozenset),
    abc.Set: ((list, abc.Set), frozenset),
    abc.MutableSet: ((list, abc.MutableSet), set),
    abc.Sequence: ((abc.Sequence,), list),
    abc.MutableSequence: ((abc.MutableSequence,), list),
    abc.Collection: ((abc.Collection,), list),
    abc.Iterable: ((abc.Collection,), list),
}
CONTAINERS = (*_ITEMS, dict, abc.Mapping, abc.MutableMapping)
# What a value of each type may be converted from, and how; paths are made from str by their class.
_CONVERTED: dict[Any, tuple[tuple[type, ...], Callable[[Any], Any], str]] = {
    float: ((int,), float, ""),
    bytes: ((str,), str.encode, ""),
    dt.timedelta: ((int, float), lambda number: dt.timedelta(seconds=number), "write it as a number of seconds"),
}


@attrs.define
class Conversion:
    """One walk through one value: reads it as a type and collects what is wrong with it.

    Args:
        make: Makes an instance of an attrs class or dataclass from a table, or adds to `found`.
        dry: Only check: import strings stay strings and tables stay tables.
        secret: The value must not appear in messages.

    """

    make: Callable[[Conversion, type, abc.Mapping[str, Any], str], Any]
    dry: bool = False
    secret: bool = False
    found: list[Problem] = attrs.field(factory=list)
    fit: Fit = Fit.EXACT

    def read(self, annotation: Any, value: Any, path: str) -> Any:
        """The value as `annotation`; when it is not one, `found` has grown and the result is void."""
        kind = bare(annotation)
        reader = self._reader(typing.get_origin(kind) or kind)
        if reader is not None:
            return reader(self, kind, value, path)
        is_one = _is_instance(value, typing.get_origin(kind) or kind)
        return self._at_most(Fit.EXACT if is_one else Fit.UNCHECKED, value)

    def _reader(self, origin: Any) -> _Reader | None:
        if isinstance(origin, abc.Hashable) and origin in self._READERS:
            return self._READERS[origin]
        if not isinstance(origin, type):
            return None
        if is_table_class(origin):
            return Conversion._table
        return next((self._READERS[base] for base in (enum.Enum, PurePath) if issubclass(origin, base)), None)

    def mismatch(self, kind: Any, value: Any, path: str, hint: str = "") -> Any:
        """Note that the value as a whole is not of this type."""
        text = f"expected {type_name(kind)}, found {shown(value, secret=self.secret)}"
        self.found.append(Problem(path, text, mismatch=True, hint=hint))
        return value

    def _at_most(self, fit: Fit, value: Any) -> Any:
        self.fit = max(self.fit, fit)
        return value

    def _exact(self, kind: Any, value: Any, path: str) -> Any:
        fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
        return value if fits else self.mismatch(kind, value, path)

    def _converted(self, kind: Any, value: Any, path: str) -> Any:
        if isinstance(value, kind):
            return value
        sources, convert, hint = _CONVERTED.get(kind, ((str,), kind, ""))
        if not isinstance(value, sources) or isinstance(value, bool):
            return self.mismatch(kind, value, path, hint)
        try:
            return self._at_most(Fit.CONVERTED, convert(value))
        except (ValueError, TypeError, OverflowError) as error:
            return self.mismatch(kind, value, path, "" if self.secret else safe_str(error))

    def _choice(self, kind: Any, value: Any, path: str) -> Any:
        """A member of an Enum, or one of the choices of a Literal."""
        choices = typing.get_args(kind) or list(kind)
        chosen = _chosen(choices, value)
        if not chosen:
            hint = did_you_mean(safe_str(value), choice_texts(choices), listing="choices")
            listed = typing.get_origin(kind) is Literal and not hint.startswith("did you mean")
            return self.mismatch(kind, value, path, "" if listed else hint)
        return self._at_most(Fit.EXACT if type(chosen[0]) is type(value) else Fit.CONVERTED, chosen[0])

    def _union(self, kind: Any, value: Any, path: str) -> Any:
        """Read as the member that fits best, else report the member that the value was meant for."""
        attempts = [Conversion(self.make, dry=True, secret=self.secret) for _ in typing.get_args(kind)]
        tried = [
            (attempt, member, attempt.read(member, value, path))
            for attempt, member in zip(attempts, typing.get_args(kind), strict=True)
        ]
        meant = [way for way in tried if not way[0].misses(path)]
        if not meant:
            hints = [problem.hint for attempt in attempts for problem in attempt.found if problem.hint]
            return self.mismatch(kind, value, path, hints[0] if hints else "")
        best, member, result = min(meant, key=lambda way: (len(way[0].found), way[0].fit))
        if not self.dry:
            return self.read(member, value, path)
        self.found += best.found
        return self._at_most(best.fit, result)

    def misses(self, path: str) -> bool:
        """Whether the value at `path` itself was refused, and not only something inside it."""
        return any(problem.mismatch and problem.path == path for problem in self.found)

    def _callable(self, kind: Any, value: Any, path: str) -> Any:
        if callable(value):
            return value
        if not isinstance(value, str) or not _IMPORT_STRING.fullmatch(value):
            return self.mismatch(kind, value, path, "write it as 'module:name'")
        self._at_most(Fit.CONVERTED, value)
        if self.dry:
            return value
        try:
            return _imported(value)
        except ValueError as error:
            self.found.append(Problem(path, str(error), error.__cause__ or error))
            return value

    def _table(self, kind: Any, value: Any, path: str) -> Any:
        origin = typing.get_origin(kind) or kind
        if isinstance(value, origin):
            return value
        if not isinstance(value, abc.Mapping):
            return self.mismatch(kind, value, path, "write it as a table")
        return self._at_most(Fit.CONVERTED, self.make(self, origin, value, path))

    def _items(self, kind: Any, value: Any, path: str) -> Any:
        """Lists, tuples, sets and what is declared by one of their abstract classes."""
        origin = typing.get_origin(kind) or kind
        sources, made = _ITEMS[origin]
        if not _is_instance(value, sources) or isinstance(value, (str, bytes, bytearray)):
            return self.mismatch(kind, value, path)
        kinds = element_types(kind, len(value))
        if kinds is None:
            return self.mismatch(kind, value, path, f"it has {len(value)} item{'' if len(value) == 1 else 's'}")
        before = len(self.found)
        items = [
            self.read(element, item, f"{path}[{index}]")
            for index, (element, item) in enumerate(zip(kinds, value, strict=True))
        ]
        if len(self.found) > before:
            return value
        if not _is_instance(value, origin):
            self._at_most(Fit.CONVERTED, value)
        elif type(value) in (list, tuple, set, frozenset):
            made = type(value)
        elif all(new is old for new, old in zip(items, value, strict=True)):
            return value
        try:
            return made(items)  # a list or a set is copied: the configuration must not change with it
        except TypeError:
            return self.mismatch(kind, value, path, "its items must be hashable")

    def _mapping(self, kind: Any, value: Any, path: str) -> Any:
        if not isinstance(value, abc.Mapping):
            return self.mismatch(kind, value, path, "write it as a table")
        key_type, value_type = typing.get_args(kind) or (Any, Any)
        table, same = {}, type(value) is not dict and isinstance(value, typing.get_origin(kind) or kind)
        for key, item in value.items():
            at = as_path(path, key)
            new_key, new_item = self._key(key_type, key, at), self.read(value_type, item, at)
            same = same and new_key is key and new_item is item
            table[new_key] = new_item
        if len(table) < len(value):
            self.found.append(Problem(path, f"two keys are the same {type_name(key_type)}"))
        return value if same else table

    def _key(self, key_type: Any, key: Any, path: str) -> Any:
        kind = bare(key_type)
        if kind in (bool, int, float) and isinstance(key, str):  # the keys of a table are always text
            try:
                return self._at_most(Fit.CONVERTED, scalar_from_text(kind, key))
            except ValueError:
                return self.mismatch(kind, key, path, "this is about the key")
        return self.read(key_type, key, path)

    _READERS: typing.ClassVar[dict[Any, _Reader]] = {
        **dict.fromkeys((bool, int, str, types.NoneType, dt.datetime, dt.date, dt.time), _exact),
        **dict.fromkeys((*_CONVERTED, PurePath), _converted),
        **dict.fromkeys(_ITEMS, _items),
        **dict.fromkeys((dict, abc.Mapping, abc.MutableMapping), _mapping),
        **dict.fromkeys(UNIONS, _union),
        **dict.fromkeys((Literal, enum.Enum), _choice),
        abc.Callable: _callable,
    }
