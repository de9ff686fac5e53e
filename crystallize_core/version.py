"""The version of the core, read when somebody asks."""

from __future__ import annotations

import functools

__all__ = ["version"]


@functools.cache
def version() -> str:
    """The version of the installed distribution, or `0+unknown` in a checkout that is not installed."""
    from importlib_metadata import PackageNotFoundError  # noqa: PLC0415 - reading metadata is not free
    from importlib_metadata import version as read  # noqa: PLC0415 - as above

    try:
        return str(read("crystallize-core"))
    except PackageNotFoundError:
        return "0+unknown"
