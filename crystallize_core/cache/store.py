"""Where cached outputs are: entries in some place for bytes, written and read, signed and checked.

Entries are pickles, and unpickling runs code, so that each is signed with a key that only this user can
read. What is damaged, half written, made by another user or signed with another key is no entry.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Final, Protocol

from crystallize_core.cache.entry import Entry
from crystallize_core.cache.format import Source, pack, unpack
from crystallize_core.errors import describe, warn_caller
from crystallize_core.signing import user_key

__all__ = [
    "STEP_FILE",
    "CacheStore",
    "CacheWarning",
    "EntryStore",
    "ForeignStore",
]

STEP_FILE: Final = "step"
"""Beside the entries of a step: its name, for people and for those who look for its entries."""


class CacheWarning(UserWarning):
    """Something keeps a step from being cached; the run goes on without."""


def _names_in(text: str | None) -> list[list[str]]:
    """The sets of names that earlier runs of the step read; a damaged record is none."""
    try:
        found = json.loads(text) if text else []
    except ValueError:
        return []
    is_fine = isinstance(found, list) and all(_is_names(names) for names in found)
    return found if is_fine else []


def _is_names(names: object) -> bool:
    return isinstance(names, Iterable) and all(isinstance(name, str) for name in names)


class CacheStore(Protocol):
    """What a plugin returns from the hook `cache_store`: a place for bytes, such as a bucket or a database.

    What is in the bytes, and whether they can be trusted, is not its business: entries are signed, and checked when
    they are read. Names have two parts with a slash between them. All of this may be called by several threads at once.
    """

    def read(self, name: str) -> bytes | None:
        """What was written last under that name; None if there is nothing."""

    def write(self, name: str, content: bytes) -> None:
        """Keep all of it or nothing, in place of what was there."""


class EntryStore(ABC):
    """Entries in some place for bytes: written and read, signed and checked.

    Args:
        beside: Another store of the same run: of what was said about one, the other says nothing more.

    Attributes:
        warned: What was said already.

    """

    def __init__(self, beside: EntryStore | None = None) -> None:
        self._key: bytes | None = None
        self._broken = False
        self.warned: set[str] = set() if beside is None else beside.warned

    @property
    def is_broken(self) -> bool:
        """Whether nothing can be written, or something was said about it."""
        return self._broken or bool(self.warned)

    # The place ------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is, for messages."""

    @abstractmethod
    def _source(self, name: str) -> Source | None:
        """The bytes of an entry; None if there are none."""

    @abstractmethod
    def _keep(self, name: str, pieces: Sequence[bytes | memoryview]) -> None:
        """Keep the bytes of an entry."""

    @abstractmethod
    def read_text(self, name: str) -> str | None:
        """A small text that is kept beside the entries, or None."""

    @abstractmethod
    def write_text(self, name: str, text: str) -> None:
        """Keep a small text; what keeps it from being kept is reported when the entry is written."""

    def names(self, name: str) -> list[list[str]]:
        """The sets of names that earlier runs of a step read for one input; see `step_cache.py`."""
        return _names_in(self.read_text(f"{name}.json"))

    def known_names(self, name: str) -> list[list[str]]:  # noqa: ARG002 - for stores that remember
        """Those of them that are known without a look; others may have been added since."""
        return []

    def alone(self) -> AbstractContextManager[None]:
        """Keeps others from changing what is kept beside the entries, where the place has the means."""
        return nullcontext()

    # Entries --------------------------------------------------------------------------------------

    def read(self, name: str) -> dict[str, Any] | None:
        """The entry of that name, or None if there is none that can be trusted; its output is `Packed`."""
        try:
            source = self._source(name)
            return None if source is None else unpack(name, source, key=self._user_key())
        except Exception:  # noqa: BLE001 - an entry that cannot be read back, for whatever reason, is a miss
            return None

    def entry(self, name: str) -> Entry | None:
        """The entry of that name, or None if there is none that can be trusted."""
        try:
            source, key = self._source(name), self._key or self._user_key()
            if source is None:
                return None
            if source.entry is not None and source.signed_by == key:
                known: Entry = source.entry
                return known
            fields = unpack(name, source, key=key)
            found = None if fields is None else Entry.of(fields)
        except Exception:  # noqa: BLE001 - as above
            return None
        if found is not None and found.can_be_shared:
            source.entry = found
        return found

    def write(self, name: str, entry: Mapping[str, Any], *, step: str, quiet: bool = False) -> bool:
        """Keep an entry and tell whether that went well; what cannot be kept is said once and costs nothing else.

        Args:
            name: Its name: the step's digest and that of what it was given, with a slash between them.
            entry: What to keep: the `output`, and whatever else.
            step: The name of the step, for the message and for whoever looks for its entries.
            quiet: Whether an output that cannot be pickled is left out without a word.

        """
        if self._broken:
            return False
        try:
            key = self._user_key()
        except OSError as error:
            return self._give_up(error)
        try:
            pieces = pack(name, entry, key=key)
        except Exception as error:  # noqa: BLE001 - foreign objects may raise anything when pickled
            if not quiet:
                text = f"step {step!r} is not cached: its output cannot be pickled ({describe(error)})"
                self._warn_once(f"step {step}", text)
            return False
        try:
            self._keep(name, pieces)
            self._label(name, step)
        except OSError as error:
            return self._give_up(error)
        return True

    def adopt(self, name: str, other: EntryStore, *, step: str) -> bool:
        """Take over the entry of that name from another store."""
        try:
            if self._source(name) is not None:
                return True
            source = other._source(name)
            if source is None or self._broken:
                return False
            self._keep(name, [source.first if len(source.first) == source.size else source.memory()])
            self._label(name, step)
        except Exception:  # noqa: BLE001 - what is not taken over is found where it is
            return False
        return True

    def _label(self, name: str, step: str) -> None:
        label = f"{name.partition('/')[0]}/{STEP_FILE}"
        if self.read_text(label) is None:
            self.write_text(label, step)

    def _give_up(self, error: Exception) -> bool:
        self._broken = True
        text = describe(error) if not isinstance(error, OSError) else str(error)
        self._warn_once("folder", f"nothing is cached from here on: {self.place} cannot be written ({text})")
        return False

    def _warn_once(self, about: str, text: str) -> None:
        if about not in self.warned:
            self.warned.add(about)
            warn_caller(text, CacheWarning)

    def _user_key(self) -> bytes:
        if self._key is None:
            self._key = user_key()
        return self._key


