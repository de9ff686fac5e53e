"""Where cached outputs are: signed files that appear whole or not at all.

Entries are pickles, and unpickling runs code, so that each is signed with a key that only this user can
read. What is damaged, half written, made by another user or signed with another key is no entry.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from crystallize_core.cache.locking import locked
from crystallize_core.errors import describe, warn_caller
from crystallize_core.signing import SIGNATURE_SIZE, is_signed, sign, user_key

__all__ = ["STEP_FILE", "UNFINISHED", "CacheWarning", "FileStore", "cache_folder"]

_MAGIC: Final = b"crystallize-entry-1\n"
STEP_FILE: Final = "step"
"""Beside the entries of a step: its name, for people and for those who look for its entries."""
UNFINISHED: Final = ".writing-"
"""What the name of a file begins with while it is written."""


class CacheWarning(UserWarning):
    """Something keeps a step from being cached; the run goes on without."""


def cache_folder() -> Path:
    """`CRYSTALLIZE_CACHE_DIR`, or `.cache` in the current folder."""
    return Path(os.environ.get("CRYSTALLIZE_CACHE_DIR") or ".cache")


class FileStore:
    """Entries in files below a folder.

    Args:
        folder: Default: `CRYSTALLIZE_CACHE_DIR`, else `.cache` in the current folder.
        lifetime: Seconds after which an entry counts no more; default never.
        beside: Another store of the same run: of what was said about one, the other says nothing more.

    """

    def __init__(
        self, folder: Path | None = None, *, lifetime: float | None = None, beside: FileStore | None = None
    ) -> None:
        # A step may change the current folder, and what belongs together must stay together.
        self.folder = (cache_folder() if folder is None else folder).absolute()
        self._lifetime = lifetime
        self._key: bytes | None = None
        self._broken = False
        self.warned: set[str] = set() if beside is None else beside.warned

    def read(self, name: str) -> dict[str, Any] | None:
        """The entry of that name, or None if there is none that can be trusted."""
        path = self.folder / f"{name}.pkl"
        try:
            if self._lifetime is not None and time.time() - path.stat().st_mtime > self._lifetime:
                return None
            content = path.read_bytes()
            if not content.startswith(_MAGIC):
                return None
            body = memoryview(content)[len(_MAGIC) :]
            signature, payload = bytes(body[:SIGNATURE_SIZE]), body[SIGNATURE_SIZE:]
            if not is_signed(name, payload, signature, key=self._user_key()):
                return None
            entry = pickle.loads(payload)  # noqa: S301 - signed with a key that only this user can read
        except OSError:
            return None
        except Exception:  # noqa: BLE001 - an entry that cannot be read back, for whatever reason, is a miss
            return None
        if not isinstance(entry, dict):
            return None
        with suppress(OSError):  # what was used last is thrown away last; see `upkeep.py`
            os.utime(path, (time.time(), path.stat().st_mtime))
        return entry

    def write(self, name: str, entry: Mapping[str, Any], *, step: str, quiet: bool = False) -> bool:
        """Keep an entry and tell whether that went well; what cannot be kept is said once and costs nothing else.

        Args:
            name: Its name: the step's digest and that of what it was given, with a slash between them.
            entry: What to keep.
            step: The name of the step, for the message and for whoever looks for its entries.
            quiet: Whether an output that cannot be pickled is left out without a word.

        """
        if self._broken:
            return False
        try:
            payload = pickle.dumps(dict(entry), protocol=5)
        except Exception as error:  # noqa: BLE001 - foreign objects may raise anything when pickled
            if not quiet:
                text = f"step {step!r} is not cached: its output cannot be pickled ({describe(error)})"
                self._warn_once(f"step {step}", text)
            return False
        try:
            self._write_file(f"{name}.pkl", _MAGIC + self._sign(name, payload) + payload, must_last=True)
            self._label(name, step)
        except OSError as error:
            self._broken = True
            self._warn_once("folder", f"nothing is cached from here on: {self.folder} cannot be written ({error})")
            return False
        return True

    def _label(self, name: str, step: str) -> None:
        label = f"{name.partition('/')[0]}/{STEP_FILE}"
        with locked(self.folder):  # a clean-up that saw no entry is over, and has removed the label or not
            if not (self.folder / label).exists():
                self._write_file(label, step.encode("utf-8", "replace"))

    def _warn_once(self, about: str, text: str) -> None:
        if about not in self.warned:
            self.warned.add(about)
            warn_caller(text, CacheWarning)

    def adopt(self, name: str, other: FileStore, *, step: str) -> bool:
        """Take over the entry of that name from another store, as a link where the file system can."""
        source, target = other.folder / f"{name}.pkl", self.folder / f"{name}.pkl"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                return True
            try:
                os.link(source, target)
            except FileNotFoundError:
                return False
            except OSError:  # another file system, or one without links
                self._write_file(f"{name}.pkl", source.read_bytes(), must_last=True)
            self._label(name, step)
        except OSError:
            return target.exists()
        return True

    def read_text(self, name: str) -> str | None:
        """A small text that is kept beside the entries, or None."""
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def write_text(self, name: str, text: str) -> None:
        """Keep a small text; a disk that cannot take it is reported when the entry is written."""
        with suppress(OSError):
            self._write_file(name, text.encode())

    def _sign(self, name: str, payload: bytes) -> bytes:
        # The name is signed too: an entry that was moved to another name is no entry of that name.
        return sign(name, payload, key=self._user_key())

    def _user_key(self) -> bytes:
        if self._key is None:
            self._key = user_key()
        return self._key

    def _write_file(self, name: str, content: bytes, *, must_last: bool = False) -> None:
        """Write a whole file or none; one that must last is on the disk before it has its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED)
        except FileNotFoundError:  # another process has just removed the folder, because it was empty
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                if must_last:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(temporary, path)  # noqa: PTH105 - beside mkstemp, which gives names
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - as above
            raise
