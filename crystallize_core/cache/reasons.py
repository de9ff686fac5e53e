"""Why there was no entry: what has changed since the step ran last."""

from __future__ import annotations

import json
from collections.abc import Mapping

from crystallize_core.fingerprint import content_digest

__all__ = ["changes", "last_name", "last_parts"]

_WORDS = {"code": "its code or what that reaches", "input": "input", "context": "context", "plugin": "plugin"}


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
    """What differs between two runs of a step, in words."""
    if not last:
        return "it has not run before"
    changed = [name for name in now if name in last and now[name] != last[name]]
    changed += [name for name in now.keys() ^ last.keys() if not name.startswith("look:")]
    if not changed:
        return "its entry is gone, or cannot be read"
    return f"changed since it ran last: {', '.join(_in_words(name) for name in changed)}"


def _in_words(name: str) -> str:
    kind, _, key = name.partition(":")
    if kind == "service":
        return f"the random numbers or whatever else ctx.{key} gives"
    if kind == "asked":
        return f"plugin {key!r}, which was not asked then"
    word = _WORDS.get(kind, kind)
    return f"{word} {key!r}" if key else word
