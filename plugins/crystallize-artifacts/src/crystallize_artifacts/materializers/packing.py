"""Several files in one, the same bytes for the same content whatever the time is."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Final

__all__ = ["packed", "unpacked"]

_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
"""A zip file notes when its parts were written; this is the first moment that it can note."""
_READABLE: Final = 0o600 << 16


def packed(parts: Mapping[str, bytes], *, compressed: bool = False) -> bytes:
    """A zip file with these parts, in their order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            about = zipfile.ZipInfo(name, _EARLIEST)
            about.create_system = 3  # otherwise it notes whether this is Windows
            about.external_attr = _READABLE
            about.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
            archive.writestr(about, content)
    return buffer.getvalue()


def unpacked(content: bytes) -> dict[str, bytes]:
    """The parts of a zip file; their checksums are checked.

    Raises:
        zipfile.BadZipFile: It is none, or damaged.

    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {about.filename: archive.read(about) for about in archive.infolist()}