class ForeignStore(EntryStore):
    """Entries in the store of a plugin. Whatever that raises costs the run nothing: it is a miss, or said once.

    Args:
        store: The store.
        plugin: The name of the plugin.

    """

    def __init__(self, store: CacheStore, plugin: str) -> None:
        super().__init__()
        self._store, self._plugin = store, plugin

    @property
    def place(self) -> str:
        """Words for messages."""
        return f"the cache store of plugin {self._plugin!r}"

    def _read(self, name: str) -> bytes | None:
        try:
            found = self._store.read(name)
            return None if found is None else bytes(found)
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything
            self._warn_once("reading", f"nothing is found in {self.place}, which cannot be read ({describe(error)})")
            return None

    def _source(self, name: str) -> Source | None:
        content = self._read(f"{name}.pkl")
        if content is None:
            return None
        return Source(content, len(content), lambda: memoryview(bytearray(content)))

    def _keep(self, name: str, pieces: Sequence[bytes | memoryview]) -> None:
        self._write(f"{name}.pkl", pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _write(self, name: str, content: bytes | memoryview) -> None:
        if self._broken:
            return
        try:
            self._store.write(name, bytes(content))
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything
            self._give_up(error)

    def read_text(self, name: str) -> str | None:
        """A small text that is kept beside the entries, or None."""
        content = self._read(name)
        with suppress(UnicodeDecodeError):
            return None if content is None else content.decode()
        return None

    def write_text(self, name: str, text: str) -> None:
        """Keep a small text."""
        self._write(name, text.encode("utf-8", "replace"))
