"""How an entry looks as bytes, and how it is read back.

    magic | signature | length of the header | header | padding | buffers, each at a multiple of 64

The header is a pickle of everything but the output. The output is a pickle inside it, which is read only when
somebody wants the output. What is large in it and lies in one piece of memory, such as the numbers of an array,
follows as it is, so that it can be mapped into memory instead of being copied.

The signature covers the name of the entry and the header. The header has the digests of the buffers, which are
compared before anything is made of them.
"""

from __future__ import annotations

import pickle
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from crystallize_core.fingerprint.encoding import hashed
from crystallize_core.signing import SIGNATURE_SIZE, is_signed, sign

__all__ = ["Damaged", "Packed", "Source", "pack", "unpack"]

_MAGIC: Final = b"crystallize-entry-2\n"
_LENGTH: Final = struct.Struct(">Q")
_START: Final = len(_MAGIC) + SIGNATURE_SIZE + _LENGTH.size
_LARGE: Final = 1 << 16
"""From so many bytes on, a buffer is kept outside of the pickle."""
_ALIGNED: Final = 64
MOST_CHECKED: Final = 1 << 16


class Damaged(Exception):  # noqa: N818 - a signal between the store and the engine; users never see it
    """An entry was good when it was found, and what it keeps of the output is not."""


class Packed:
    """The output of an entry, which is made when somebody wants it.

    Args:
        content: Its pickle.
        parts: Where its buffers are in the entry, and their digests.
        memory: Gives the whole entry as memory that may be written to, without changing the entry.
        stamp: What tells one state of the file from another; where it is known, each is checked once per process.

    """

    __slots__ = ("_content", "_memory", "_parts", "_stamp")

    def __init__(
        self,
        content: bytes,
        parts: Sequence[tuple[int, int, bytes]],
        memory: Callable[[], memoryview],
        stamp: object = None,
    ) -> None:
        self._content, self._parts, self._memory, self._stamp = content, parts, memory, stamp

    def load(self) -> Any:
        """A new object each time, whatever was done to the last one.

        Raises:
            Damaged: It cannot be read back.

        """
        try:
            buffers = self._checked() if self._parts else ()
            return pickle.loads(self._content, buffers=buffers)  # noqa: S301 - signed with a key that only this user can read
        except Exception as error:
            raise Damaged from error

    def _checked(self) -> list[memoryview]:
        whole = self._memory()
        found = [whole[start : start + size] for start, size, _ in self._parts]
        if self._stamp is None or self._stamp not in _CHECKED:
            for part, (_, size, digest) in zip(found, self._parts, strict=True):
                if len(part) != size or hashed([part], size) != digest:
                    raise Damaged
            if self._stamp is not None:
                with _LOCK:
                    if len(_CHECKED) >= MOST_CHECKED:
                        _CHECKED.clear()
                    _CHECKED.add(self._stamp)
        return found


_CHECKED: Final[set[object]] = set()
_LOCK: Final = threading.Lock()


def pack(name: str, fields: Mapping[str, Any], *, key: bytes) -> list[bytes | memoryview]:
    """An entry as pieces of bytes.

    Args:
        name: Its name: an entry that was moved to another name is no entry of that name.
        fields: What to keep; the output is among it.
        key: The key of the user.

    """
    large: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        try:
            flat = buffer.raw()
        except BufferError:  # not in one piece
            return True
        if flat.nbytes < _LARGE:
            return True
        large.append(flat)
        return False

    content = pickle.dumps(fields["output"], protocol=5, buffer_callback=keep)
    end, parts = 0, []
    for flat in large:
        parts.append((end, flat.nbytes, hashed([flat], flat.nbytes)))
        end += flat.nbytes + -flat.nbytes % _ALIGNED
    header = pickle.dumps({**fields, "output": (content, parts)}, protocol=5)
    start = [_MAGIC, sign(name, header, key=key), _LENGTH.pack(len(header)), header]
    if not large:
        return [b"".join(start)]
    pieces: list[bytes | memoryview] = [b"".join([*start, bytes(-(_START + len(header)) % _ALIGNED)])]
    for flat in large:
        pieces += [flat, bytes(-flat.nbytes % _ALIGNED)]
    return pieces


def unpack(name: str, source: Source, *, key: bytes) -> dict[str, Any] | None:
    """What an entry keeps, with its output as `Packed`; None if it is no whole entry that this user wrote.

    Args:
        name: Its name.
        source: Where its bytes are.
        key: The key of the user.

    """
    content: bytes | memoryview = source.first
    if content[: len(_MAGIC)] != _MAGIC or len(content) < _START:
        return None
    end = _START + _LENGTH.unpack_from(content, _START - _LENGTH.size)[0]
    if end > source.size:
        return None
    if end > len(content):
        content = source.memory()
    body = memoryview(content)[_START:end]
    signature = bytes(content[len(_MAGIC) : len(_MAGIC) + SIGNATURE_SIZE])
    if source.signed_by != key:
        if not is_signed(name, body, signature, key=key):
            return None
        source.signed_by = key
    found: dict[str, Any] = pickle.loads(body)  # noqa: S301 - signed with a key that only this user can read
    pickled, parts = found["output"]
    if parts:
        end += -end % _ALIGNED
        last, size, _ = parts[-1]
        if source.size != end + last + size + -size % _ALIGNED:
            return None
        parts = [(end + start, size, digest) for start, size, digest in parts]
    elif source.size != end:
        return None
    found["output"] = Packed(pickled, parts, source.memory, source.stamp)
    return found


@attrs.define
class Source:
    """Where the bytes of an entry are.

    Attributes:
        first: The first of them, or all; where they end within the header, `memory` is asked for it.
        size: How many there are.
        memory: Gives all of them as memory that may be written to, without changing the entry.
        stamp: What tells this state of a file from another; None where that is not known.
        signed_by: The key with which it was found to be signed, as the entry that it is.
        entry: What was made of it, where all who ask may have the same.

    """

    first: bytes
    size: int
    memory: Callable[[], memoryview]
    stamp: object = None
    signed_by: bytes | None = None
    entry: Any = None
