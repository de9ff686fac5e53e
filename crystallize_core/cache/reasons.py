"""Why there was no entry: what has changed since the step ran last."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

import attrs

from crystallize_core.fingerprint import content_digest
from crystallize_core.parameters import is_secret

__all__ = ["LastRun", "changes", "in_words", "last_name", "printable"]

_WORDS = {"stores": "the plugins that store assets"}
_CODE: Final = "code"
_CREDENTIALS: Final = re.compile(r"://[^/]*@")
"""An address with a user, and maybe a password."""
_SMALL = frozenset({bool, int, float, complex, str, type(None)})
MOST: Final = 8
"""So many changes are named; a new version of a project changes everything."""
LONGEST: Final = 40
"""Values whose text is longer than that are not kept beside the digests."""


@attrs.frozen
class LastRun:
    """What a step stood on.

    Attributes:
        parts: The digests, by kind and name: `input:data`, `context:rate`, ``code:function `prep.scale` ``, and `code` for
            all of the code together.
        values: Those of them that are short enough to be shown, as text; never one that may be a secret.

    """

    parts: Mapping[str, str] = attrs.field(factory=dict)
    values: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def read(cls, text: str | None) -> LastRun:
        """What such a file says; a damaged one says nothing."""
        try:
            found = json.loads(text) if text else {}
        except ValueError:
            return cls()
        parts, values = (found.get("parts"), found.get("values")) if isinstance(found, dict) else (None, None)
        return cls(parts, values) if _is_texts(parts) and _is_texts(values) else cls()

    def text(self) -> str:
        """The content of the file."""
        return json.dumps({"parts": dict(self.parts), "values": dict(self.values)})


def _is_texts(found: object) -> TypeGuard[dict[str, str]]:
    return isinstance(found, dict) and all(isinstance(text, str) for text in found.values())


def last_name(step: str, condition: str | None = None) -> str:
    """The file for the last run of a step; each condition of an experiment has one, as they differ on purpose."""
    return f"last/{content_digest((step, condition) if condition else step)[:32]}.json"


def printable(name: str, value: Any) -> str | None:
    """A value as text that may be kept; None where it is long, no plain scalar, or may be a secret."""
    if type(value) not in _SMALL or is_secret(name):
        return None
    try:
        text = repr(value)
    except ValueError:  # an int with more digits than Python writes
        return None
    if _CREDENTIALS.search(text):
        return None
    return text if len(text) <= LONGEST + 2 * isinstance(value, str) else None


def changes(last: LastRun, now: LastRun) -> tuple[str, ...]:
    """What differs between two runs of a step, in words, one by one."""
    old, new = last.parts, now.parts
    changed = [name for name in new if name in old and new[name] != old[name]]
    changed += [name for name in (*new, *old) if (name in new) != (name in old) and not name.startswith("look:")]
    if any(name.startswith(f"{_CODE}:") for name in changed):
        changed = [name for name in changed if name != _CODE]  # said more precisely
    return tuple(f"{_named(name)}{_values(name, last, now)}" for name in changed)


def _values(name: str, last: LastRun, now: LastRun) -> str:
    """The old value and the new one, where both can be shown."""
    old, new = last.values.get(name), now.values.get(name)
    return f": {old} -> {new}" if old is not None and new is not None else ""


def in_words(last: LastRun, changed: tuple[str, ...]) -> str:
    """Why there is no entry, in one line."""
    if not last.parts:
        return "it has not run before"
    if not changed:
        return "nothing has changed, but its entry is not there, too old, or cannot be read"
    more = f" and {len(changed) - MOST} more" if len(changed) > MOST else ""
    return f"changed since it ran last: {', '.join(changed[:MOST])}{more}"


def _named(name: str) -> str:
    kind, _, key = name.partition(":")
    if kind == "service":
        return f"the random numbers or whatever else ctx.{key} gives"
    if kind == _CODE:
        return key or "its bound parameters, outputs or code"
    if kind == "asked":
        return f"plugin {key!r}, which was not asked then"
    if kind == "plugin":
        plugin, _, dependency = key.partition(":")
        return f"{dependency!r} of plugin {plugin!r}"
    word = _WORDS.get(kind, kind)
    return f"{word} {key!r}" if key else word
