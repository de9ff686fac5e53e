"""The canonical encoding that every digest is taken of, and the dispatch from a type to its encoder.

An encoding is a `bytes` that starts with a tag for the kind of value and says its own length, so that no encoding is the
beginning of another one and encodings can simply be joined. A long one is replaced by its own hash: a value of any size
becomes a short `bytes`, which can be sorted (dicts, sets) and remembered (values that are shared).

How a type is encoded is decided once per type, along its MRO; the nearest class wins, and at the same class a registered
function wins over `__crystallize_digest__`, which wins over what is known here.
"""

from __future__ import annotations

import functools
import os
import struct
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from blake3 import blake3

__all__ = [
    "BY_NAME",
    "BY_TYPE",
    "EXACT",
    "LEAVES",
    "REGISTERED",
    "SHORT_FLAT",
    "Blocked",
    "Encoder",
    "Walker",
    "flat",
    "forget_dispatch",
    "hashed",
    "hasher",
    "head",
    "shorten",
    "text",
    "type_name",
]

HASHED: Final = b"#"
BACK: Final = b"^"

# Longer encodings are replaced by their hash. Short enough that shared values are soon remembered as one.
SHORT: Final = 256
SHORT_FLAT: Final = 200

# The version of the encoding, which every hash begins with, so that another version gives other digests.
VERSION: Final = b"crystallize.2"

# From here on it pays to start threads for one hash. It is not part of the encoding: they change the time alone.
MANY_BYTES: Final = 1 << 23
# More of them wait for the memory.
MOST_THREADS: Final = 8

# A cycle is encoded by unfolding it along every path that does not repeat a value. In a tangle of many values that all
# know each other there are too many of these paths; it is refused instead of running for hours.
MOST_PATHS: Final = 2_000

# Far above any depth, so that the first reference back is always the smaller number.
_NOWHERE: Final = 1 << 62

_LENGTH: Final = struct.Struct(">cQ").pack


class Blocked(Exception):  # noqa: N818 - a signal between the encoders; users see a FingerprintError
    """A part of a value has no stable encoding; `path` is collected, innermost first, on the way out."""

    def __init__(self, kind: type, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind, self.reason = kind, reason
        self.path: list[str] = []

    def within(self, *steps: str) -> None:
        """Add the steps that lead from the enclosing value to the one that was refused."""
        self.path.extend(reversed(steps))


class Walker(Protocol):
    """What an encoder tells the walk over code that it works for."""

    def refer(self, value: Any) -> str:
        """Return the label of a function, class or module inside the value."""

    def note(self, kind: type) -> None:
        """Hear of the class of an object inside the value: its methods belong to what the value does."""


def hasher(size: int = 0) -> blake3:
    """A new hash, with threads if `size` bytes are worth them."""
    if size < MANY_BYTES or _threads() == 1:
        return _begun().copy()
    from blake3 import blake3  # noqa: PLC0415 - as below

    # Threads of its own: those of `blake3.AUTO` are shared by all hashes, and whoever was forked waits for them forever.
    return blake3(VERSION, max_threads=_threads())


@functools.cache
def _begun() -> blake3:
    from blake3 import blake3  # noqa: PLC0415 - two milliseconds for those who compare nothing

    return blake3(VERSION)


@functools.cache
def _threads() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 1, MOST_THREADS)


def head(tag: bytes, length: int) -> bytes:
    """The tag (one byte) and the length that an encoding starts with."""
    return _LENGTH(tag, length)


def text(string: str) -> bytes:
    """The encoding of a string."""
    data = string.encode("utf-8", "surrogatepass")
    return shorten(_LENGTH(b"s", len(data)) + data)


def shorten(encoding: bytes) -> bytes:
    """The encoding itself, or its hash if it is long."""
    return encoding if len(encoding) <= SHORT else hashed([encoding])


def hashed(chunks: Iterable[Any], size: int = 0) -> bytes:
    """The encoding that stands for a long one, given in pieces: bytes, or anything else with a plain memory.

    Args:
        chunks: The pieces; how it is divided does not matter.
        size: About how many bytes these are, if they may be many.

    """
    whole = hasher(size)
    for chunk in chunks:
        whole.update(chunk)
    return HASHED + whole.digest()


def flat(chunks: Iterable[Any]) -> bytes:
    """The encoding of the bytes in these pieces, which is that of a `bytes` with the same content."""
    pieces = list(chunks)
    size = sum(map(len, pieces))
    start = head(b"b", size)
    # Short ones stay as they are, below the length from which an encoding would be replaced by its hash.
    return hashed([start, *pieces], size) if size > SHORT_FLAT else b"".join([start, *pieces])


def type_name(kind: Any) -> str:
    """`module.qualname`; the script that was started has one name in all processes."""
    module = getattr(kind, "__module__", None) or "builtins"
    return f"{'__main__' if module == '__mp_main__' else module}.{kind.__qualname__}"


# Scalars: a function of the value alone. Only for exactly this type.
LEAVES: Final[dict[type, Callable[[Any], bytes]]] = {}
# Containers: a function of the encoder and the value. Only for exactly this type.
EXACT: Final[dict[type, Callable[[Encoder, Any], bytes]]] = {}
# For this type and what is derived from it.
BY_TYPE: Final[dict[type, Callable[[Encoder, Any], bytes]]] = {}
# The same by "module.Qualname", for types of libraries that are not imported here.
BY_NAME: Final[dict[str, Callable[[Encoder, Any], bytes]]] = {}
# What users registered, by type or by name.
REGISTERED: Final[dict[type | str, Callable[[Encoder, Any], bytes]]] = {}

