"""What came of looking for an entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from crystallize_core.cache.entry import Entry
from crystallize_core.cache.generators import Generators
from crystallize_core.cache.store import EntryStore

__all__ = ["Lookup"]


@attrs.define
class Lookup:
    """An attempt to find an entry; nobody changes it, and one that could not be changed would take longer to make.

    Attributes:
        entry: What was found, or None.
        name: Where entries of this step and input are; None where they cannot be named.
        answers: What plugins say that the output may depend on, by plugin and name.
        found_in: The store that had it.
        full_name: The name of the entry that was found.
        reason: Why nothing was found, in words.
        changes: What has changed since the step ran last, one by one, where that was asked for.
        generators: The global generators as they are, where no plugin watches whether the step draws from them.
        was_asked: Whether there is a store that might have had it.

    """

    entry: Entry | None = None
    name: str | None = None
    answers: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    found_in: EntryStore | None = None
    full_name: str | None = None
    reason: str = "what it depends on has no stable digest"
    was_asked: bool = True
    changes: tuple[str, ...] = ()
    generators: Generators | None = None

    @property
    def words(self) -> str:
        """What came of it, for people."""
        if self.entry is not None:
            return "a hit: nothing that it depends on has changed"
        return f"a miss: {self.reason}" if self.was_asked else f"not asked: {self.reason}"
