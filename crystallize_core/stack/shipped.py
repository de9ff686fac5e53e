"""Steps and datasources that distributions ship under a name, by the entry-point group `crystallize.steps`."""

from __future__ import annotations

from typing import Any

from crystallize_core.errors import DefinitionError, PluginError, did_you_mean
from crystallize_core.stack.allowing import Allowance, Shelf
from crystallize_core.stack.config import from_environment, look_for_config
from crystallize_core.stack.discovery import STEPS
from crystallize_core.stack.layers import owners

__all__ = ["shipped"]


def shipped(value: Any, what: str, where: str) -> Any:
    """What a name stands for; everything that is no text stays what it is.

    Args:
        value: A name, or something else.
        what: What is wanted, for messages: `step` or `datasource`.
        where: Where the name stands, such as `pipeline step 2`.

    Raises:
        DefinitionError: No installed distribution ships something of that name, or several do.
        PluginError: It may not be used here, or cannot be imported.

    """
    if type(value) is not str:
        return value
    config, _ = look_for_config()  # what is wrong with it is told by whoever makes a stack of it
    shelf = Shelf(Allowance.here(config, from_environment()))
    found, forbidden = shelf.allowed(STEPS), shelf.forbidden(STEPS)
    if value in forbidden:
        raise PluginError(f"{where}: {shelf.allowance.refusal(f'{what} {value!r}', forbidden[value])}")
    candidates = found.get(value, [])
    if len(candidates) > 1:
        message = (
            f"{where}: {what} {value!r} is shipped by {owners(candidates)}; uninstall one, or import what you mean"
        )
        raise DefinitionError(message)
    if not candidates:
        hint = did_you_mean(value, found, listing="installed") if found else f"no distribution here ships a {what}"
        message = f"{where} is the text {value!r}, and there is no installed {what} of this name; {hint}"
        raise DefinitionError(message)
    return candidates[0].load()
