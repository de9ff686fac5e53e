"""An error as text for a terminal: the message, and the line of the user's code that it came through."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

__all__ = ["message_of", "place_of"]


def message_of(error: BaseException, *, with_traceback: bool = False) -> str:
    """The error with what was added to it; with its traceback if that is wanted."""
    if with_traceback:
        return "".join(traceback.format_exception(error)).rstrip()
    place = place_of(error)
    # A traceback from another process travels as a note.
    notes = [note for note in getattr(error, "__notes__", ()) if not note.startswith("Traceback")]
    return "\n".join([f"error: {error}", *notes, *([f"  {place}"] if place else [])])


def place_of(error: BaseException) -> str | None:
    """The innermost line of the user's own code in the tracebacks of an error and its causes."""
    place = None
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        for frame in traceback.extract_tb(cause.__traceback__):
            if _is_of_the_user(frame.filename):
                place = f'File "{frame.filename}", line {frame.lineno}, in {frame.name}'
        cause = cause.__cause__ or cause.__context__
    return place


def _is_of_the_user(filename: str) -> bool:
    if filename.startswith("<"):  # importlib, and what was compiled from text
        return False
    path = Path(filename).resolve()
    paths = sysconfig.get_paths()
    foreign = [Path(__file__).resolve().parent.parent, *(Path(paths[key]) for key in ("stdlib", "purelib", "platlib"))]
    return not any(path.is_relative_to(folder.resolve()) for folder in foreign)
