"""Several instances of one plugin under different names: `plugins = ["logging", "logging as audit"]`."""

from __future__ import annotations

import re
from typing import Any, Final

import attrs

from crystallize_core.errors import PluginError

__all__ = ["Listed", "give_name", "is_path", "listed"]

_AS: Final = re.compile(r"(?P<plugin>.+?)\s+as\s+(?P<name>.+)")
_NAME: Final = re.compile(r"\w[\w.-]*")


@attrs.frozen
class Listed:
    """One entry of a list of plugins.

    Attributes:
        text: The entry.
        plugin: The installed plugin, or the path of a local file.
        alias: The name of the instance; None where it has the plugin's own.

    """

    text: str
    plugin: str
    alias: str | None = None

    @property
    def name(self) -> str:
        """Its name in the stack; for a file without an alias, its path."""
        return self.plugin if self.alias is None else self.alias

    @property
    def problem(self) -> str | None:
        """What is wrong with the entry."""
        if self.alias is None or _NAME.fullmatch(self.alias):
            return None
        return f"plugins: {self.text!r}: a name has letters, digits, '_', '-' and '.', found {self.alias!r}"


def listed(text: str) -> Listed:
    """Read an entry."""
    found = _AS.fullmatch(text.strip())
    return Listed(text, text) if found is None else Listed(text, found["plugin"], found["name"].strip())


def is_path(name: str) -> bool:
    """Whether a name in a list of plugins is the path of a local file."""
    return name.endswith(".py") or "/" in name or name.startswith(".")


def give_name(plugin: Any, name: str) -> None:
    """Tell an instance the name that it has in its stack, as its `plugin_name`.

    Raises:
        PluginError: It does not take it.

    """
    try:
        object.__setattr__(plugin, "plugin_name", name)  # also where the class is frozen
    except (AttributeError, TypeError) as error:
        message = f"an instance of {type(plugin).__qualname__} cannot be named {name!r}: {error}"
        raise PluginError(message, plugin=name) from error
