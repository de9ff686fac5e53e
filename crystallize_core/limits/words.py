"""The last words of a worker that its guard has ended: a file that says because of which step."""

from __future__ import annotations

import hashlib
import os
import pickle
import tempfile
from pathlib import Path

__all__ = ["last_words", "leave_words", "words_of"]


def words_of(worker: str) -> Path:
    """Where a worker leaves its last words if no other place is better: a file of its machine, in a folder of this user alone.

    Args:
        worker: What the worker is called, by itself and by the coordinator.

    """
    user = os.getuid() if hasattr(os, "getuid") else "user"
    name = hashlib.blake2b(worker.encode(), digest_size=16).hexdigest()
    return Path(tempfile.gettempdir()) / f"crystallize-{user}" / f"overdue-{name}"


def leave_words(file: Path, number: int, text: bytes) -> None:
    """Write them, as a whole or not at all; what `Guard` may be told to do.

    Args:
        file: Where to.
        number: The replicate.
        text: The rest of what `Overdue` says, pickled.

    Raises:
        OSError: They cannot be written there, or others could write there too.

    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_foreign(file.parent)
    unfinished = file.with_name(f".{file.name}.part")
    unfinished.write_bytes(pickle.dumps((number, text)))
    unfinished.replace(file)


def last_words(file: Path) -> tuple[int, bytes] | None:
    """What was left there, for `Overdue.read`, and only once; None if there is nothing.

    Args:
        file: The one that the guard was given.

    """
    try:
        _refuse_foreign(file.parent)
        body = file.read_bytes()
        file.unlink()
        number, text = pickle.loads(body)  # noqa: S301 - from a folder of this user alone
    except Exception:  # noqa: BLE001 - nothing was left, or the disk was full; damaged bytes may raise anything
        return None
    return number, text


def _refuse_foreign(folder: Path) -> None:
    """See that nobody else may write there: what lies there is unpickled."""
    found = folder.stat()
    if found.st_mode & 0o022 or found.st_uid != os.getuid():
        message = f"{folder} belongs to another user, or others may write there"
        raise PermissionError(message)