_resolved: WeakKeyDictionary[type, Callable[[Encoder, Any], bytes]] = WeakKeyDictionary()
# The leaves and exact types that nobody registered a function for.
_leaves: dict[type, Callable[[Any], bytes]] = {}


def forget_dispatch() -> None:
    """Decide anew, for every type, how it is encoded; called after one of the tables changed."""
    _resolved.clear()
    _leaves.clear()
    _leaves.update({kind: leaf for kind, leaf in LEAVES.items() if _registered(kind) is None})


def _registered(kind: type) -> Callable[[Encoder, Any], bytes] | None:
    if not REGISTERED:
        return None
    found = REGISTERED.get(kind)
    return found if found is not None else REGISTERED.get(f"{kind.__module__}.{kind.__qualname__}")


def _resolve(kind: type) -> Callable[[Encoder, Any], bytes]:
    known = _resolved.get(kind)
    if known is None:
        known = _resolved[kind] = _search(kind)
    return known


def _search(kind: type) -> Callable[[Encoder, Any], bytes]:
    for base in kind.__mro__:
        found = _registered(base)
        if found is not None:
            return found
        if "__crystallize_digest__" in vars(base):
            return _own_digest
        if base is kind and base in EXACT:
            return EXACT[base]
        if base in BY_TYPE:
            return BY_TYPE[base]
        by_name = BY_NAME.get(f"{base.__module__}.{base.__qualname__}")
        if by_name is not None:
            return by_name
    raise Blocked(kind, "it is not derived from object")


def _own_digest(enc: Encoder, value: Any) -> bytes:
    digest = value.__crystallize_digest__()
    if not isinstance(digest, (bytes, str)):
        raise Blocked(
            type(value), f"its __crystallize_digest__() returned {type(digest).__qualname__}, not bytes or str"
        )
    return head(b"h", 2) + enc.kind(type(value)) + enc(digest)


class Encoder:
    """Encodes one value: knows which values it is inside of, and remembers the long ones that it has met.

    Args:
        walk: The walk over code that wants to hear of functions and classes inside the value. Without one,
            each function stands for its own code digest.

    """

    __slots__ = ("_ancestors", "_back", "_known", "_visits", "walk")

    def __init__(self, walk: Walker | None = None) -> None:
        self.walk = walk
        self._ancestors: dict[int, int] = {}
        self._back = _NOWHERE  # the outermost depth that the values just encoded refer back to
        # These keep the values alive: an id must not be given to another one meanwhile.
        self._known: dict[int, tuple[Any, bytes]] = {}
        self._visits: dict[int, list[Any]] = {}

    def __call__(self, value: Any) -> bytes:
        """Return the encoding of any value.

        Raises:
            Blocked: It, or something inside it, has none.

        """
        kind = type(value)
        leaf = _leaves.get(kind)
        if leaf is not None:
            return leaf(value)
        key = id(value)
        known = self._known.get(key)
        if known is not None:
            return known[1]
        depth = len(self._ancestors)
        above = self._ancestors.get(key)
        if above is not None:
            self._back = min(self._back, above)
            return head(BACK, depth - above)  # relative, so that it is the same wherever the cycle is met
        outer, self._back = self._back, _NOWHERE
        self._ancestors[key] = depth
        try:
            encoding = shorten(_resolve(kind)(self, value))
        finally:
            del self._ancestors[key]
        if self._back < depth:
            self._count_visit(key, value)
            self._back = min(outer, self._back)
        else:
            self._back = outer
            if encoding.startswith(HASHED):
                self._known[key] = (value, encoding)
        return encoding

    def kind(self, kind: type) -> bytes:
        """The encoding of the class of an object: its name."""
        if self.walk is not None:
            self.walk.note(kind)
        return text(type_name(kind))

    def sequence(self, tag: bytes, items: Iterable[Any], length: int, path: str = "[{}]") -> bytes:
        """The encoding of items in their order; `path` shows where one of them is."""
        parts = [_LENGTH(tag, length)]
        whole = None
        before = -1  # items that are not in `parts` any more, less the head
        leaf_of, add = _leaves.get, parts.append
        try:
            for item in items:
                leaf = leaf_of(type(item))
                add(self(item) if leaf is None else leaf(item))
                if len(parts) > 1 << 16:  # do not hold the encodings of ten million numbers at once
                    whole = whole or hasher()
                    whole.update(b"".join(parts))
                    before += len(parts)
                    parts.clear()
        except Blocked as blocked:
            blocked.within(path.format(before + len(parts)))
            raise
        if whole is None:
            return b"".join(parts)
        whole.update(b"".join(parts))
        return HASHED + whole.digest()

    def mapping(self, tag: bytes, pairs: Iterable[tuple[Any, Any]], path: str | None = None) -> bytes:
        """The encoding of pairs whatever their order; `path` shows a key that is the name of an attribute."""
        encoded = []
        key: Any = None
        try:
            for key, value in pairs:
                encoded.append((self(key), self(value)))
        except Blocked as blocked:
            blocked.within(_shown(key) if path is None or not isinstance(key, str) else path.format(key))
            raise
        encoded.sort()
        return head(tag, len(encoded)) + b"".join(part for pair in encoded for part in pair)

    def _count_visit(self, key: int, value: Any) -> None:
        visit = self._visits.setdefault(key, [value, 0])
        visit[1] += 1
        if visit[1] > MOST_PATHS:
            raise Blocked(type(value), "it is part of a tangle in which everything refers to everything")


def _shown(key: object) -> str:
    """How a key looks in a path. Only of builtin types: the text of another one may hold an address or be long."""
    if isinstance(key, (str, bytes, int, float)) or key is None:
        return f"[{key!r}]"
    return f"[<key of type {type(key).__qualname__}>]"
