"""Why there was no entry: what has changed since the step ran last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from crystallize_core.fingerprint import content_digest

__all__ = ["changes", "last_name", "last_parts"]

_WORDS = {"stores": "the plugins that store assets"}
_CODE: Final = "code"
MOST: Final = 8
"""So many changes are named; a new version of a project changes everything."""


def last_name(step: str) -> str:
    """The file in which the digests of the last run of a step are kept."""
    return f"last/{content_digest(step)[:32]}.json"


def last_parts(text: str | None) -> dict[str, str]:
    """What such a file says; a damaged one says nothing."""
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    is_fine = isinstance(found, dict) and all(isinstance(digest, str) for digest in found.values())
    return found if is_fine else {}


def changes(last: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What differs between two runs of a step, in words.

    Args:
        last: The digests of what it stood on when it ran last, by kind and name: `input:data`, `context:rate`,
            ``code:function `prep.scale` ``, and `code` for all of the code together.
        now: Those of what it stands on now.

    """
    if not last:
        return "it has not run before"
    changed = [name for name in now if name in last and now[name] != last[name]]
    changed += [name for name in (*now, *last) if (name in now) != (name in last) and not name.startswith("look:")]
    if any(name.startswith(f"{_CODE}:") for name in changed):
        changed = [name for name in changed if name != _CODE]  # said more precisely
    if not changed:
        return "nothing has changed, but its entry is not there, too old, or cannot be read"
    more = f" and {len(changed) - MOST} more" if len(changed) > MOST else ""
    return f"changed since it ran last: {', '.join(_in_words(name) for name in changed[:MOST])}{more}"


def _in_words(name: str) -> str:
    kind, _, key = name.partition(":")
    if kind == "service":
        return f"the random numbers or whatever else ctx.{key} gives"
    if kind == _CODE:
        return key or "its bound parameters, outputs or code"
    if kind == "asked":
        return f"plugin {key!r}, which was not asked then"
    word = _WORDS.get(kind, kind)
    return f"{word} {key!r}" if key else word
