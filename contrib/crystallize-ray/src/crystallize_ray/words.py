"""What Ray says of an error, in short: it writes a page where a line is enough."""

from __future__ import annotations

import re
from typing import Final

from crystallize_core.errors import describe

__all__ = ["in_short"]

LONGEST: Final = 400
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_DETAIL: Final = re.compile(r"Worker exit detail: (.*?)(?: Some common causes| There are some potential|$)", re.DOTALL)


def in_short(error: BaseException) -> str:
    """The last line of a traceback from elsewhere; of a worker that died, its process, its place and how it ended."""
    text = _COLOURS.sub("", str(error)).strip()
    lines = text.splitlines()
    if any(line.lstrip().startswith('File "') for line in lines):
        return lines[-1].strip()
    detail = _DETAIL.search(text)
    words = " ".join((detail[1] if detail else describe(error)).split())
    words = words if len(words) <= LONGEST else f"{words[:LONGEST]} …"
    process, place = re.search(r"\bpid: (\d+)", text), re.search(r"\bip: (\S+)", text)
    if process is None or place is None:
        return words
    return f"process {process[1]} on {place[1]}: {words}"
