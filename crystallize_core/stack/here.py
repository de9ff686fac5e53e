"""The folder that a program is in, which everything relative starts from."""

from __future__ import annotations

from pathlib import Path

from crystallize_core.errors import ConfigurationError

__all__ = ["current_folder"]


def current_folder() -> Path:
    """The folder that the program is in.

    Raises:
        ConfigurationError: Somebody has removed it.

    """
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        message = "the current folder has been removed, so that nothing can be found or kept from there; change to another one"
        raise ConfigurationError(message) from error
