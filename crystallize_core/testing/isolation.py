"""A place in which nothing of the machine and of its user takes part."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

__all__ = ["Place", "isolated"]

_PREFIX: Final = "CRYSTALLIZE_"
_HOMES: Final = ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")


@attrs.frozen
class Place:
    """Where something runs apart from all else.

    Attributes:
        folder: The current folder, at first empty.
        home: The home of the user, at first empty.
        cache: Where outputs of cacheable steps are kept.
        temporary: Where temporary files go.

    """

    folder: Path
    home: Path
    cache: Path
    temporary: Path

    @classmethod
    def below(cls, root: Path) -> Place:
        """Make the folders."""
        place = cls(*(root / name for name in ("project", "home", "cache", "temporary")))
        for folder in (place.folder, place.home, place.cache, place.temporary):
            folder.mkdir(parents=True, exist_ok=True)
        return place


@contextlib.contextmanager
def isolated(root: Path) -> Iterator[Place]:
    """Work in a folder of its own, with a home and a cache of its own and no installed plugin; everything is put back.

    Args:
        root: A folder of its own.

    """
    place = Place.below(root.resolve())
    environment, here, temporary = dict(os.environ), Path.cwd(), tempfile.tempdir
    try:
        for name in [name for name in os.environ if name.startswith(_PREFIX)]:
            del os.environ[name]
        os.environ |= {"CRYSTALLIZE_AUTOLOAD": "0", "CRYSTALLIZE_CACHE_DIR": str(place.cache)}
        os.environ |= {name: str(place.home) for name in _HOMES}
        os.environ |= {name: str(place.temporary) for name in ("TMPDIR", "TEMP", "TMP")}
        tempfile.tempdir = str(place.temporary)
        os.chdir(place.folder)
        yield place
    finally:
        os.chdir(here)
        tempfile.tempdir = temporary
        os.environ.clear()
        os.environ.update(environment)
