"""Proof that this user's own run wrote some bytes: a key that only this user can read, and signatures made with it.

Reading a pickle runs code that is named in it. So whatever is kept in such a format is signed when it is written, and
only what bears this user's signature is read again. The key lies outside of caches and results, so that it does not
travel with them.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["SIGNATURE_SIZE", "is_signed", "sign", "user_key"]

SIGNATURE_SIZE: Final = 32
"""Bytes of a signature."""
_KEY_SIZE: Final = 32


def user_key() -> bytes:
    """The key of this user, made at the first call: `crystallize/cache.key` in `XDG_CONFIG_HOME` or `~/.config`.

    Raises:
        OSError: It is not there and cannot be made.

    """
    path = _key_file()
    is_damaged = False  # one that somebody makes after it was looked for is not
    with suppress(FileNotFoundError):
        key = path.read_bytes()
        if len(key) == _KEY_SIZE:
            return key
        is_damaged = True
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    try:
        os.write(descriptor, secrets.token_bytes(_KEY_SIZE))
        os.fsync(descriptor)
        os.close(descriptor)
        if is_damaged:
            os.replace(name, path)  # noqa: PTH105 - beside the other calls that work on descriptors
        else:
            with suppress(FileExistsError):  # another process was first; its key is the key
                os.link(name, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)  # noqa: PTH108 - as above
    return path.read_bytes()


def sign(what: str, payload: bytes | memoryview, *, key: bytes | None = None) -> bytes:
    """The signature of `payload` as `what`; the same bytes signed as something else have another one.

    Args:
        what: What the bytes are to be taken for, such as the name of a cache entry or of a format.
        payload: The bytes.
        key: Default: that of this user, which is read anew at each call.

    Raises:
        OSError: There is no key and none can be made.

    """
    digest = _begun(user_key() if key is None else key).copy()
    digest.update(what.encode())
    digest.update(payload)
    return digest.digest()[:SIGNATURE_SIZE]


def is_signed(what: str, payload: bytes | memoryview, signature: bytes, *, key: bytes | None = None) -> bool:
    """Whether this user signed `payload` as `what`; the arguments are those of `sign`.

    Raises:
        OSError: There is no key and none can be made.

    """
    return hmac.compare_digest(signature, sign(what, payload, key=key))


@functools.lru_cache(maxsize=4)
def _begun(key: bytes) -> hmac.HMAC:
    """A signature that nothing is in yet; to copy it costs less than to begin one."""
    return hmac.new(key, digestmod=hashlib.blake2b)


def _key_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "crystallize" / "cache.key"
